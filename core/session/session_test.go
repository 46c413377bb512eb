package session_test

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// t0 is when every test begins.
var t0 = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// message makes a delivery of a message whose payload is its name.
func message(q mqtt.QoS, name string) mqtt.Delivery {
	return mqtt.Delivery{
		Message: &mqtt.Message{Topic: "demo/topic", Payload: []byte(name), QoS: q, Created: t0},
		QoS:     q,
	}
}

// expiring makes a delivery that expires after some seconds.
func expiring(q mqtt.QoS, name string, seconds uint32) mqtt.Delivery {
	d := message(q, name)
	d.Message.Properties = &mqtt.Properties{Expiry: seconds, HasExpiry: true}
	return d
}

// attached makes a session with a connection of MQTT 5.
func attached(lim session.Limits) *session.Session {
	s := session.New("client", lim)
	s.Attach(session.Attachment{Version: mqtt.V5})
	return s
}

// enqueue queues messages and fails the test if one is not.
func enqueue(t *testing.T, s *session.Session, deliveries ...mqtt.Delivery) {
	t.Helper()
	for _, d := range deliveries {
		if o, dropped := s.Enqueue(d, t0); o != session.Queued || dropped != nil {
			t.Fatalf("Enqueue(%s) = %v, %v", d.Message.Payload, o, dropped)
		}
	}
}

// take returns all that there is to send, as "publish 1 name dup".
func take(s *session.Session) []string { return takeAt(s, t0) }

func takeAt(s *session.Session, now time.Time) []string {
	var got []string
	for _, o := range s.Next(nil, 1<<20, now, nil) {
		kind := "publish"
		if o.Kind == session.SendPubrel {
			kind = "pubrel"
		}
		line := fmt.Sprintf("%s %d %s", kind, o.ID, o.Delivery.Message.Payload)
		if o.Dup {
			line += " dup"
		}
		got = append(got, line)
	}
	return got
}

// equal fails the test if got is not want.
func equal(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
}

func TestIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(session.Session{}); n > 256 {
		t.Errorf("a session takes %d bytes", n)
	}
}

func TestNewSession(t *testing.T) {
	s := session.New("client", session.Limits{})
	equal(t, s.ClientID(), "client")
	equal(t, s.Attached(), false)
	equal(t, s.Pending(), 0)
	equal(t, take(s), []string(nil))
	equal(t, len(s.Detach()), 0)
	s.Attach(session.Attachment{Version: mqtt.V311})
	equal(t, s.Attached(), true)
	equal(t, take(s), []string(nil))
}

func TestSubscriptions(t *testing.T) {
	s := session.New("client", session.Limits{})
	equal(t, s.Subscriptions(), []mqtt.Subscription(nil))
	equal(t, s.Unsubscribe("a"), false)

	const many = 50 // beyond the point from which they are indexed
	for i := range many {
		equal(t, s.Subscribe(mqtt.Subscription{Filter: fmt.Sprint("f/", i)}), false)
	}
	for i := range many { // [MQTT-3.8.4-3] an equal filter replaces
		equal(t, s.Subscribe(mqtt.Subscription{Filter: fmt.Sprint("f/", i), ID: uint32(i + 1)}), true)
	}
	equal(t, len(s.Subscriptions()), many)
	equal(t, s.SubscriptionCount(), many)
	for i := 0; i < many; i += 2 {
		equal(t, s.Unsubscribe(fmt.Sprint("f/", i)), true)
		equal(t, s.Unsubscribe(fmt.Sprint("f/", i)), false)
	}
	for i := range many {
		sub, found := s.Subscription(fmt.Sprint("f/", i))
		equal(t, found, i%2 == 1)
		if found {
			equal(t, sub, mqtt.Subscription{Filter: fmt.Sprint("f/", i), ID: uint32(i + 1)})
		}
	}
	for i := 1; i < many; i += 2 {
		equal(t, s.Unsubscribe(fmt.Sprint("f/", i)), true)
	}
	equal(t, s.Subscriptions(), []mqtt.Subscription(nil))
	equal(t, s.Subscribe(mqtt.Subscription{Filter: "again"}), false)
}
