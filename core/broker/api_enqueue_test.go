package broker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// delivery is what a call of Deliver returns.
type delivery struct {
	broker.Enqueued
	err error
}

func deliver(ctx context.Context, b *brokertest.Broker, id string, m mqtt.Message) <-chan delivery {
	out := make(chan delivery, 1)
	go func() {
		e, err := b.Sessions().Deliver(ctx, id, &m)
		out <- delivery{e, err}
	}()
	return out
}

func TestDeliver(t *testing.T) {
	ack := func(kind packet.Type, code mqtt.ReasonCode) func(*brokertest.Broker, *brokertest.Client, *packet.Publish) {
		return func(_ *brokertest.Broker, c *brokertest.Client, p *packet.Publish) {
			c.Send(&packet.Ack{Kind: kind, ID: p.ID, Code: code})
		}
	}
	tests := []struct {
		name   string
		qos    mqtt.QoS
		answer func(*brokertest.Broker, *brokertest.Client, *packet.Publish)
		want   broker.Enqueued
	}{
		{"QoS 0 is sent", 0, nil, broker.Enqueued{Queued: true, Sent: true}},
		{"QoS 1", 1, ack(packet.PUBACK, 0), broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Acknowledged: true}},
		{
			"QoS 1 refused", 1, ack(packet.PUBACK, mqtt.NotAuthorized),
			broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Acknowledged: true, Code: mqtt.NotAuthorized},
		},
		{
			"QoS 2 refused", 2, ack(packet.PUBREC, mqtt.QuotaExceeded),
			broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Acknowledged: true, Code: mqtt.QuotaExceeded},
		},
		{"QoS 2", 2, func(_ *brokertest.Broker, c *brokertest.Client, p *packet.Publish) {
			c.Send(&packet.Ack{Kind: packet.PUBREC, ID: p.ID})
			c.Expect(&packet.Ack{Kind: packet.PUBREL, ID: p.ID})
			c.Send(&packet.Ack{Kind: packet.PUBCOMP, ID: p.ID})
		}, broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Acknowledged: true}},
		{"again after the client came back", 1, func(b *brokertest.Broker, c *brokertest.Client, p *packet.Publish) {
			c.Drop()
			c = b.Connect("c", brokertest.Resume)
			again := c.ExpectMessage("direct", "d")
			if again.ID != p.ID || !again.Dup {
				t.Errorf("got %+v", again)
			}
		}, broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Acknowledged: true}},
		{"the session ends", 1, func(b *brokertest.Broker, _ *brokertest.Client, _ *packet.Publish) {
			if err := b.Sessions().Delete(t.Context(), "c"); err != nil {
				t.Error(err)
			}
		}, broker.Enqueued{Queued: true, Sent: true, PacketID: 1, Dropped: hook.CauseSession}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := brokertest.Start(t, broker.Options{})
			c := b.Connect("c", brokertest.Resume)
			out := deliver(t.Context(), b, "c", mqtt.Message{Topic: "direct", Payload: []byte("d"), QoS: tt.qos})
			p, ok := c.Next().(*packet.Publish)
			if !ok || p.Message.Topic != "direct" || p.Message.QoS != tt.qos {
				t.Fatalf("got %+v", p)
			}
			if tt.answer != nil {
				tt.answer(b, c, p)
			}
			if got := <-out; got.err != nil || got.Enqueued != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// What never reaches the network is told of with the cause.
func TestDeliverDropped(t *testing.T) {
	queued := func(b *brokertest.Broker) func() bool {
		return func() bool { s, _ := b.Sessions().Get("c"); return s.Pending == 1 }
	}
	tests := []struct {
		name    string
		options broker.Options
		rules   rules
		online  bool
		message mqtt.Message
		then    func(*testing.T, *brokertest.Broker)
		want    broker.Enqueued
	}{
		{name: "QoS 0 to nobody", want: broker.Enqueued{Dropped: hook.CauseOffline}},
		{name: "expired", message: mqtt.Message{QoS: 1, Properties: &mqtt.Properties{HasExpiry: true}}, want: broker.Enqueued{Dropped: hook.CauseExpired}},
		{
			name: "larger than the queue", options: broker.Options{Limits: broker.Limits{QueueBytes: 10}},
			message: mqtt.Message{QoS: 1, Payload: make([]byte, 11)}, want: broker.Enqueued{Dropped: hook.CauseQueueFull},
		},
		{name: "cleared", message: mqtt.Message{QoS: 1}, then: func(t *testing.T, b *brokertest.Broker) {
			if n, err := b.Sessions().ClearQueue("c"); n != 1 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		}, want: broker.Enqueued{Queued: true, Dropped: hook.CauseSession}},
		{name: "evicted", options: broker.Options{Limits: broker.Limits{QueueMessages: 1}}, message: mqtt.Message{QoS: 1}, then: func(t *testing.T, b *brokertest.Broker) {
			if e, err := b.Sessions().Enqueue(t.Context(), "c", &mqtt.Message{Topic: "t", QoS: 1}); !e.Queued || err != nil {
				t.Errorf("got %+v, %v", e, err)
			}
		}, want: broker.Enqueued{Queued: true, Dropped: hook.CauseQueueFull}},
		{name: "too large for the client", message: mqtt.Message{QoS: 1, Payload: make([]byte, 100)}, then: func(_ *testing.T, b *brokertest.Broker) {
			b.Connect("c", brokertest.Resume, func(p *packet.Connect) { p.MaximumPacketSize = 90 })
		}, want: broker.Enqueued{Queued: true, Dropped: hook.CauseTooLarge}},
		{
			name: "by a hook, at once", online: true, message: mqtt.Message{QoS: 1},
			rules: func(_ hook.Point, c *hook.Call) { c.Verdict.Action = hook.Drop },
			want:  broker.Enqueued{Dropped: hook.CauseHook},
		},
		{
			name: "by a hook, when it is sent", message: mqtt.Message{QoS: 1},
			rules: func(_ hook.Point, c *hook.Call) { c.Verdict.Action = hook.Drop },
			then:  func(_ *testing.T, b *brokertest.Broker) { b.Connect("c", brokertest.Resume) },
			want:  broker.Enqueued{Queued: true, Dropped: hook.CauseHook},
		},
		{
			name: "changed by a hook, then too large", message: mqtt.Message{QoS: 1},
			rules: func(_ hook.Point, c *hook.Call) {
				c.Message = c.Message.Clone()
				c.Message.Payload = make([]byte, 100)
			},
			then: func(_ *testing.T, b *brokertest.Broker) {
				b.Connect("c", brokertest.Resume, func(p *packet.Connect) { p.MaximumPacketSize = 90 })
			},
			want: broker.Enqueued{Queued: true, Dropped: hook.CauseTooLarge},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rules != nil {
				tt.options.Hooks = hook.NewHooks(nil)
				tt.options.Hooks.SetInterceptors([]hook.InterceptorEntry{tt.rules.entry()})
			}
			b := brokertest.Start(t, tt.options)
			c := b.Connect("c", brokertest.Resume)
			if !tt.online {
				c.Disconnect()
				eventually(t, "the client is away", func() bool { s, _ := b.Sessions().Get("c"); return !s.Connected })
			}
			tt.message.Topic = "direct"
			out := deliver(t.Context(), b, "c", tt.message)
			if tt.then != nil {
				eventually(t, "it is queued", queued(b))
				tt.then(t, b)
			}
			if got := <-out; got.err != nil || got.Enqueued != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestDeliverEndsWithItsContext(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c")
	ctx, cancel := context.WithCancel(t.Context())
	out := deliver(ctx, b, "c", mqtt.Message{Topic: "t", QoS: 1})
	p := c.Next().(*packet.Publish)
	cancel()
	if got := <-out; !errors.Is(got.err, context.Canceled) || got.Enqueued != (broker.Enqueued{Queued: true, Sent: true, PacketID: p.ID}) {
		t.Errorf("got %+v", got)
	}
	c.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID}) // nobody waits any more
	c.ExpectNothing()
}

// A hook that changes the message on its way does not lose the receipt.
func TestDeliverChangedByHook(t *testing.T) {
	var one *mqtt.Message // hooks may give the same message to everybody
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		if one == nil {
			one = c.Message.Clone()
			one.Payload = []byte("changed")
		}
		c.Message = one
	})
	c := b.Connect("c", brokertest.Resume)
	for range 2 {
		out := deliver(t.Context(), b, "c", mqtt.Message{Topic: "t", QoS: 1})
		c.ExpectMessage("t", "changed")
		if got := <-out; got.err != nil || !got.Acknowledged {
			t.Errorf("online: %+v", got)
		}
	}
	c.Disconnect()
	eventually(t, "the client is away", func() bool { s, _ := b.Sessions().Get("c"); return !s.Connected })
	out := deliver(t.Context(), b, "c", mqtt.Message{Topic: "t", QoS: 1})
	eventually(t, "it is queued", func() bool { s, _ := b.Sessions().Get("c"); return s.Pending == 1 })
	c = b.Connect("c", brokertest.Resume)
	c.ExpectMessage("t", "changed")
	if got := <-out; got.err != nil || !got.Acknowledged {
		t.Errorf("offline: %+v", got)
	}
}

