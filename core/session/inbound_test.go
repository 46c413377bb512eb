package session_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// receive fails the test unless a PUBLISH is taken as want.
func receive(t *testing.T, s *session.Session, id uint16, q mqtt.QoS, want session.Receipt) {
	t.Helper()
	got, code := s.Receive(id, q)
	if got != want || code != mqtt.Success {
		t.Fatalf("Receive(%d, QoS %d) = %v, %v, want %v", id, q, got, code, want)
	}
}

// refuse fails the test unless a PUBLISH is one too many.
func refuse(t *testing.T, s *session.Session, id uint16, q mqtt.QoS) {
	t.Helper()
	if _, code := s.Receive(id, q); code != mqtt.ReceiveMaximumExceeded {
		t.Fatalf("Receive(%d, QoS %d): %v", id, q, code)
	}
}

// [MQTT-4.3.3-10]: a PUBLISH of QoS 2 whose identifier is held is a duplicate
// and is answered as the first one was; [MQTT-4.3.3-12]: until PUBREL.
func TestReceiveQoS2Once(t *testing.T) {
	s := attached(session.Limits{})
	receive(t, s, 7, 2, session.NewMessage)
	equal(t, s.ReceivedCode(7), mqtt.Success)
	s.Acknowledge(7, 2, mqtt.NoMatchingSubscribers)
	receive(t, s, 7, 2, session.Duplicate)
	equal(t, s.ReceivedCode(7), mqtt.NoMatchingSubscribers)
	equal(t, s.Release(7), true)
	equal(t, s.Release(7), false)
	receive(t, s, 7, 2, session.NewMessage)
}

// [MQTT-4.4.0-1]: the client publishes again after a reconnect what it has no
// PUBREC for; identifiers whose message was handled are still held.
func TestReceiveQoS2OnceAcrossReconnects(t *testing.T) {
	s := attached(session.Limits{})
	receive(t, s, 7, 2, session.NewMessage)
	s.Acknowledge(7, 2, mqtt.NoMatchingSubscribers)
	reattach(s, 0)
	receive(t, s, 7, 2, session.Duplicate)
	equal(t, s.ReceivedCode(7), mqtt.NoMatchingSubscribers)
	reattach(s, 0)
	equal(t, s.Release(7), true)
}

// A message that was neither accepted nor refused when the connection ended
// was not handled: its retransmission has to be.
func TestReceiveUndecidedIsNewAfterReconnect(t *testing.T) {
	s := attached(session.Limits{})
	receive(t, s, 7, 2, session.NewMessage)
	receive(t, s, 7, 2, session.Duplicate)
	reattach(s, 0)
	receive(t, s, 7, 2, session.NewMessage)
	s.Acknowledge(7, 2, mqtt.Success)
	reattach(s, 0)
	receive(t, s, 7, 2, session.Duplicate)
}

// [MQTT-4.3.3-9]: after a PUBREC of 0x80 or above the identifier is free. A
// PUBREC of MQTT 3 cannot say so, the client goes on with PUBREL.
func TestReceiveQoS2Refused(t *testing.T) {
	s := attached(session.Limits{})
	receive(t, s, 7, 2, session.NewMessage)
	s.Acknowledge(7, 2, mqtt.NotAuthorized)
	equal(t, s.Release(7), false)
	receive(t, s, 7, 2, session.NewMessage)

	s = session.New("client", session.Limits{})
	s.Attach(session.Attachment{Version: mqtt.V311})
	receive(t, s, 7, 2, session.NewMessage)
	s.Acknowledge(7, 2, mqtt.NotAuthorized)
	receive(t, s, 7, 2, session.Duplicate)
	equal(t, s.Release(7), true)

	// The client comes back with MQTT 5, where the refusal it is told of
	// when it publishes again ends the exchange without a PUBREL.
	receive(t, s, 8, 2, session.NewMessage)
	s.Acknowledge(8, 2, mqtt.NotAuthorized)
	reattach(s, 0)
	receive(t, s, 8, 2, session.NewMessage)
	s.Acknowledge(8, 2, mqtt.NotAuthorized)
	receive(t, s, 8, 2, session.NewMessage)
}

// [MQTT-4.3.2-5]: QoS 1 knows no duplicates, and shares no identifiers with
// QoS 2 exchanges.
func TestReceiveQoS1IsAlwaysNew(t *testing.T) {
	s := attached(session.Limits{})
	receive(t, s, 7, 2, session.NewMessage)
	s.Acknowledge(7, 2, mqtt.Success)
	receive(t, s, 7, 1, session.NewMessage)
	s.Acknowledge(7, 1, mqtt.Success)
	receive(t, s, 7, 1, session.NewMessage)
	receive(t, s, 7, 2, session.Duplicate)
}

