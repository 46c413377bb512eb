package session_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// names renders drops as "name cause".
func names(dropped []session.Drop) []string {
	var got []string
	for _, d := range dropped {
		got = append(got, fmt.Sprintf("%s %v", d.Delivery.Message.Payload, d.Cause))
	}
	return got
}

// offer queues a message and fails the test unless the outcome and the drops
// are the expected ones.
func offer(t *testing.T, s *session.Session, d mqtt.Delivery, now time.Time, want session.Outcome, drops ...string) {
	t.Helper()
	got, dropped := s.Enqueue(d, now)
	if got != want {
		t.Fatalf("Enqueue(%s) = %v, want %v", d.Message.Payload, got, want)
	}
	equal(t, names(dropped), drops)
}

const oldest = "queue full, oldest dropped"

func TestQueueBoundByCount(t *testing.T) {
	for _, tt := range []struct {
		name     string
		overflow session.Overflow
		want     []string
	}{
		{"drop oldest", session.DropOldest, []string{"publish 1 c", "publish 0 d"}},
		{"drop newest", session.DropNewest, []string{"publish 0 a", "publish 1 b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := attached(session.Limits{QueueMessages: 2, Overflow: tt.overflow})
			enqueue(t, s, message(0, "a"), message(1, "b"))
			if tt.overflow == session.DropOldest {
				offer(t, s, message(1, "c"), t0, session.DroppedOldest, "a "+oldest)
				offer(t, s, message(0, "d"), t0, session.DroppedOldest, "b "+oldest)
			} else {
				offer(t, s, message(1, "c"), t0, session.DroppedNew)
				offer(t, s, message(0, "d"), t0, session.DroppedNew)
			}
			equal(t, take(s), tt.want)
		})
	}
}

func TestQueueBoundByBytes(t *testing.T) {
	s := attached(session.Limits{QueueBytes: 4 * (len("demo/topic") + 1)})
	enqueue(t, s, message(0, "a"), message(0, "b"), message(0, "c"))
	_, bytes := s.QueueLen()
	equal(t, bytes, 33)
	// 24 bytes fit only when two of 11 have gone.
	offer(t, s, message(0, "fourteen bytes"), t0, session.DroppedOldest, "a "+oldest, "b "+oldest)
	messages, bytes := s.QueueLen()
	equal(t, messages, 2)
	equal(t, bytes, 35)
	// What can never fit costs nothing that is there.
	offer(t, s, message(0, fmt.Sprintf("%35s", "too large")), t0, session.DroppedNew)
	equal(t, take(s), []string{"publish 0 c", "publish 0 fourteen bytes"})
	messages, bytes = s.QueueLen()
	equal(t, messages+bytes, 0)
}

// What is in flight is not in the queue and never gives way.
func TestOverflowSparesInFlight(t *testing.T) {
	s := attached(session.Limits{QueueMessages: 1, InFlight: 2})
	enqueue(t, s, message(1, "a"))
	take(s)
	enqueue(t, s, message(2, "b"))
	take(s)
	enqueue(t, s, message(1, "c"))
	offer(t, s, message(1, "d"), t0, session.DroppedOldest, "c "+oldest)
	equal(t, s.Pending(), 3)
	reattach(s, 0)
	equal(t, take(s), []string{"publish 1 a dup", "publish 2 b dup"})
	s.Puback(1)
	equal(t, take(s), []string{"publish 3 d"})
}

func TestSetLimitsShrinksTheQueue(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(0, "a"), message(0, "b"), message(0, "c"))
	s.SetLimits(session.Limits{QueueMessages: 2})
	messages, _ := s.QueueLen()
	equal(t, messages, 3)
	offer(t, s, message(0, "d"), t0, session.DroppedOldest, "a "+oldest, "b "+oldest)
	equal(t, take(s), []string{"publish 0 c", "publish 0 d"})
}

// QoS 0 is not kept for a client that is away (section 4.1 lets us choose).
func TestQoS0Offline(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(0, "a"), message(1, "b"), message(0, "c"))
	equal(t, len(s.Detach()), 2)
	equal(t, len(s.Detach()), 0)
	offer(t, s, message(0, "d"), t0, session.DroppedOffline)
	enqueue(t, s, message(2, "e"))
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, take(s), []string{"publish 1 b", "publish 2 e"})

	s = session.New("client", session.Limits{QueueQoS0Offline: true})
	enqueue(t, s, message(0, "a"))
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, len(s.Detach()), 0)
	enqueue(t, s, message(0, "b"))
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, take(s), []string{"publish 0 a", "publish 0 b"})
}

