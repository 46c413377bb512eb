package broker

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Hooks may publish while they are asked. What they publish with the context
// that they got goes out when what is in hand is done with: by the goroutine
// that asks, so that whoever causes such messages waits for them, and one after
// the other, so that no chain of them takes more than one stack.

// hold returns the context in which hooks are asked about what the client sent,
// until release. Called by the reader.
func (c *conn) hold() context.Context {
	if !c.b.hooks.InterceptsAny(hook.AfterAuthorization) {
		return c.b.hookContext()
	}
	c.inHand.Open()
	return hook.WithInHand(c.b.hookContext(), &c.inHand)
}

// release publishes what hooks published since hold. The answers to what was in
// hand are queued, and so reach the client before any such message.
func (c *conn) release() {
	if later := c.inHand.Close(); len(later) > 0 {
		c.w.kick()
		c.b.publishLater(later)
	}
}

// inHand calls f with the context in which hooks are to be asked about a message
// with so many hops, and publishes afterwards what they published meanwhile.
func (b *Broker) inHand(hops uint8, f func(context.Context)) {
	hand := hook.NewInHand(hops)
	hand.Open()
	f(hook.WithInHand(b.hookContext(), hand))
	b.publishLater(hand.Close())
}

// publishLater publishes messages in their order, and what hooks publish on
// account of them behind. Hops bound the length of such chains, and
// [hook.MaxLater] their width.
func (b *Broker) publishLater(queue []*mqtt.Message) {
	for len(queue) > 0 {
		m := queue[0]
		queue[0] = nil
		queue = queue[1:]
		hand := hook.NewInHand(m.Hops)
		hand.Open()
		b.publishOne(hook.WithInHand(b.hookContext(), hand), nil, m)
		next := hand.Close()
		room := min(len(next), max(0, hook.MaxLater-len(queue)))
		for _, m := range next[room:] {
			b.dropped(nil, m, hook.CauseQueueFull)
		}
		queue = append(queue, next[:room]...)
	}
}
