package router

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// plan is who receives messages of one topic, whoever publishes them: all that
// can be known before a message comes. A plan in the cache is immutable.
type plan struct {
	topic  string
	hash   uint64
	stamps [2]topic.Stamp // of the subscriptions and of the groups

	routes []route
	own    []terms // see route.own
	groups []*group

	used atomic.Bool // since the cache has last looked for a victim
}

// route is one subscriber with the terms of all its subscriptions that match.
type route struct {
	subscriber Subscriber
	all        terms

	// own says what the subscriber gets of messages that it published itself:
	// sameAsAll, or the index into plan.own of the terms without those
	// subscriptions that are No Local.
	own int
}

const sameAsAll = -1

// weight is what the plan counts for in the cache's bound.
func (p *plan) weight() int64 { return int64(1 + len(p.routes) + len(p.own) + len(p.groups)) }

// append appends the receivers of m.
func (p *plan) append(dst []Target, m *mqtt.Message) []Target {
	dst = slices.Grow(dst, len(p.routes)+len(p.groups))
	for i := range p.routes {
		r := &p.routes[i]
		t := &r.all
		if r.own != sameAsAll && m.Publisher != "" && r.subscriber.ClientID() == m.Publisher {
			if t = &p.own[r.own]; !t.matched {
				continue // [MQTT-3.8.3-3]
			}
		}
		dst = append(dst, Target{Subscriber: r.subscriber, Delivery: t.delivery(m)})
	}
	for _, g := range p.groups {
		dst = g.route(dst, m, nil)
	}
	return dst
}

// clone returns a copy that owns its memory.
func (p *plan) clone() *plan {
	return &plan{
		topic:  strings.Clone(p.topic),
		hash:   p.hash,
		stamps: p.stamps,
		routes: slices.Clone(p.routes),
		own:    slices.Clone(p.own),
		groups: slices.Clone(p.groups),
	}
}

// planner makes plans in memory that it uses again.
type planner struct {
	plan
	places map[Subscriber]int // into routes; only if there are many
	misses uint32
	lucky  bool // the plan is stored whatever was missed before

	unfinished bool // some terms have to be finished
}

const (
	// searchRoutes is how many routes are searched one by one for a
	// subscriber before a map does it.
	searchRoutes = 16

	// keepRoutes is how many routes a planner may keep room for.
	keepRoutes = 4096
)

// stamp takes the state of the subscriptions, before match reads them.
func (b *planner) stamp(r *Router) {
	s := r.subscriptions.Stamp(b.topic)
	b.stamps = [2]topic.Stamp{s, r.groups.Restamp(s)}
}

// match fills the plan for its topic.
func (b *planner) match(r *Router) {
	firstFilter, several := "", false
	r.subscriptions.Match(b.topic, func(filter string, s Subscriber, g *grant) bool {
		if len(b.routes) == 0 {
			firstFilter = filter
		}
		// At one filter every subscriber comes up once, so that they need not
		// be told apart until a second filter matches.
		several = several || filter != firstFilter
		b.add(s, g, several)
		return true
	})
	b.finish()
	if r.groups.Len() == 0 {
		return
	}
	r.groups.Match(b.topic, func(_, _ string, g *group) bool {
		b.groups = append(b.groups, g)
		return true
	})
}

// finish finishes all terms.
func (b *planner) finish() {
	if !b.unfinished {
		return
	}
	b.unfinished = false
	for i := range b.routes {
		b.routes[i].all.finish()
	}
	for i := range b.own {
		b.own[i].finish()
	}
}

// add takes one subscription into account; search says that its subscriber may
// have a route already.
func (b *planner) add(s Subscriber, g *grant, search bool) {
	i := -1
	if search {
		i = b.find(s)
	}
	if i < 0 {
		i = len(b.routes)
		b.routes = append(b.routes, route{subscriber: s, own: sameAsAll})
		if len(b.places) > 0 {
			b.places[s] = i
		}
	}
	r := &b.routes[i]
	if g.noLocal && r.own == sameAsAll {
		own := r.all
		own.ids = slices.Clip(own.ids)
		b.own = append(b.own, own)
		r.own = len(b.own) - 1
	}
	b.unfinished = r.all.add(g) || b.unfinished
	if !g.noLocal && r.own != sameAsAll {
		b.unfinished = b.own[r.own].add(g) || b.unfinished
	}
}

// find returns the index of the route of s, or -1.
func (b *planner) find(s Subscriber) int {
	if len(b.routes) <= searchRoutes {
		return slices.IndexFunc(b.routes, func(r route) bool { return r.subscriber == s })
	}
	if len(b.places) == 0 {
		if b.places == nil {
			b.places = make(map[Subscriber]int, len(b.routes))
		}
		for i := range b.routes {
			b.places[b.routes[i].subscriber] = i
		}
	}
	if i, ok := b.places[s]; ok {
		return i
	}
	return -1
}

// reset empties the planner, so that it holds on to no subscriber, and reports
// whether it is small enough to be kept.
func (b *planner) reset() bool {
	if cap(b.routes) > keepRoutes {
		return false
	}
	clear(b.routes)
	clear(b.own)
	clear(b.groups)
	clear(b.places)
	b.topic = ""
	b.routes, b.own, b.groups = b.routes[:0], b.own[:0], b.groups[:0]
	return true
}
