package session_test

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// reattach ends the connection and begins another.
func reattach(s *session.Session, receiveMaximum uint16) {
	s.Detach()
	s.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: receiveMaximum})
}

// [MQTT-4.4.0-1]: what is not acknowledged is sent again after a reconnect,
// in the original order, with DUP [MQTT-3.3.1-1] or as PUBREL [MQTT-4.3.3-6];
// before anything new.
func TestResendAfterReconnect(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "a"), message(2, "b"), message(0, "x"), message(2, "c"), message(1, "d"))
	take(s)
	s.Pubrec(2, mqtt.Success)
	s.Puback(4)
	enqueue(t, s, message(1, "e"))
	s.Detach()
	enqueue(t, s, message(2, "f"))
	s.Attach(session.Attachment{Version: mqtt.V5})
	equal(t, take(s), []string{"publish 1 a dup", "pubrel 2 b", "publish 3 c dup", "publish 5 e", "publish 6 f"})
}

// [MQTT-4.4.0-1]: never within one connection.
func TestNoResendWithinAConnection(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "a"), message(2, "b"))
	take(s)
	equal(t, take(s), []string(nil))
	s.Pubrec(2, mqtt.Success)
	equal(t, take(s), []string(nil))
	reattach(s, 0)
	equal(t, take(s), []string{"publish 1 a dup", "pubrel 2 b"})
	equal(t, take(s), []string(nil))
	reattach(s, 0)
	equal(t, take(s), []string{"publish 1 a dup", "pubrel 2 b"})
}

// [MQTT-4.6.0-4]: PUBRELs go in the order of the PUBRECs.
func TestResendPubrelInOrderOfPubrec(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(2, "a"), message(2, "b"), message(2, "c"))
	take(s)
	s.Pubrec(3, mqtt.Success)
	s.Pubrec(1, mqtt.Success)
	reattach(s, 0)
	equal(t, take(s), []string{"publish 2 b dup", "pubrel 3 c", "pubrel 1 a"})
}

// [MQTT-4.9.0-1]: the window of the new connection holds for what is sent
// again; [MQTT-4.9.0-3]: but not for a PUBREL.
func TestResendWithinTheNewWindow(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "a"), message(1, "b"), message(2, "c"), message(1, "d"))
	take(s)
	s.Pubrec(3, mqtt.Success)
	enqueue(t, s, message(0, "e"), message(1, "f"))
	s.SetLimits(session.Limits{QueueQoS0Offline: true})
	reattach(s, 1)
	equal(t, take(s), []string{"pubrel 3 c"}) // the client holds c, and has room for one
	s.Pubcomp(3)
	equal(t, take(s), []string{"publish 1 a dup"})
	equal(t, take(s), []string(nil))
	s.Puback(1)
	equal(t, take(s), []string{"publish 2 b dup"})
	s.Puback(2)
	equal(t, take(s), []string{"publish 4 d dup", "publish 0 e"})
	s.Puback(4)
	equal(t, take(s), []string{"publish 5 f"})
}

// Acknowledgements may come before the retransmission that they spare.
func TestAcknowledgedBeforeResent(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "a"), message(2, "b"), message(2, "c"), message(2, "d"), message(1, "e"))
	take(s)
	s.Pubrec(3, mqtt.Success)
	reattach(s, 0)
	_, found := s.Puback(1)
	equal(t, found, true)
	_, pubrel, _, _ := s.Pubrec(2, mqtt.Success) // its PUBREL is the answer to this
	equal(t, pubrel, true)
	equal(t, take(s), []string{"pubrel 3 c", "publish 4 d dup", "publish 5 e dup"})

	reattach(s, 0)
	_, found = s.Pubcomp(3)
	equal(t, found, true)
	s.Cancel(4)
	equal(t, take(s), []string{"pubrel 2 b", "publish 5 e dup"})
}

// A new Attach without Detach (a takeover) is a new connection too, and
// nothing that is queued is lost by it.
func TestAttachTwice(t *testing.T) {
	s := attached(session.Limits{InFlight: 1})
	enqueue(t, s, message(1, "a"), message(0, "b"))
	equal(t, take(s), []string{"publish 1 a", "publish 0 b"})
	enqueue(t, s, message(1, "c"), message(0, "d"))
	s.Attach(session.Attachment{Version: mqtt.V311})
	equal(t, take(s), []string{"publish 1 a dup"})
	s.Puback(1)
	equal(t, take(s), []string{"publish 2 c", "publish 0 d"})
}

func drained(t *testing.T, s *session.Session) (list []mqtt.Delivery) {
	t.Helper()
	if err := s.Drain(func(part []mqtt.Delivery) { list = append(list, part...) }); err != nil {
		t.Fatal(err)
	}
	return list
}

// [MQTT-4.8.2-5]: what may go to another member of a share group when the
// session ends: all but QoS 2 messages whose delivery has begun.
func TestDrain(t *testing.T) {
	s := attached(session.Limits{})
	enqueue(t, s, message(1, "a"), message(2, "b"), message(2, "c"), message(1, "d"), message(1, "e"))
	take(s)
	s.Pubrec(3, mqtt.Success)
	s.Puback(4)
	enqueue(t, s, message(2, "f"), message(0, "g"))
	var got []string
	for _, d := range drained(t, s) {
		got = append(got, string(d.Message.Payload))
	}
	equal(t, got, []string{"a", "e", "f", "g"})
	equal(t, s.Pending(), 0)
	equal(t, len(drained(t, s)), 0)
	outcome, _ := s.Enqueue(message(1, "late"), time.Now())
	equal(t, outcome, session.DroppedEnded)
	reattach(s, 0)
	equal(t, take(s), []string(nil))
}
