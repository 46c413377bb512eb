package session_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// What waits is counted over all sessions: exactly while clients are away, and
// it is all given back.
func TestWaiting(t *testing.T) {
	var waiting atomic.Int64
	now := time.Now()
	lim := session.Limits{Waiting: &waiting, QueueMessages: 100}
	m := &mqtt.Message{Topic: "t", Payload: make([]byte, 1000), QoS: 1}
	d := mqtt.Delivery{Message: m, QoS: 1}
	size := int64(m.Size())
	want := func(n int64) {
		t.Helper()
		if got := waiting.Load(); got != n*size {
			t.Errorf("%d messages are counted", got/size)
		}
	}
	a, b := session.New("a", lim), session.New("b", lim)
	for range 150 { // a third of them is dropped
		a.Enqueue(d, now)
	}
	want(100)
	b.Enqueue(d, now)
	want(101)
	a.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: 60, Wake: func() {}})
	a.Next(nil, 1000, now, nil) // 60 are in flight
	want(41)
	a.Detach()
	want(41)
	b.Attach(session.Attachment{Version: mqtt.V5, ReceiveMaximum: 60, Wake: func() {}})
	b.Next(nil, 1000, now, nil)
	b.Detach()
	want(40)
	drained(t, a)
	drained(t, b)
	want(0)
}

// A session that was made without a count joins in with what it has.
func TestWaitingLater(t *testing.T) {
	var waiting atomic.Int64
	s := session.New("a", session.Limits{})
	m := &mqtt.Message{Topic: "t", QoS: 1}
	s.Enqueue(mqtt.Delivery{Message: m, QoS: 1}, time.Now())
	s.SetLimits(session.Limits{Waiting: &waiting})
	if got := waiting.Load(); got != int64(m.Size()) {
		t.Errorf("%d", got)
	}
}
