package broker

import (
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// counters are the broker's own numbers.
type counters struct {
	connections, clients, parked             atomic.Int64
	mostClients                              atomic.Int64 // at once
	sockets, connectPackets                  atomic.Uint64
	connects, refusedConnections             atomic.Uint64
	expiredSessions, overflowedSessions      atomic.Uint64
	messagesDropped                          atomic.Uint64
	in, out                                  [len(versions)]flow
	endings                                  [len(endings)]atomic.Uint64
	bytesIn, bytesOut, packetsIn, packetsOut atomic.Uint64
	drops                                    [len(causes)]atomic.Uint64
	refusals                                 [len(refusals)]atomic.Uint64
	heldBack                                 atomic.Uint64 // times
}

// versions are those that are counted apart; see versionAt.
var versions = [...]mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5}

// versionAt returns the place of a version among versions.
func versionAt(v mqtt.Version) int {
	switch v {
	case mqtt.V31:
		return 0
	case mqtt.V311:
		return 1
	default:
		return 2
	}
}

// endings are how connections of clients end.
var endings = [...]hook.DisconnectKind{hook.ByClient, hook.Lost, hook.TakenOver, hook.ByServer}

// Causes returns all causes that [Stats] may have in its Drops.
func Causes() []hook.Cause { return slices.Clone(causes[:]) }

var causes = [...]hook.Cause{
	hook.CauseQueueFull, hook.CauseExpired, hook.CauseOffline, hook.CauseTooLarge, hook.CauseNotAuthorized,
	hook.CauseHook, hook.CauseFailed, hook.CauseSession, hook.CauseRate, hook.CauseStore,
	hook.CauseFormat, hook.CauseHops, hook.CauseMemory, hook.CauseQuota,
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

// ended counts a client's connection that has ended.
func (s *counters) ended(kind hook.DisconnectKind) {
	for i, k := range endings {
		if k == kind {
			s.endings[i].Add(1)
		}
	}
}

// flowed adds up what all flows counted.
func (s *counters) flowed() (n totals) {
	for v := range versions {
		for qos := range s.in[v].messages {
			n.messagesIn += s.in[v].messages[qos].Load()
			n.messagesOut += s.out[v].messages[qos].Load()
			n.payloadIn += s.in[v].payload[qos].Load()
			n.payloadOut += s.out[v].payload[qos].Load()
		}
	}
	return n
}

// totals are PUBLISH packets and the bytes of their payloads.
type totals struct{ messagesIn, messagesOut, payloadIn, payloadOut uint64 }

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

// Stats is a reading of the broker's numbers. What is counted is counted since
// the start.
type Stats struct {
	Started             time.Time
	Connections         int // open, connecting ones included
	Clients             int // connected
	MostClients         int // at once
	Idle                int // connections that say nothing; see Limits.IdleAfter
	Authenticating      int // clients that wait until the validators are asked about them
	Asking              int // clients about which the validators are being asked
	Sessions            int // connected or not
	Subscriptions       int // shared ones included
	SharedSubscriptions int
	ShareGroups         int
	QueuedBytes         int // of the messages that wait for clients, in all queues together
	Retained            int
	RetainedBytes       int    // topics, payloads and properties
	Accepted            uint64 // connections, whatever became of them
	Connects            uint64 // clients that connected
	Refused             uint64 // connections
	HeldBack            uint64 // times that a publisher was held back for its rate
	MessagesIn          uint64 // PUBLISH packets
	MessagesOut         uint64 // PUBLISH packets
	MessagesDropped     uint64
	PayloadIn           uint64 // bytes of PUBLISH packets' payloads
	PayloadOut          uint64
	BytesIn             uint64
	BytesOut            uint64
	PacketsIn           uint64
	PacketsOut          uint64
	ExpiredSessions     uint64
	OverflowedSessions  uint64                  // that ended because their queue was full
	Drops               map[hook.Cause]uint64   // without causes that did not occur
	Refusals            map[RefusalCause]uint64 // without causes that did not occur
	Disconnects         map[string]uint64       // by who ended it: "client", "network", "takeover", "server"
	Flows               []Flow                  // one for each version and QoS
}

// Flow counts the PUBLISH packets of one version and QoS.
type Flow struct {
	Version                 mqtt.Version
	QoS                     mqtt.QoS // of the packet
	MessagesIn, MessagesOut uint64
	PayloadIn, PayloadOut   uint64 // bytes
}

// Stats returns the numbers as they are now.
func (b *Broker) Stats() Stats {
	s := &b.stats
	total := s.flowed()
	out := Stats{
		Started: b.started, Connections: int(s.connections.Load()), Clients: int(s.clients.Load()),
		MostClients: int(s.mostClients.Load()), Idle: int(s.parked.Load()),
		Sessions: b.clients.len(), Subscriptions: b.router.Subscriptions(), SharedSubscriptions: b.router.Shared(),
		ShareGroups: b.router.Groups(),
		Retained:    b.retained.Len(), RetainedBytes: b.retained.Bytes(),
		Accepted: s.sockets.Load(), Connects: s.connects.Load(), Refused: s.refusedConnections.Load(),
		MessagesIn: total.messagesIn, MessagesOut: total.messagesOut, MessagesDropped: s.messagesDropped.Load(),
		PayloadIn: total.payloadIn, PayloadOut: total.payloadOut,
		BytesIn: s.bytesIn.Load(), BytesOut: s.bytesOut.Load(), PacketsIn: s.packetsIn.Load(), PacketsOut: s.packetsOut.Load(),
		ExpiredSessions: s.expiredSessions.Load(), OverflowedSessions: s.overflowedSessions.Load(), Drops: make(map[hook.Cause]uint64), Disconnects: make(map[string]uint64),
		Refusals: make(map[RefusalCause]uint64), HeldBack: s.heldBack.Load(), QueuedBytes: int(b.queued.Used().Load()), Authenticating: b.authentications.Waiting(),
		Asking: b.authentications.Inside(),
	}
	for i, c := range causes {
		if n := s.drops[i].Load(); n > 0 {
			out.Drops[c] = n
		}
	}
	for i, why := range refusals {
		if n := s.refusals[i].Load(); n > 0 {
			out.Refusals[why] = n
		}
	}
	for i, k := range endings {
		out.Disconnects[kindName(k)] = s.endings[i].Load()
	}
	for i, v := range versions {
		for qos := range s.in[i].messages {
			out.Flows = append(out.Flows, Flow{
				Version: v, QoS: mqtt.QoS(qos), //nolint:gosec // 0, 1 or 2
				MessagesIn: s.in[i].messages[qos].Load(), MessagesOut: s.out[i].messages[qos].Load(),
				PayloadIn: s.in[i].payload[qos].Load(), PayloadOut: s.out[i].payload[qos].Load(),
			})
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

// publishedTogether tells of the messages of a parcel that were routed. events is
// room for that, and returned empty.
func (b *Broker) publishedTogether(cl *client, l *session.Parcel, events []hook.Event) []hook.Event {
	now, messages, info := time.Now(), l.Messages(), cl.info.Load()
	seq := cl.seq.Add(uint64(len(messages))) - uint64(len(messages))
	for i := range messages {
		seq++
		e := hook.Event{Kind: hook.Published, Time: now, ClientID: cl.id, Seq: seq, Message: &messages[i]}
		if info != nil {
			e.Client, e.ConnectionID = info, info.ConnectionID
		}
		events = append(events, e)
	}
	b.hooks.EmitRun(events)
	clear(events)
	return events[:0]
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
