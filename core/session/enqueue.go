package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Outcome is what became of a message.
type Outcome uint8

// The outcomes of [Session.Enqueue], and the causes of a [Drop].
const (
	// Queued: the message waits to be sent.
	Queued Outcome = iota
	// DroppedNew: it was not queued, for the queue is full or it is larger
	// than the whole queue may be.
	DroppedNew
	// DroppedOldest: it is queued, and at least one that had waited longer
	// was dropped to make room.
	DroppedOldest
	// DroppedOffline: it has QoS 0 and the client is away.
	DroppedOffline
	// DroppedExpired: its Message Expiry Interval has passed.
	DroppedExpired
	// DroppedEnded: the session was drained. A message of a share group goes
	// to another member, as those do that were queued before.
	DroppedEnded
	// Overflowed: the session is kept, its queue is full, and Limits.Kept says
	// that it has to end rather than miss a message. It is for the caller to see
	// to that.
	Overflowed
)

// String names the outcome in lower case, as a metric's label or an event's
// cause shows it.
func (o Outcome) String() string {
	switch o {
	case Queued:
		return "queued"
	case DroppedNew:
		return "queue full, newest dropped"
	case DroppedOldest:
		return "queue full, oldest dropped"
	case DroppedOffline:
		return "offline"
	case DroppedExpired:
		return "expired"
	case DroppedEnded:
		return "session ended"
	case Overflowed:
		return "queue full, session ends"
	default:
		return "unknown"
	}
}

// Drop is a queued message that will not be sent. Cause is DroppedOldest or
// DroppedExpired.
type Drop struct {
	Delivery mqtt.Delivery
	Cause    Outcome
}

// Enqueue puts a message in the queue. The outcome is that of d itself; the
// drops, nil in all but rare cases, are queued messages that had to go: for
// room, or because a full queue was searched for expired ones. The caller
// counts and reports both. Called by many goroutines at once; it may call
// Wake, after unlocking.
//
// A message whose expiry interval is zero is queued for a connected client
// only and stays there for at most one second.
func (s *Session) Enqueue(d mqtt.Delivery, now time.Time) (Outcome, []Drop) {
	s.mu.Lock()
	outcome, dropped := s.admit(d, now)
	position := s.seal()
	s.unlock()
	if position != 0 {
		s.kept.log.After(position, s.spilled)
	}
	return outcome, dropped
}

func (s *Session) admit(d mqtt.Delivery, now time.Time) (Outcome, []Drop) {
	if s.ended {
		return DroppedEnded, nil
	}
	if d.QoS == mqtt.AtMostOnce && s.conn == nil && !s.limits.QueueQoS0Offline {
		return DroppedOffline, nil
	}
	at, expires := sendBy(d.Message)
	if expires && (!now.Before(at) || s.conn == nil && d.Message.Expired(now)) {
		return DroppedExpired, nil // [MQTT-3.3.2-5]
	}
	var dropped []Drop
	var outcome Outcome
	q := &s.queue
	if s.kept.spills() {
		outcome, dropped = s.makeRoomKept(&d, now)
	} else {
		outcome, dropped = s.makeRoom(d.Message.Size(), now)
	}
	if outcome != Queued && outcome != DroppedOldest {
		return outcome, dropped
	}
	s.sequence++
	it := item{Delivery: d, sequence: s.sequence}
	if s.kept.spills() && d.QoS != mqtt.AtMostOnce {
		q = s.pushKept(it)
	} else {
		s.queue.push(it)
	}
	s.recordQueued(&it)
	if expires {
		q.expires(at)
	}
	return outcome, dropped
}

// makeRoom makes the queue fit for another message of size bytes. The dead go
// first, then the oldest if the policy says so.
func (s *Session) makeRoom(size int, now time.Time) (Outcome, []Drop) {
	if s.fits(size) {
		return Queued, nil
	}
	if size > s.limits.QueueBytes {
		return DroppedNew, nil
	}
	s.unpass()
	dropped := s.expire(now)
	if s.fits(size) {
		return Queued, dropped
	}
	if s.limits.Overflow == DropNewest {
		return DroppedNew, dropped
	}
	for !s.fits(size) {
		it := s.queue.pop()
		s.recordRemoval(&it)
		dropped = append(dropped, Drop{it.Delivery, DroppedOldest})
	}
	return DroppedOldest, dropped
}

func (s *Session) fits(size int) bool {
	messages, bytes := s.passed()
	return messages+s.queue.count < s.limits.QueueMessages && bytes+s.queue.bytes+size <= s.limits.QueueBytes
}

// sendBy returns the moment until which sending of m may begin. An interval
// of zero means "at once", which is not possible: the resolution of the
// interval, one second, is what the queue and the writer get.
func sendBy(m *mqtt.Message) (time.Time, bool) {
	at, ok := m.ExpiresAt()
	if ok && m.Properties.Expiry == 0 {
		at = at.Add(time.Second)
	}
	return at, ok
}
