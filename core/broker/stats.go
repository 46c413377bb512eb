package broker

import (
	"iter"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// counters are the broker's own numbers.
type counters struct {
	connections, clients, parked                  atomic.Int64
	mostClients                                   atomic.Int64 // at once
	sockets, connectPackets                       atomic.Uint64
	connects, refusedConnections, expiredSessions atomic.Uint64
	messagesIn, messagesOut, messagesDropped      atomic.Uint64
	payloadIn, payloadOut                         atomic.Uint64 // bytes
	bytesIn, bytesOut, packetsIn, packetsOut      atomic.Uint64
	drops                                         [len(causes)]atomic.Uint64
}

var causes = [...]hook.Cause{
	hook.CauseQueueFull, hook.CauseExpired, hook.CauseOffline, hook.CauseTooLarge, hook.CauseNotAuthorized,
	hook.CauseHook, hook.CauseFailed, hook.CauseSession, hook.CauseRate, hook.CauseStore,
	hook.CauseFormat, hook.CauseHops,
}

// connected counts a client that comes (1) or goes (-1).
func (s *counters) connected(n int64) {
	now := s.clients.Add(n)
	for {
		most := s.mostClients.Load()
		if now <= most || s.mostClients.CompareAndSwap(most, now) {
			return
		}
	}
}

func (s *counters) dropped(cause hook.Cause, n int) {
	if n == 0 {
		return
	}
	s.messagesDropped.Add(uint64(n))
	for i, c := range causes {
		if c == cause {
			s.drops[i].Add(uint64(n))
		}
	}
}

// Stats is a reading of the broker's numbers.
type Stats struct {
	Started         time.Time
	Connections     int // open, connecting ones included
	Clients         int // connected
	Idle            int // connections that say nothing; see Limits.IdleAfter
	Sessions        int // connected or not
	Subscriptions   int
	Retained        int
	Connects        uint64 // since the start
	Refused         uint64 // connections refused since the start
	MessagesIn      uint64 // PUBLISH packets
	MessagesOut     uint64 // PUBLISH packets
	MessagesDropped uint64
	BytesIn         uint64
	BytesOut        uint64
	PacketsIn       uint64
	PacketsOut      uint64
	ExpiredSessions uint64
	Drops           map[hook.Cause]uint64
}

// Stats returns the numbers as they are now.
func (b *Broker) Stats() Stats {
	s := &b.stats
	out := Stats{
		Started: b.started, Connections: int(s.connections.Load()), Clients: int(s.clients.Load()), Idle: int(s.parked.Load()),
		Sessions: b.clients.len(), Subscriptions: b.router.Subscriptions(), Retained: b.retained.Len(),
		Connects: s.connects.Load(), Refused: s.refusedConnections.Load(),
		MessagesIn: s.messagesIn.Load(), MessagesOut: s.messagesOut.Load(), MessagesDropped: s.messagesDropped.Load(),
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(), PacketsIn: s.packetsIn.Load(), PacketsOut: s.packetsOut.Load(),
		ExpiredSessions: s.expiredSessions.Load(), Drops: make(map[hook.Cause]uint64),
	}
	for i, c := range causes {
		if n := s.drops[i].Load(); n > 0 {
			out.Drops[c] = n
		}
	}
	return out
}

// emit completes an event of a client (nil for none) and hands it to the
// observers.
func (b *Broker) emit(cl *client, e *hook.Event) {
	e.Time = time.Now()
	if cl != nil {
		e.ClientID, e.Seq = cl.id, cl.seq.Add(1)
		if info := cl.info.Load(); info != nil {
			e.Client, e.ConnectionID = info, info.ConnectionID
		}
	}
	b.hooks.Emit(e)
}

// present tells observers who is connected; see [hook.Presence].
func (b *Broker) present() iter.Seq[hook.Event] {
	return func(yield func(hook.Event) bool) {
		now := time.Now()
		for _, cl := range b.clients.all() {
			seq := cl.seq.Load() // whatever changes from here on has a larger number
			info := cl.info.Load()
			if cl.current() == nil || info == nil {
				continue
			}
			e := hook.Event{
				Kind: hook.Present, Time: now, Client: info, ClientID: cl.id, ConnectionID: info.ConnectionID, Seq: seq,
			}
			if !yield(e) {
				return
			}
		}
	}
}

// published tells of a message that was routed.
func (b *Broker) published(cl *client, m *mqtt.Message, receivers int) {
	if b.hooks.Observes(hook.Published) {
		b.emit(cl, &hook.Event{Kind: hook.Published, Message: m})
	}
	if receivers == 0 && b.hooks.Observes(hook.NotConsumed) {
		b.emit(cl, &hook.Event{Kind: hook.NotConsumed, Message: m})
	}
}

// dropped counts and tells of a message that does not reach a client, or that
// a client's publish did not get through.
func (b *Broker) dropped(cl *client, m *mqtt.Message, cause hook.Cause) {
	b.stats.dropped(cause, 1)
	if cl != nil {
		cl.receipts.dropped(m, cause)
	}
	if b.hooks.Observes(hook.Dropped) {
		b.emit(cl, &hook.Event{Kind: hook.Dropped, Message: m, Cause: cause})
	}
}