func TestEnqueueRefuses(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	if _, err := b.Sessions().Enqueue(t.Context(), "nobody", &mqtt.Message{Topic: "t"}); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
	for name, m := range map[string]mqtt.Message{
		"wildcard":       {Topic: "a/#"},
		"$SYS":           {Topic: "$SYS/x"},
		"QoS":            {Topic: "t", QoS: 3},
		"response topic": {Topic: "t", Properties: &mqtt.Properties{ResponseTopic: "+"}},
		"content type":   {Topic: "t", Properties: &mqtt.Properties{ContentType: "a\x00b"}},
		"correlation":    {Topic: "t", Properties: &mqtt.Properties{CorrelationData: make([]byte, 1<<16)}},
		"user property":  {Topic: "t", Properties: &mqtt.Properties{User: []mqtt.UserProperty{{Key: "k", Value: "\xff"}}}},
	} {
		if _, err := b.Sessions().Enqueue(t.Context(), "nobody", &m); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Grants do not bind the server: what it puts into a queue is sent, also after
// the validators have decided anew.
func TestEnqueuePastGrants(t *testing.T) {
	b := startWithValidator(t, func(context.Context, *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow, Mountpoint: "m/", Grants: &hook.Grants{}}, nil
	})
	c := b.Connect("c", brokertest.Resume)
	c.Disconnect()
	eventually(t, "the client is away", func() bool { s, _ := b.Sessions().Get("c"); return !s.Connected })
	if e, err := b.Sessions().Enqueue(t.Context(), "c", &mqtt.Message{Topic: "m/cmd", Payload: []byte("go"), QoS: 1}); !e.Queued || err != nil {
		t.Fatalf("got %+v, %v", e, err)
	}
	c = b.Connect("c", brokertest.Resume)
	c.ExpectMessage("cmd", "go")
	if d := cmp.Diff(map[hook.Cause]uint64{}, b.Stats().Drops); d != "" {
		t.Error(d)
	}
}

// Many callers deliver to clients who come and go; nobody waits for ever, and
// no receipt is kept.
func TestDeliverRaces(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	b.Connect("c", brokertest.Resume)
	var outs []<-chan delivery
	for i := range 200 {
		outs = append(outs, deliver(ctx, b, "c", mqtt.Message{Topic: "t", QoS: mqtt.QoS(1 + i%2)}))
		switch i % 50 {
		case 20:
			b.Connect("c", brokertest.Resume)
		case 40:
			if _, err := b.Sessions().ClearQueue("c"); err != nil {
				t.Error(err)
			}
		}
	}
	if err := b.Sessions().Delete(ctx, "c"); err != nil {
		t.Error(err)
	}
	for _, out := range outs {
		if got := <-out; got.err != nil && !errors.Is(got.err, broker.ErrUnknownClient) {
			t.Errorf("got %+v", got)
		}
	}
}
