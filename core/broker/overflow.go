package broker

import (
	"log/slog"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// haveRoom reports whether all receivers that outlive the broker can take a
// message, where its publisher is to be told if they can't.
func (b *Broker) haveRoom(targets []router.Target, m *mqtt.Message) bool {
	if b.changes == nil || b.limits().Kept.Full != session.RefuseMessage || m.QoS == mqtt.AtMostOnce {
		return true
	}
	for i := range targets {
		t := &targets[i]
		if t.Delivery.Message == nil || t.Delivery.QoS == mqtt.AtMostOnce {
			continue
		}
		cl := t.Subscriber.(*client)
		if cl.sess.HasRoom(m.Size()) {
			continue
		}
		b.expired(cl, cl.sess.Expire(m.Created))
		if !cl.sess.HasRoom(m.Size()) {
			return false
		}
	}
	return true
}

// roomFor is haveRoom for a message that is about to be retained: what is refused
// must not stay behind.
func (b *Broker) roomFor(scratch *[]router.Target, m *mqtt.Message) bool {
	if b.changes == nil || b.limits().Kept.Full != session.RefuseMessage || m.QoS == mqtt.AtMostOnce {
		return true
	}
	var dst []router.Target
	if scratch != nil {
		dst = (*scratch)[:0]
	}
	targets := within(b.router.Route(dst, m))
	defer clear(targets)
	return b.haveRoom(targets, m)
}

// overflowed is how a connection ends whose client has missed something that
// others were told is kept for it.
var overflowed = ending{kind: hook.ByServer, code: mqtt.QuotaExceeded, reason: "too much waited for the client: its session ends"}

// overflow ends the session, soon, for its queue has no room.
func (c *client) overflow() {
	if !c.overflows.CompareAndSwap(false, true) {
		return
	}
	messages, bytes := c.sess.QueueLen()
	c.b.log.Warn("the queue of a session is full: the session ends with all that waits in it",
		slog.String("client", c.id), slog.Int("messages", messages), slog.Int("bytes", bytes))
	c.endSoon(doomedOverflowed)
}
