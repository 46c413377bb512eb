package session_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// [MQTT-2.2.1-2]: no packet identifier for QoS 0. [MQTT-2.2.1-4]: one that is
// not zero and not in use for the others.
func TestPacketIdentifiers(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(0, "a"), message(1, "b"), message(2, "c"), message(0, "d"), message(1, "e"))
	equal(t, take(s), []string{"publish 0 a", "publish 1 b", "publish 2 c", "publish 0 d", "publish 3 e"})
	equal(t, s.InFlight(), 3)
}

// [MQTT-2.2.1-4]: the identifiers wrap around, without 0 and without the one
// that is still in flight.
func TestPacketIdentifiersWrap(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "stuck"))
	equal(t, take(s), []string{"publish 1 stuck"})
	next := func() uint16 {
		t.Helper()
		enqueue(t, s, message(1, "m"))
		out := s.Next(nil, 10, t0, nil)
		if len(out) != 1 {
			t.Fatalf("Next returned %d packets", len(out))
		}
		return out[0].ID
	}
	last, wraps := uint16(1), 0
	for range 1 << 17 {
		id := next()
		if id == 0 || id == 1 {
			t.Fatalf("identifier %d given out", id)
		}
		if id < last {
			wraps++
		}
		last = id
		if _, found := s.Puback(id); !found {
			t.Fatalf("identifier %d not found", id)
		}
	}
	if wraps < 2 {
		t.Fatalf("%d wraps", wraps)
	}
	d, found := s.Puback(1)
	equal(t, found, true)
	equal(t, string(d.Message.Payload), "stuck")
	equal(t, s.InFlight(), 0)
}

// All 65,535 identifiers in flight are a full window and nothing else: the
// next message waits for any one of them.
func TestPacketIdentifiersExhausted(t *testing.T) {
	const all = 65535
	s := attached(session.Limits{InFlight: all, QueueMessages: all + 2, QueueBytes: 1 << 30})
	for range all + 2 {
		enqueue(t, s, message(1, "m"))
	}
	seen := make([]bool, all+1)
	for _, o := range s.Next(nil, 1<<20, t0, nil) {
		if o.ID == 0 || seen[o.ID] {
			t.Fatalf("identifier %d given out twice or zero", o.ID)
		}
		seen[o.ID] = true
	}
	equal(t, s.InFlight(), all)
	equal(t, take(s), []string(nil))
	_, found := s.Puback(4242)
	equal(t, found, true)
	equal(t, take(s), []string{"publish 4242 m"})
	_, found = s.Puback(1)
	equal(t, found, true)
	equal(t, take(s), []string{"publish 1 m"})
	for id := 1; id <= all; id++ {
		if _, found := s.Puback(uint16(id)); !found {
			t.Fatalf("identifier %d not found", id)
		}
	}
	equal(t, s.Pending(), 0)
}

// [MQTT-3.3.4-9] [MQTT-4.9.0-1]: the window is the smallest of the client's
// Receive Maximum, our cap and the connection's.
func TestSendWindow(t *testing.T) {
	tests := []struct {
		name     string
		inFlight uint16
		attach   session.Attachment
		want     int
	}{
		{"default", 0, session.Attachment{Version: mqtt.V5}, session.DefaultInFlight},
		{"client's receive maximum", 0, session.Attachment{Version: mqtt.V5, ReceiveMaximum: 3}, 3},
		{"our cap", 5, session.Attachment{Version: mqtt.V5, ReceiveMaximum: 30}, 5},
		{"the connection's cap", 5, session.Attachment{Version: mqtt.V5, ReceiveMaximum: 30, MaxInFlight: 2}, 2},
		{"MQTT 3.1.1", 5, session.Attachment{Version: mqtt.V311}, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := session.New("client", session.Limits{InFlight: tt.inFlight, QueueMessages: 5000})
			s.Attach(tt.attach)
			for i := range 2000 {
				enqueue(t, s, message(mqtt.QoS(1+i%2), "m"))
			}
			equal(t, len(take(s)), tt.want)
			equal(t, s.InFlight(), tt.want)
		})
	}
}

