// Package router decides who receives a message: it holds the subscriptions of
// all sessions and turns a message into a list of [Target].
//
// It knows no connection and no queue. A session is a [Subscriber] to it, and
// what to do with a Target is the caller's business:
//
//	r := router.New(router.Options{})
//	existed, err := r.Subscribe(session, mqtt.Subscription{Filter: "a/#", QoS: 1})
//	...
//	targets = r.Route(targets[:0], message)
//	for _, t := range targets {
//		t.Subscriber.(*session.Session).Enqueue(t.Delivery, now)
//	}
//
// # One message, many matches
//
// A session gets a message once, however many of its own subscriptions match
// (MQTT 5 section 3.3.4 leaves the choice to the server): with the highest QoS
// that one of them granted [MQTT-3.3.4-2], with the Subscription Identifiers
// of all of them [MQTT-3.3.4-4], and with the RETAIN flag as published if one
// of them asked for Retain As Published. Subscriptions with No Local count only for
// messages of other clients [MQTT-3.8.3-3]: a client that publishes to a topic
// which it subscribed to twice, once with No Local, receives it by the other
// subscription's options.
//
// A shared subscription ("$share/group/filter") is a subscription of the group
// beside those of its members: each group that matches gives one Target more,
// for the member it chose (see [Strategy]), with that member's own QoS,
// identifier and options.
package router