// [MQTT-3.3.4-7]: the client may have as many QoS 1 and 2 messages unanswered
// as our Receive Maximum says: until PUBACK, PUBCOMP or a PUBREC of 0x80.
func TestReceiveMaximum(t *testing.T) {
	s := attached(session.Limits{ReceiveMaximum: 2})
	receive(t, s, 1, 1, session.NewMessage)
	receive(t, s, 2, 2, session.NewMessage)
	refuse(t, s, 3, 1)
	refuse(t, s, 3, 2)
	receive(t, s, 0, 0, session.NewMessage) // QoS 0 does not count
	receive(t, s, 2, 2, session.Duplicate)  // nor does what was counted

	s.Acknowledge(2, 2, mqtt.Success)
	refuse(t, s, 3, 2)
	s.Acknowledge(1, 1, mqtt.Success)
	receive(t, s, 3, 2, session.NewMessage)
	refuse(t, s, 4, 1)
	s.Release(2)
	receive(t, s, 4, 1, session.NewMessage)
	refuse(t, s, 5, 1)
	s.Acknowledge(3, 2, mqtt.QuotaExceeded)
	receive(t, s, 5, 1, session.NewMessage)
	refuse(t, s, 6, 1)

	s.Acknowledge(0, 0, mqtt.Success) // no-ops free no slot
	s.Acknowledge(99, 2, mqtt.Success)
	refuse(t, s, 6, 1)
}

// [MQTT-4.9.0-1]: the count begins anew with a connection; a message that is
// held from the last one counts when it is published again.
func TestReceiveMaximumAcrossReconnects(t *testing.T) {
	s := attached(session.Limits{ReceiveMaximum: 2})
	for id := uint16(1); id <= 2; id++ {
		receive(t, s, id, 2, session.NewMessage)
		s.Acknowledge(id, 2, mqtt.Success)
	}
	refuse(t, s, 3, 2)
	reattach(s, 0)
	receive(t, s, 1, 2, session.Duplicate)
	receive(t, s, 3, 1, session.NewMessage)
	refuse(t, s, 2, 2)
	s.Release(2) // its PUBCOMP gives the client a slot
	receive(t, s, 4, 1, session.NewMessage)
	refuse(t, s, 5, 1)
}

// Section 4.9: to the client every PUBCOMP is a slot, also one for a PUBREL
// sent again of which we know nothing because the PUBCOMP was lost the last
// time; and the client may read it after it published.
func TestReceiveMaximumAfterResentPubrel(t *testing.T) {
	s := attached(session.Limits{ReceiveMaximum: 2})
	for id := range uint16(3) {
		equal(t, s.Release(1+id), false)
	}
	for id := range uint16(5) {
		receive(t, s, 1+id, 2, session.NewMessage)
	}
	refuse(t, s, 6, 2)
	s.Acknowledge(1, 2, mqtt.NotAuthorized)
	receive(t, s, 6, 2, session.NewMessage)
	refuse(t, s, 7, 2)
}

// MQTT 3 has no Receive Maximum: the client cannot know that there is one.
func TestReceiveMaximumOnlyForMQTT5(t *testing.T) {
	s := session.New("client", session.Limits{ReceiveMaximum: 1})
	s.Attach(session.Attachment{Version: mqtt.V311})
	receive(t, s, 1, 2, session.NewMessage)
	receive(t, s, 2, 2, session.NewMessage)
	receive(t, s, 3, 1, session.NewMessage)
}

// The limits that the client was told hold until it is told others.
func TestReceiveMaximumChangesWithTheConnection(t *testing.T) {
	s := attached(session.Limits{})
	s.SetLimits(session.Limits{ReceiveMaximum: 1})
	receive(t, s, 1, 1, session.NewMessage)
	receive(t, s, 2, 1, session.NewMessage)
	reattach(s, 0)
	receive(t, s, 1, 1, session.NewMessage)
	refuse(t, s, 2, 1)
}

// A reader that is late finds a session without connection: nothing breaks,
// and what was handled is held.
func TestReceiveWhileDetached(t *testing.T) {
	s := attached(session.Limits{ReceiveMaximum: 1})
	s.Detach()
	receive(t, s, 1, 2, session.NewMessage)
	receive(t, s, 2, 1, session.NewMessage)
	s.Acknowledge(1, 2, mqtt.Success)
	s.Acknowledge(2, 1, mqtt.Success)
	reattach(s, 0)
	receive(t, s, 1, 2, session.Duplicate)
}
