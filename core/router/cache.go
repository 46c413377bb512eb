package router

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// cache remembers plans by topic. It is read without a lock and bounded in
// topics and in receivers.
//
// What keeps it from thrashing: a change of subscriptions makes only those
// plans stale whose topics have something in common with the changed filter
// (see [topic.Tree.Stamp]); a plan is stored only if its topic was published
// twice before without a change in between, so that a table that changes
// faster than it is used, or topics that never come back, cost no memory at
// all; and a plan that was used lately does not give way.
type cache struct {
	sets      []set
	seen      []atomic.Uint64 // topics that were missed lately, see sight
	receivers atomic.Int64    // the weight of all plans
	limit     int64
	hand      atomic.Uint32 // the set to be swept next
}

// set is the place of all topics with the same last bits of the hash. The tags
// save looking at plans that are not the right one; one that a race has left
// wrong makes a miss, which puts it right.
type set struct {
	tags  [setPlans]atomic.Uint32
	plans [setPlans]atomic.Pointer[plan]
}

const (
	setPlans = 4

	defaultTopics    = 8192
	defaultReceivers = 262144

	seenPerTopic = 4

	// luckyMiss is one in how many misses stores a plan in any case: two
	// topics whose tags share a place would else keep each other out.
	luckyMiss = 64

	// sweepSets is how many sets a plan that is stored in a full cache may
	// look through for room.
	sweepSets = 64
)

func newCache(topics, receivers int) *cache {
	switch {
	case topics < 0:
		return nil
	case topics == 0:
		topics = defaultTopics
	}
	if receivers <= 0 {
		receivers = defaultReceivers
	}
	topics = max(setPlans, 1<<bits.Len(uint(topics-1)))
	return &cache{
		sets:  make([]set, topics/setPlans),
		seen:  make([]atomic.Uint64, topics*seenPerTopic),
		limit: int64(receivers),
	}
}

// tagOf is the part of a topic's hash that tells it apart in a set.
func tagOf(hash uint64) uint32 { return uint32(hash >> 32) }

func hashOf(name string) uint64 { return maphash.Comparable(seed, name) }

func (c *cache) set(hash uint64) *set { return &c.sets[hash&uint64(len(c.sets)-1)] }

// get returns the plan for a topic if there is one, stale or not.
func (c *cache) get(name string, hash uint64) *plan {
	s := c.set(hash)
	for i := range s.plans {
		if s.tags[i].Load() != tagOf(hash) {
			continue
		}
		if p := s.plans[i].Load(); p != nil && p.hash == hash && p.topic == name {
			if !p.used.Load() {
				p.used.Store(true)
			}
			return p
		}
	}
	return nil
}

// sight is what a place in cache.seen says: a tag of the topic, and below it a
// tag of the state of its subscriptions when it was missed, or 0.
type sight uint64

func (s sight) topic() uint32 { return uint32(s >> 32) }
func (s sight) state() uint32 { return uint32(s) }

func (c *cache) sight(hash uint64) *atomic.Uint64 {
	return &c.seen[hash>>16&uint64(len(c.seen)-1)]
}

// missed notes that a topic was missed, and reports whether it was missed
// before: whether its plan may be worth storing, and a stamp be taken for it.
func (c *cache) missed(b *planner) bool {
	place, tag := c.sight(b.hash), tagOf(b.hash)
	if sight(place.Load()).topic() == tag {
		return true
	}
	place.Store(uint64(tag) << 32)
	b.misses++
	b.lucky = b.misses%luckyMiss == 0
	return b.lucky
}

// wants reports whether the plan of a topic that was missed before should be
// stored: if nothing has changed since then.
func (c *cache) wants(b *planner) bool {
	if b.weight() > c.limit/4 {
		return false
	}
	place, tag := c.sight(b.hash), tagOf(b.hash)
	state := uint32(mix(b.stamps[0].Sum()+b.stamps[1].Sum())) | 1
	if b.lucky || sight(place.Load()).state() == state {
		return true
	}
	place.Store(uint64(tag)<<32 | uint64(state))
	return false
}

// put stores a copy of the plan if it finds a place for it.
func (c *cache) put(b *planner, r *Router) {
	s := c.set(b.hash)
	if i := s.place(b, r); i >= 0 && c.swap(s, i, b.clone()) {
		c.shrink(r)
	}
}

// place returns where the plan may lie: where it lay before, a place that is
// free or stale, or else one that was not used since it was last looked at. It
// is -1 if there is none.
func (s *set) place(b *planner, r *Router) int {
	found := -1
	for i := range s.plans {
		switch old := s.plans[i].Load(); {
		case old != nil && old.hash == b.hash && old.topic == b.topic:
			return i
		case old == nil || !r.current(old):
			found = i
		}
	}
	for i := range s.plans {
		if old := s.plans[i].Load(); found < 0 && (old == nil || !old.used.Swap(false)) {
			found = i
		}
	}
	return found
}

// swap replaces what lies at one place of a set by p, keeps count, and reports
// whether nobody else did so meanwhile.
func (c *cache) swap(s *set, i int, p *plan) bool {
	old := s.plans[i].Load()
	if !s.plans[i].CompareAndSwap(old, p) {
		return false
	}
	var d int64
	if p != nil {
		d += p.weight()
		s.tags[i].Store(tagOf(p.hash))
	}
	if old != nil {
		d -= old.weight()
	}
	c.receivers.Add(d)
	return true
}

// shrink drops plans that are stale or were not used lately until the rest is
// within the limit, and in the last resort any plan.
func (c *cache) shrink(r *Router) {
	for n := 0; c.receivers.Load() > c.limit; n++ {
		s := c.next()
		for i := range s.plans {
			if p := s.plans[i].Load(); p != nil && (n >= sweepSets || !r.current(p) || !p.used.Swap(false)) {
				c.swap(s, i, nil)
			}
		}
	}
}

// sweep drops the stale plans of one set. Every change of the subscriptions
// sweeps one, so that sessions which are gone do not stay in stale plans.
func (c *cache) sweep(r *Router) {
	s := c.next()
	for i := range s.plans {
		if p := s.plans[i].Load(); p != nil && !r.current(p) {
			c.swap(s, i, nil)
		}
	}
}

func (c *cache) next() *set { return c.set(uint64(c.hand.Add(1))) }

// current reports whether p is what a new plan for its topic would be.
func (r *Router) current(p *plan) bool {
	return r.subscriptions.Current(p.stamps[0]) && r.groups.Current(p.stamps[1])
}

// route appends the receivers of m by a plan from the cache or a new one.
func (r *Router) route(dst []Target, m *mqtt.Message) []Target {
	var hash uint64
	if r.cache != nil {
		hash = hashOf(m.Topic)
		if p := r.cache.get(m.Topic, hash); p != nil && r.current(p) {
			return p.append(dst, m)
		}
	}
	b := r.planners.Get().(*planner)
	b.topic, b.hash, b.lucky = m.Topic, hash, false
	stored := r.cache != nil && r.cache.missed(b)
	if stored {
		b.stamp(r)
	}
	b.match(r)
	dst = b.append(dst, m)
	if stored && r.cache.wants(b) {
		r.cache.put(b, r)
	}
	if b.reset() {
		r.planners.Put(b)
	}
	return dst
}
