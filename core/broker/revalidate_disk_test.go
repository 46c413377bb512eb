package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// What waits on disk only when the grants change is held against them when its
// turn comes: what is not granted any more is dropped and counted, the rest comes
// in order, and what was sent before that is not taken back.
func TestRevalidateOnDisk(t *testing.T) {
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
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	m := new(moods)
	h.SetValidators([]hook.ValidatorEntry{{Name: "moods", Validator: m}})
	b := brokertest.Start(t, broker.Options{
		Sessions: s, Hooks: h, Limits: broker.Limits{Kept: session.KeptLimits{MemoryMessages: 3}},
	})
	m.grant("#")
	c := b.Connect("c", brokertest.Resume)
	c.Subscribe(2, "a/#", "b/#")
	c.Disconnect()
	pub := b.Connect("pub")
	const each = 50
	for n := range each {
		for _, name := range []string{"a/t", "b/t"} {
			pub.Publish(mqtt.Message{Topic: name, Payload: fmt.Append(nil, n), QoS: mqtt.QoS(1 + n%2)}, 0) //nolint:gosec // 1 or 2
		}
	}

	c = b.Connect("c", brokertest.Resume, func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	first, ok := c.Next().(*packet.Publish)
	if !ok || first.Message.Topic != "a/t" {
		t.Fatalf("first comes %+v", first)
	}
	m.grant("b/#")
	revalidate(t, b)
	c.Send(&packet.Ack{Kind: packet.PUBACK, ID: first.ID})
	for n := range each {
		c.ExpectMessage("b/t", fmt.Sprint(n))
	}
	c.ExpectNothing()
	if n := b.Stats().Drops[hook.CauseNotAuthorized]; n != each-1 {
		t.Errorf("%d messages were dropped, not %d", n, each-1)
	}
	if n := b.Backlog().Messages; n != 0 {
		t.Errorf("%d messages wait still", n)
	}
}
