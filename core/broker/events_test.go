package broker_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// What becomes of a message on its way to a receiver is told: that it was
// written, that it was acknowledged and how, or why it was dropped.
func TestEventsOfDeliveries(t *testing.T) {
	w := watcher{make(chan hook.Event, 100)}
	h := hook.NewHooks(nil)
	h.SetObservers([]hook.ObserverEntry{{Observer: w, Interests: []hook.Interest{{
		Point: hook.PointEvent, Events: []hook.EventKind{hook.Delivered, hook.Acknowledged, hook.Dropped, hook.WillSent},
	}}}})
	h.SetInterceptors([]hook.InterceptorEntry{rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointDeliver && string(c.Message.Payload) == "no" {
			c.Verdict.Action = hook.Drop
		}
	}).entry()})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c", brokertest.Resume, func(p *packet.Connect) {
		p.Will = &packet.Will{Topic: "will", Payload: []byte("gone")}
	})
	c.Subscribe(2, "t")
	pub := b.Connect("pub")
	for _, q := range []mqtt.QoS{1, 2} {
		pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("yes"), QoS: q}, 0)
		c.ExpectMessage("t", "yes")
	}
	c.ExpectNothing() // it has acknowledged
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("no"), QoS: 1}, 0)
	pub.ExpectNothing()
	c.Drop()
	eventually(t, "c offline", func() bool {
		s, _ := b.Sessions().Get("c")
		return !s.Connected
	})
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("away"), QoS: 0}, 0)
	pub.ExpectNothing()
	pub.Disconnect()
	b.Stop()
	h.Close()
	close(w.events)
	type told struct {
		kind  hook.EventKind
		cause hook.Cause
	}
	got := make(map[told]int)
	for e := range w.events {
		if e.ClientID != "c" || e.Message == nil {
			t.Errorf("event %+v", e)
		}
		got[told{e.Kind, e.Cause}]++
	}
	for want, n := range map[told]int{
		{hook.Delivered, ""}: 2, {hook.Acknowledged, ""}: 2, {hook.WillSent, ""}: 1,
		{hook.Dropped, hook.CauseHook}: 1, {hook.Dropped, hook.CauseOffline}: 1,
	} {
		if got[want] != n {
			t.Errorf("%+v was told %d times, want %d", want, got[want], n)
		}
	}
}
