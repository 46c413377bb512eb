// Package clients drives real MQTT clients against the broker.
//
// The stories are written once and told with every client library, in each
// version of the protocol that it speaks: the two Go libraries of Eclipse Paho
// in this process, Python's Paho and MQTT.js as processes that take commands
// (agent.py, agent.js). The mosquitto programs have stories of their own.
package clients
