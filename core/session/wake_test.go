package session_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// woken makes a session and the count of its wakes. The wake takes the lock,
// so that one under the lock would not return.
func woken(a session.Attachment) (*session.Session, *int) {
	s, n := session.New("client", session.Limits{QueueMessages: 3}), new(int)
	a.Version = mqtt.V5
	a.Wake = func() { s.Pending(); *n++ }
	s.Attach(a)
	return s, n
}

func TestWakeOnceUntilNextFoundNothing(t *testing.T) {
	s, n := woken(session.Attachment{})
	equal(t, *n, 0)
	enqueue(t, s, message(0, "a"))
	equal(t, *n, 1)
	enqueue(t, s, message(1, "b"), message(0, "c"))
	equal(t, *n, 1)
	equal(t, len(s.Next(nil, 2, t0, nil)), 2) // the writer is not done
	enqueue(t, s, message(0, "d"))
	equal(t, *n, 1)
	equal(t, len(take(s)), 2)
	enqueue(t, s, message(0, "e"))
	equal(t, *n, 2)
}

func TestWakeOnlyWhenThereIsSomethingToSend(t *testing.T) {
	s, n := woken(session.Attachment{ReceiveMaximum: 1})
	enqueue(t, s, message(1, "a"))
	take(s)
	equal(t, *n, 1)
	enqueue(t, s, message(1, "b"), message(0, "c")) // wait for the window
	equal(t, *n, 1)
	offer(t, s, message(1, "d"), t0, session.Queued)
	s.Puback(9)
	equal(t, *n, 1)
	s.Puback(1)
	equal(t, *n, 2)
	equal(t, take(s), []string{"publish 2 b", "publish 0 c"})
	s.Detach()
	enqueue(t, s, message(1, "e"))
	equal(t, *n, 2)
}

// Everything that lets the writer go on wakes it.
func TestWakeCauses(t *testing.T) {
	tests := []struct {
		name string
		act  func(*session.Session)
		want int
	}{
		{"PUBACK of another", func(s *session.Session) { s.Puback(2) }, 0},
		{"PUBREC", func(s *session.Session) { s.Pubrec(1, mqtt.Success) }, 0},
		{"PUBREC and PUBCOMP", func(s *session.Session) { s.Pubrec(1, mqtt.Success); s.Pubcomp(1) }, 1},
		{"PUBREC error", func(s *session.Session) { s.Pubrec(1, mqtt.QuotaExceeded) }, 1},
		{"Cancel", func(s *session.Session) { s.Cancel(1) }, 1},
		{"a wider window", func(s *session.Session) { s.SetLimits(session.Limits{InFlight: 2}) }, 1},
		{"Filter takes the one that blocks", func(s *session.Session) {
			s.Filter(func(d mqtt.Delivery) bool { return d.QoS == 0 })
		}, 1},
		{"Filter takes what is behind it", func(s *session.Session) {
			s.Filter(func(d mqtt.Delivery) bool { return d.QoS != 0 })
		}, 0},
		{"the one that blocks is dropped for room", func(s *session.Session) {
			s.Enqueue(message(1, "d"), t0)
			s.Enqueue(message(1, "e"), t0)
		}, 1},
		{"it expires", func(s *session.Session) { s.Expire(t0.Add(60e9)) }, 1},
		{"Clear", func(s *session.Session) { s.Clear() }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, n := session.New("client", session.Limits{InFlight: 1, QueueMessages: 3}), 0
			s.Attach(session.Attachment{Version: mqtt.V5, Wake: func() { n++ }})
			enqueue(t, s, message(2, "a"))
			take(s)
			enqueue(t, s, expiring(1, "b", 60), message(0, "c"))
			n = 0
			tt.act(s)
			equal(t, n, tt.want)
		})
	}
}

func TestWakeAtAttach(t *testing.T) {
	s, n := woken(session.Attachment{})
	enqueue(t, s, message(2, "a"))
	take(s)
	s.Detach()
	wake := func() { *n++ }
	*n = 0
	s.Attach(session.Attachment{Version: mqtt.V5, Wake: wake})
	equal(t, *n, 1)
	take(s)
	s.Pubrec(1, mqtt.Success)
	s.Detach()
	s.Attach(session.Attachment{Version: mqtt.V5, Wake: wake})
	equal(t, *n, 2)
	s.Pubcomp(1)
	s.Detach()
	s.Attach(session.Attachment{Version: mqtt.V5, Wake: wake})
	equal(t, *n, 2)
}
