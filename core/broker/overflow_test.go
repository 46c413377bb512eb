package broker_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// narrow starts a broker whose sessions are kept, and have room for so many
// messages.
func narrow(t *testing.T, messages int, full session.Full) *brokertest.Broker {
	t.Helper()
	return narrowWith(t, messages, full, nil)
}

func narrowWith(t *testing.T, messages int, full session.Full, h *hook.Hooks) *brokertest.Broker {
	t.Helper()
	s, err := store.Open(t.TempDir()+"/sessions", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			t.Error(err)
		}
	})
	kept := session.KeptLimits{Messages: messages, MemoryMessages: 2, Full: full}
	return brokertest.Start(t, broker.Options{Sessions: s, Limits: broker.Limits{Kept: kept}, Hooks: h})
}

// A session that ends because its queue is full is counted as such, and its end
// is told with the cause; one that somebody deletes is neither.
func TestOverflowIsTold(t *testing.T) {
	w := watcher{make(chan hook.Event, 10)}
	h := hook.NewHooks(nil)
	h.SetObservers([]hook.ObserverEntry{{Observer: w, Interests: []hook.Interest{{
		Point: hook.PointEvent, Events: []hook.EventKind{hook.SessionExpired},
	}}}})
	b := narrowWith(t, 5, session.EndSession, h)
	for _, id := range []string{"full", "deleted"} {
		c := b.Connect(id, brokertest.Resume)
		if id == "full" {
			c.Subscribe(1, "t")
		}
		c.Disconnect()
	}
	if err := b.Sessions().Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	pub := b.Connect("pub", brokertest.Resume)
	for range 6 {
		pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.Success)
	}
	eventually(t, "the session ends", func() bool { return b.Stats().Sessions == 1 })
	if s := b.Stats(); s.OverflowedSessions != 1 || s.ExpiredSessions != 0 {
		t.Errorf("%d sessions overflowed and %d expired", s.OverflowedSessions, s.ExpiredSessions)
	}
	b.Stop()
	h.Close()
	close(w.events)
	got := make(map[string]hook.Event)
	for e := range w.events {
		got[e.ClientID] = e
	}
	if e := got["full"]; e.Code != mqtt.QuotaExceeded || e.Cause != hook.CauseQueueFull || e.Reason == "" {
		t.Errorf("the end of the full one is told as %+v", e)
	}
	if e, ok := got["deleted"]; !ok || e.Code != 0 || e.Cause != "" {
		t.Errorf("the end of the deleted one is told as %+v", e)
	}
}

// A session whose queue is full ends rather than miss a message, and its client
// is told so, at once or when it is back.
func TestOverflowEndsSession(t *testing.T) {
	b := narrow(t, 5, session.EndSession)
	away := b.Connect("away", brokertest.Resume)
	away.Subscribe(1, "t")
	away.Disconnect()
	stuck := b.Connect("stuck", brokertest.Resume, func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	stuck.Subscribe(1, "t")
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.Success)
	stuck.Next() // is not acknowledged: nothing more is sent
	for range 6 {
		pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.Success)
	}
	stuck.Expect(&packet.Disconnect{Code: mqtt.QuotaExceeded, Reason: "too much waited for the client: its session ends"})
	eventually(t, "both sessions end", func() bool { return b.Stats().Sessions == 1 })
	if n := b.Stats().Drops[hook.CauseQueueFull]; n < 2 {
		t.Errorf("%d messages are counted", n)
	}
	if _, ack := b.TryConnect("away", brokertest.Resume); ack.SessionPresent {
		t.Error("the session is there again")
	}
}

// Where the publisher is to be told, nobody gets what one receiver has no room
// for.
func TestOverflowRefuses(t *testing.T) {
	b := narrow(t, 5, session.RefuseMessage)
	away := b.Connect("away", brokertest.Resume)
	away.Subscribe(1, "t")
	away.Disconnect()
	here := b.Connect("here")
	here.Subscribe(1, "t")
	pub := b.Connect("pub")
	for range 5 {
		pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.Success)
		here.ExpectMessage("t", "")
	}
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.QuotaExceeded)
	here.ExpectNothing()
	away = b.Connect("away", brokertest.Resume)
	for range 5 {
		away.ExpectMessage("t", "")
	}
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.Success)
}