func TestSetLimitsMovesTheWindow(t *testing.T) {
	s := attached(session.Limits{InFlight: 1})
	enqueue(t, s, message(1, "a"), message(1, "b"), message(1, "c"))
	equal(t, take(s), []string{"publish 1 a"})
	s.SetLimits(session.Limits{InFlight: 2})
	equal(t, take(s), []string{"publish 2 b"})
	s.SetLimits(session.Limits{InFlight: 1})
	s.Puback(1)
	equal(t, take(s), []string(nil))
	s.Puback(2)
	equal(t, take(s), []string{"publish 3 c"})
}

// [MQTT-4.9.0-2]: a QoS 2 message holds its slot until PUBCOMP; and what is
// behind a message that waits, waits, so that order is kept [MQTT-4.6.0-6].
func TestWindowHoldsOrder(t *testing.T) {
	s := attached(session.Limits{InFlight: 1})
	enqueue(t, s, message(0, "a"), message(2, "b"), message(0, "c"), message(1, "d"), message(0, "e"))
	equal(t, take(s), []string{"publish 0 a", "publish 1 b", "publish 0 c"})
	_, send, _, _ := s.Pubrec(1, mqtt.Success)
	equal(t, send, true)
	equal(t, take(s), []string(nil))
	_, found := s.Pubcomp(1)
	equal(t, found, true)
	equal(t, take(s), []string{"publish 2 d", "publish 0 e"})
}

func TestNextRespectsMax(t *testing.T) {
	s := attached(session.Limits{})
	for i := range 5 {
		enqueue(t, s, message(1, fmt.Sprint(i)))
	}
	out := s.Next(nil, 2, t0, nil)
	equal(t, len(out), 2)
	out = s.Next(out, 2, t0, nil)
	equal(t, len(out), 4)
	s.Detach()
	equal(t, len(s.Next(nil, 2, t0, nil)), 0)
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, len(s.Next(nil, 3, t0, nil)), 3)
	equal(t, take(s), []string{"publish 4 3 dup", "publish 5 4"})
}

