package router

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

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

	subscriptions topic.Tree[Subscriber, *grant]
	groups        topic.Tree[string, *group] // by the filter and the group's name
	shared        atomic.Int64               // members of all groups
	strategy      atomic.Uint32              // a Strategy
	cache         *cache                     // nil if there is none
	planners      sync.Pool                  // *planner

	mu sync.Mutex // taken by every change of a group
}

// New returns an empty router. It starts nothing.
func New(o Options) *Router {
	r := &Router{
		options:  o,
		cache:    newCache(o.CacheTopics, o.CacheReceivers),
		planners: sync.Pool{New: func() any { return new(planner) }},
	}
	r.SetStrategy(o.Strategy)
	return r
}

// SetStrategy changes how shared groups choose, those that exist included.
func (r *Router) SetStrategy(s Strategy) { r.strategy.Store(uint32(s)) }

// Subscribe adds sub for s, or replaces the one with the same filter, whose
// place it then takes [MQTT-3.8.4-3]. It reports whether there was one: Retain
// Handling 1 wants to know. The filter may be a "$share" one. Messages routed
// after Subscribe has returned reach s.
//
// The error is [ErrSharedNoLocal] or says that the filter is not valid; then
// nothing has changed.
func (r *Router) Subscribe(s Subscriber, sub mqtt.Subscription) (existed bool, err error) {
	sh, shared, err := topic.ParseShared(sub.Filter)
	switch {
	case err != nil:
		return false, err
	case shared && sub.NoLocal:
		return false, ErrSharedNoLocal
	case shared:
		existed = r.join(sh, newMember(s, grantOf(sub)))
	default:
		_, existed = r.subscriptions.Set(sub.Filter, s, grantOf(sub))
	}
	r.sweep()
	return existed, nil
}

// Unsubscribe removes the subscription of s with exactly this filter
// [MQTT-3.10.4-1] and reports whether there was one.
func (r *Router) Unsubscribe(s Subscriber, filter string) (existed bool) {
	sh, shared, err := topic.ParseShared(filter)
	switch {
	case err != nil:
		return false
	case shared:
		existed = r.leave(sh, s)
	default:
		_, existed = r.subscriptions.Delete(filter, s)
	}
	r.sweep()
	return existed
}

// Remove removes the subscriptions of s with these filters: all of them, when
// a session ends.
func (r *Router) Remove(s Subscriber, filters iter.Seq[string]) {
	for filter := range filters {
		r.Unsubscribe(s, filter)
	}
}

// join adds m to a group, which is made if there is none.
func (r *Router) join(sh topic.Shared, m member) (existed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, found := r.groups.Get(sh.Filter, sh.Group)
	if !found {
		g = newGroup(sh.Group+"/"+sh.Filter, &r.strategy)
	}
	if existed = g.join(m); !existed {
		r.shared.Add(1)
	}
	if !found {
		r.groups.Set(sh.Filter, sh.Group, g)
	}
	return existed
}

// leave ends the membership of s, and the group with its last member.
func (r *Router) leave(sh topic.Shared, s Subscriber) (existed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, found := r.groups.Get(sh.Filter, sh.Group)
	if !found {
		return false
	}
	existed, empty := g.leave(s)
	if existed {
		r.shared.Add(-1)
	}
	if empty {
		r.groups.Delete(sh.Filter, sh.Group)
	}
	return existed
}

func (r *Router) sweep() {
	if r.cache != nil {
		r.cache.sweep(r)
	}
}

// Route appends the receivers of m to dst and returns it. Every reader
// goroutine calls it at once; it takes no lock and, with a dst that is large
// enough, allocates nothing for a topic that was published before. See the
// package comment for what happens to several matches.
func (r *Router) Route(dst []Target, m *mqtt.Message) []Target { return r.route(dst, m) }

// Reroute appends a receiver for m from a shared group: another member takes a
// message over when the session of the one that was chosen first has ended
// (MQTT 5 section 4.8.2). The caller leaves out messages of QoS 2 that were
// already sent [MQTT-4.8.2-5] and those that the receiver refused
// [MQTT-4.8.2-6]. group is [mqtt.Via.Group]; except, which may be nil, is not
// chosen. dst comes back as it was if the group has no other member.
func (r *Router) Reroute(dst []Target, group string, m *mqtt.Message, except Subscriber) []Target {
	name, filter, _ := strings.Cut(group, "/")
	g, found := r.groups.Get(filter, name)
	if !found {
		return dst
	}
	return g.route(dst, m, except)
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
func (r *Router) Subscriptions() int { return r.subscriptions.Len() + r.Shared() }

// Groups returns the number of shared groups; the same name with another filter
// is another group.
func (r *Router) Groups() int { return r.groups.Len() }

// Shared returns the number of shared subscriptions: the members of all groups.
func (r *Router) Shared() int { return int(r.shared.Load()) }
