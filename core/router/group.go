package router

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// seed makes this process's hashes unlike any other's.
var seed = maphash.MakeSeed()

// group is one shared subscription: a group's name with a filter. It is read
// without a lock; the router's mutex serialises changes of the members.
type group struct {
	name     string         // "group/filter"
	strategy *atomic.Uint32 // a Strategy: the router's
	turn     atomic.Uint64
	members  atomic.Pointer[[]member] // the slice is immutable
}

type member struct {
	subscriber Subscriber
	grant      *grant
	via        *mqtt.Via // the group's, with the member's identifier
	hash       uint64    // of the client identifier
}

func newGroup(name string, s *atomic.Uint32) *group {
	g := &group{name: name, strategy: s}
	g.members.Store(new([]member))
	return g
}

func newMember(s Subscriber, granted *grant) member {
	return member{subscriber: s, grant: granted, hash: maphash.String(seed, s.ClientID())}
}

// join adds m, or replaces what it was granted.
func (g *group) join(m member) (existed bool) {
	m.via = &mqtt.Via{SubscriptionIDs: m.grant.ids(), Group: g.name}
	members := slices.Clone(*g.members.Load())
	i := indexOf(members, m.subscriber)
	if existed = i >= 0; existed {
		members[i] = m
	} else {
		members = append(members, m)
	}
	g.members.Store(&members)
	return existed
}

// leave removes a member and reports whether it was one, and whether the group
// is empty now.
func (g *group) leave(s Subscriber) (existed, empty bool) {
	members := *g.members.Load()
	i := indexOf(members, s)
	if i < 0 {
		return false, len(members) == 0
	}
	members = slices.Delete(slices.Clone(members), i, i+1)
	g.members.Store(&members)
	return true, len(members) == 0
}

func indexOf(members []member, s Subscriber) int {
	return slices.IndexFunc(members, func(m member) bool { return m.subscriber == s })
}

// route appends the member that gets m, which is never except.
func (g *group) route(dst []Target, m *mqtt.Message, except Subscriber) []Target {
	members := *g.members.Load()
	i := g.choose(members, m, except)
	if i < 0 {
		return dst
	}
	var t terms
	t.add(members[i].grant)
	d := t.delivery(m)
	d.Via = members[i].via
	return append(dst, Target{Subscriber: members[i].subscriber, Delivery: d})
}

// choose returns the index of a member, or -1 if there is none but except.
func (g *group) choose(members []member, m *mqtt.Message, except Subscriber) int {
	switch Strategy(g.strategy.Load()) {
	case Sticky:
		publisher := maphash.String(seed, m.Publisher)
		// Rendezvous hashing: the highest of the scores that publisher and
		// member have together.
		return best(members, 0, except, func(m *member) uint64 { return ^mix(publisher ^ m.hash) })
	case LeastInFlight:
		// Members with equally little to do take turns.
		return best(members, g.turn.Add(1), except, func(m *member) uint64 { return uint64(max(0, m.subscriber.Pending())) })
	default:
		return g.next(members, except)
	}
}

// next returns the member whose turn it is. The turn goes on from the member
// that was found, not from the one that was tried first, or those behind an
// offline one would get its share too.
func (g *group) next(members []member, except Subscriber) int {
	for {
		turn := g.turn.Load()
		skipped := first(members, turn, except)
		if skipped < 0 {
			return -1
		}
		if g.turn.CompareAndSwap(turn, turn+uint64(skipped)+1) {
			return at(members, turn, skipped)
		}
	}
}

// at returns the index of the member i places behind the one at turn.
func at(members []member, turn uint64, i int) int {
	return int((turn + uint64(i)) % uint64(len(members)))
}

// first returns how many members behind the one at turn the first one is that
// is online, or else the first one at all; -1 if there is none but except.
func first(members []member, turn uint64, except Subscriber) int {
	offline := -1
	for i := range members {
		m := &members[at(members, turn, i)]
		if m.subscriber == except {
			continue
		}
		if m.subscriber.Online() {
			return i
		}
		if offline < 0 {
			offline = i
		}
	}
	return offline
}

// best returns the index of the member with the lowest cost among those that
// are online, or else among all; of equals the first one from turn on. It is
// -1 if there is none but except.
func best(members []member, turn uint64, except Subscriber, cost func(*member) uint64) int {
	found, lowest, online := -1, uint64(0), false
	for i := range members {
		at := at(members, turn, i)
		m := &members[at]
		if m.subscriber == except {
			continue
		}
		on := m.subscriber.Online()
		if online && !on {
			continue
		}
		if c := cost(m); found < 0 || on != online || c < lowest {
			found, lowest, online = at, c, on
		}
	}
	return found
}

// mix spreads the bits of x (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