// An acknowledgement counts only for a message that is in the state which it
// ends; all others are ignored or answered.
func TestAcknowledgements(t *testing.T) {
	type result struct {
		reply       mqtt.ReasonCode
		pubrel      bool
		done, found bool
		left        int
	}
	const q1, q2, released = 1, 2, 3 // packet identifiers
	puback := func(s *session.Session, id uint16) (r result) { _, r.found = s.Puback(id); return r }
	pubcomp := func(s *session.Session, id uint16) (r result) { _, r.found = s.Pubcomp(id); return r }
	pubrec := func(code mqtt.ReasonCode) func(*session.Session, uint16) result {
		return func(s *session.Session, id uint16) (r result) {
			r.reply, r.pubrel, _, r.done = s.Pubrec(id, code)
			return r
		}
	}
	tests := []struct {
		name string
		act  func(*session.Session, uint16) result
		id   uint16
		want result
	}{
		{"PUBACK ends QoS 1 [MQTT-4.3.2-3]", puback, q1, result{found: true, left: 2}},
		{"PUBACK of QoS 2", puback, q2, result{left: 3}},
		{"PUBACK after PUBREC", puback, released, result{left: 3}},
		{"PUBACK of an unknown identifier", puback, 9, result{left: 3}},
		{"PUBACK of identifier 0", puback, 0, result{left: 3}},
		{"PUBREC asks for PUBREL [MQTT-4.3.3-4]", pubrec(mqtt.Success), q2, result{pubrel: true, left: 3}},
		{"PUBREC without subscribers", pubrec(mqtt.NoMatchingSubscribers), q2, result{pubrel: true, left: 3}},
		{"PUBREC error frees [MQTT-4.4.0-2]", pubrec(mqtt.QuotaExceeded), q2, result{done: true, left: 2}},
		{"PUBREC again", pubrec(mqtt.Success), released, result{pubrel: true, left: 3}},
		{"PUBREC error after PUBREC", pubrec(mqtt.UnspecifiedError), released, result{left: 3}},
		{"PUBREC of QoS 1", pubrec(mqtt.Success), q1, result{reply: mqtt.ProtocolError, left: 3}},
		{"PUBREC of an unknown identifier (4.3.3)", pubrec(mqtt.Success), 9, result{reply: mqtt.PacketIdentifierNotFound, pubrel: true, left: 3}},
		{"PUBREC error of an unknown identifier", pubrec(mqtt.UnspecifiedError), 9, result{reply: mqtt.PacketIdentifierNotFound, left: 3}},
		{"PUBCOMP ends QoS 2 [MQTT-4.3.3-5]", pubcomp, released, result{found: true, left: 2}},
		{"PUBCOMP before PUBREC", pubcomp, q2, result{left: 3}},
		{"PUBCOMP of QoS 1", pubcomp, q1, result{left: 3}},
		{"PUBCOMP of an unknown identifier", pubcomp, 9, result{left: 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := attached(session.Limits{})
			enqueue(t, s, message(1, "q1"), message(2, "q2"), message(2, "released"))
			take(s)
			s.Pubrec(released, mqtt.Success)
			got := tt.act(s, tt.id)
			got.left = s.InFlight()
			if got != tt.want {
				t.Fatalf("got %+v, want %+v", got, tt.want)
			}
			again := tt.act(s, tt.id) // a duplicate never finds what the first one ended
			if again.found || again.done {
				t.Fatalf("the duplicate got %+v", again)
			}
		})
	}
}

func TestAcknowledgedDeliveryIsReturned(t *testing.T) {
	s := attached(session.Limits{})
	one, two, refused := message(1, "one"), message(2, "two"), message(2, "refused")
	enqueue(t, s, one, two, refused)
	take(s)
	d, _ := s.Puback(1)
	equal(t, d, one)
	_, _, d, _ = s.Pubrec(2, mqtt.Success)
	equal(t, d, mqtt.Delivery{})
	d, _ = s.Pubcomp(2)
	equal(t, d, two)
	_, _, d, done := s.Pubrec(3, mqtt.NotAuthorized)
	equal(t, done, true)
	equal(t, d, refused)
	equal(t, s.InFlight(), 0)
}

// Acknowledgements in any order free exactly their own message.
func TestAcknowledgementsOutOfOrder(t *testing.T) {
	s := attached(session.Limits{InFlight: 4})
	for i := range 6 {
		enqueue(t, s, message(1, fmt.Sprint(i)))
	}
	take(s)
	for _, id := range []uint16{3, 1, 4} {
		_, found := s.Puback(id)
		equal(t, found, true)
	}
	equal(t, take(s), []string{"publish 5 4", "publish 6 5"})
	s.Detach()
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, take(s), []string{"publish 2 1 dup", "publish 5 4 dup", "publish 6 5 dup"})
}

// A message that cannot be sent frees its identifier and its slot.
func TestCancel(t *testing.T) {
	s := attached(session.Limits{InFlight: 2})
	enqueue(t, s, message(1, "a"), message(2, "b"), message(1, "c"), message(1, "d"))
	take(s)
	s.Cancel(1)
	s.Cancel(1)
	equal(t, take(s), []string{"publish 3 c"})
	s.Pubrec(2, mqtt.Success)
	s.Cancel(2) // the client owns it: only PUBCOMP ends it
	equal(t, take(s), []string(nil))
	equal(t, s.InFlight(), 2)
	s.Cancel(3)
	equal(t, take(s), []string{"publish 4 d"})
}
