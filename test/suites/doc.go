// Package suites runs test suites for MQTT brokers that others wrote against
// the broker.
package suites