// [MQTT-3.3.2-5]: a message whose interval has passed before its sending
// began is dropped, wherever it is met.
func TestExpiry(t *testing.T) {
	after := t0.Add(10 * time.Second)
	t.Run("at enqueue", func(t *testing.T) {
		s := attached(session.Limits{})
		offer(t, s, expiring(1, "a", 10), after, session.DroppedExpired)
		offer(t, s, expiring(1, "b", 11), after, session.Queued)
	})
	t.Run("at sending", func(t *testing.T) {
		s := attached(session.Limits{})
		enqueue(t, s, message(1, "a"), expiring(1, "b", 10), expiring(0, "c", 9), expiring(2, "d", 11))
		var expired []string
		out := s.Next(nil, 10, after, func(m *mqtt.Message) {
			s.Pending() // runs without the lock
			expired = append(expired, string(m.Payload))
		})
		equal(t, expired, []string{"b", "c"})
		equal(t, len(out), 2)
		equal(t, out[1].ID, uint16(2)) // b took no identifier
	})
	t.Run("without anyone to tell", func(t *testing.T) {
		s := attached(session.Limits{})
		enqueue(t, s, expiring(1, "a", 10))
		equal(t, takeAt(s, after), []string(nil))
		equal(t, s.Pending(), 0)
	})
	t.Run("when the queue is full", func(t *testing.T) {
		s := session.New("client", session.Limits{QueueMessages: 3, Overflow: session.DropNewest})
		enqueue(t, s, message(1, "a"), expiring(1, "b", 10), expiring(1, "c", 20))
		offer(t, s, message(1, "d"), after.Add(-1), session.DroppedNew)
		offer(t, s, message(1, "e"), after, session.Queued, "b expired")
		offer(t, s, message(1, "f"), after, session.DroppedNew)
	})
	t.Run("when the queue is full of larger ones", func(t *testing.T) {
		s := session.New("client", session.Limits{QueueBytes: 25})
		enqueue(t, s, expiring(1, "a", 10), message(1, "b"))
		offer(t, s, message(1, "ten bytes."), after, session.DroppedOldest, "a expired", "b "+oldest)
	})
	t.Run("when asked", func(t *testing.T) {
		s := session.New("client", session.Limits{})
		equal(t, s.Expire(after), []session.Drop(nil))
		enqueue(t, s, expiring(1, "a", 20), message(1, "b"), expiring(1, "c", 10))
		equal(t, s.Expire(after.Add(-1)), []session.Drop(nil))
		equal(t, names(s.Expire(after)), []string{"c expired"})
		equal(t, s.Expire(after), []session.Drop(nil))
		equal(t, names(s.Expire(after.Add(10*time.Second))), []string{"a expired"})
		equal(t, s.Pending(), 1)
		equal(t, cleared(s), 1)
		enqueue(t, s, expiring(1, "d", 10))
		equal(t, names(s.Expire(after)), []string{"d expired"})
	})
}

// [MQTT-4.3.3-7]: what was sent does not expire, and QoS 1 alike, for its
// sending has begun.
func TestInFlightDoesNotExpire(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, expiring(1, "a", 10), expiring(2, "b", 10))
	take(s)
	late := t0.Add(time.Hour)
	equal(t, s.Expire(late), []session.Drop(nil))
	reattach(s, 0)
	equal(t, takeAt(s, late), []string{"publish 1 a dup", "publish 2 b dup"})
}

// An interval of zero: now or never.
func TestExpiryOfZero(t *testing.T) {
	s := session.New("client", session.Limits{})
	offer(t, s, expiring(1, "a", 0), t0, session.DroppedExpired)
	s.Attach(session.Attachment{Version: mqtt.V5})
	soon := t0.Add(time.Second - 1)
	offer(t, s, expiring(1, "b", 0), soon, session.Queued)
	equal(t, takeAt(s, soon), []string{"publish 1 b"})
	offer(t, s, expiring(1, "c", 0), soon, session.Queued)
	equal(t, takeAt(s, t0.Add(time.Second)), []string(nil))
	offer(t, s, expiring(1, "d", 0), t0.Add(time.Second), session.DroppedExpired)
}

func filtered(s *session.Session, keep func(mqtt.Delivery) bool) int {
	removed, _ := s.Filter(keep)
	return removed
}

func TestFilter(t *testing.T) {
	s := attached(session.Limits{InFlight: 1})
	equal(t, filtered(s, func(mqtt.Delivery) bool { return false }), 0)
	enqueue(t, s, message(1, "in flight"))
	take(s)
	const many = 100 // several chunks
	for i := range many {
		enqueue(t, s, message(mqtt.QoS(i%2), fmt.Sprint(i)))
	}
	equal(t, filtered(s, func(mqtt.Delivery) bool { return true }), 0)
	removed := filtered(s, func(d mqtt.Delivery) bool {
		s.Pending() // runs without the lock
		return d.QoS == 0
	})
	equal(t, removed, many/2)
	out := take(s)
	equal(t, len(out), many/2)
	equal(t, out[many/2-1], "publish 0 98")
	equal(t, s.InFlight(), 1)
	_, bytes := s.QueueLen()
	equal(t, bytes, 0)
}

// Messages that come and go while Filter asks are not mistaken for others.
func TestFilterWhileTheQueueMoves(t *testing.T) {
	s := attached(session.Limits{QueueMessages: 4})
	enqueue(t, s, message(0, "a"), message(0, "b"), message(0, "c"), message(0, "d"))
	first := true
	removed := filtered(s, func(d mqtt.Delivery) bool {
		if first {
			first = false
			offer(t, s, message(0, "e"), t0, session.DroppedOldest, "a "+oldest)
			offer(t, s, message(0, "f"), t0, session.DroppedOldest, "b "+oldest)
		}
		name := string(d.Message.Payload)
		return name != "b" && name != "d"
	})
	equal(t, removed, 1)
	equal(t, take(s), []string{"publish 0 c", "publish 0 e", "publish 0 f"})
}

func cleared(s *session.Session) int {
	dropped, more := s.Clear()
	return len(dropped) + more
}

func TestClear(t *testing.T) {
	s := attached(session.Limits{InFlight: 1})
	for range 100 {
		enqueue(t, s, expiring(1, "m", 10))
	}
	take(s)
	equal(t, cleared(s), 99)
	equal(t, cleared(s), 0)
	equal(t, s.Pending(), 1)
	s.Puback(1)
	equal(t, take(s), []string(nil))
	enqueue(t, s, message(1, "after"))
	equal(t, take(s), []string{"publish 2 after"})
}

func TestOutcomeNames(t *testing.T) {
	seen := map[string]bool{}
	for o := session.Queued; o <= session.Overflowed+1; o++ {
		seen[o.String()] = true
	}
	equal(t, len(seen), 8)
}
