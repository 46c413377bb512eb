package pluginhost

import (
	"slices"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// A plugin that calls the broker while it is asked something names the call. To
// find what the broker has in hand then, nothing is written down for calls that
// do not need it: the calls that wait for their answers are looked through.

// callsInHand finds what the broker has in hand with an instance. Its methods
// may be called from many goroutines; the zero value is ready.
type callsInHand struct {
	mu       sync.Mutex // guards the field below
	bindings []*binding
}

func (c *callsInHand) add(b *binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bindings = append(c.bindings, b)
}

func (c *callsInHand) remove(b *binding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bindings = slices.DeleteFunc(c.bindings, func(x *binding) bool { return x == b })
}

// find returns what is in hand with the call of a connection (0 for none) that
// has a number, nil if nobody waits for such a call.
func (c *callsInHand) find(connection, seq uint64) *hook.InHand {
	c.mu.Lock()
	bindings := slices.Clone(c.bindings)
	c.mu.Unlock()
	for _, b := range bindings {
		if b.coalescer != nil {
			if hand := b.coalescer.inHand(connection, seq); hand != nil {
				return hand
			}
		} else if hand := b.unary.inHand(connection, seq); hand != nil {
			return hand
		}
	}
	return nil
}

// inHand is find for the calls of one stream.
func (c *coalescer) inHand(connection, seq uint64) *hook.InHand {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.frames.findLive(seq)
	if f == nil {
		return nil
	}
	s := f.slots[seq-f.first]
	if s.group == nil || !s.group.items[s.item].isOf(connection) {
		return nil
	}
	return s.group.hand
}

func (it *item) isOf(connection uint64) bool {
	if it.client == nil {
		return connection == 0
	}
	return it.client.ConnectionID == connection
}

// unaryCalls numbers the calls that are made one by one, and knows those that
// are under way. The zero value is ready.
type unaryCalls struct {
	mu    sync.Mutex // guards the fields below
	last  uint64
	under map[uint64]piece // by the first number
}

// begin gives the items of a piece numbers that no other call has, and returns
// the first. end has to follow.
func (u *unaryCalls) begin(p piece) (first uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.under == nil {
		u.under = make(map[uint64]piece)
	}
	first = u.last + 1
	u.last += uint64(p.to - p.from)
	u.under[first] = p
	return first
}

func (u *unaryCalls) end(first uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.under, first)
}

// inHand is find for the calls that are under way.
func (u *unaryCalls) inHand(connection, seq uint64) *hook.InHand {
	u.mu.Lock()
	defer u.mu.Unlock()
	for first, p := range u.under {
		if at := seq - first; at < uint64(p.to-p.from) && p.group.items[p.from+int(at)].isOf(connection) {
			return p.group.hand
		}
	}
	return nil
}
