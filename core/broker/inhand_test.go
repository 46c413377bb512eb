package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// insider is an interceptor that uses the server API while it is asked.
type insider func(ctx context.Context, b *broker.Broker, point hook.Point, c *hook.Call)

// startWithInsider runs a broker with an insider and perhaps observers.
func startWithInsider(t *testing.T, f insider, observers ...hook.ObserverEntry) *brokertest.Broker {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	b := brokertest.Start(t, broker.Options{Hooks: h})
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "insider",
		Interceptor: hook.InterceptorFunc(func(ctx context.Context, batch *hook.Batch) error {
			for _, c := range batch.Calls {
				f(ctx, b.Broker, batch.Point, c)
			}
			return nil
		}),
		Interests: []hook.Interest{
			{Point: hook.PointPublish}, {Point: hook.PointSubscribe}, {Point: hook.PointUnsubscribe}, {Point: hook.PointDeliver},
		},
		Policy: hook.Policy{Timeout: -1, OnError: hook.OnErrorRefuse}, // whoever waits for himself waits for ever
	}})
	h.SetObservers(observers)
	return b
}

// On the wire, what a hook publishes comes behind the acknowledgement of the
// message about which it was asked, also when its receiver is the publisher and
// is being written to.
func TestPublishFromHookFollowsAcknowledgement(t *testing.T) {
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, point hook.Point, c *hook.Call) {
		if point != hook.PointPublish || c.Message.Topic != "cause" {
			return
		}
		p, err := b.Publish(ctx, &mqtt.Message{Topic: "effect", Payload: c.Message.Payload, QoS: 1})
		if !p.Later || err != nil {
			t.Errorf("got %+v, %v", p, err)
		}
	})
	c := b.Connect("c")
	c.Subscribe(0, "effect", "noise")
	stop := make(chan struct{})
	noisy := make(chan error, 1)
	go func() { // keeps the client's writer running
		for {
			select {
			case <-stop:
				noisy <- nil
				return
			default:
			}
			if _, err := b.Broker.Publish(t.Context(), &mqtt.Message{Topic: "noise", Payload: []byte("n")}); err != nil {
				noisy <- err
				return
			}
			time.Sleep(20 * time.Microsecond)
		}
	}()
	const rounds, batch = 100, 5
	for round := range rounds {
		var ps []packet.Packet
		for i := range batch {
			id := uint16(round*batch + i + 1)
			ps = append(ps, &packet.Publish{ID: id, Message: mqtt.Message{Topic: "cause", QoS: mqtt.QoS(1 + i%2), Payload: fmt.Append(nil, id)}})
		}
		c.Send(ps...)
		acknowledged := make(map[string]bool)
		for effects := 0; effects < batch; {
			switch p := c.Next().(type) {
			case *packet.Ack:
				acknowledged[fmt.Sprint(p.ID)] = true
				if p.Kind == packet.PUBREC {
					c.Send(&packet.Ack{Kind: packet.PUBREL, ID: p.ID})
				}
			case *packet.Publish:
				if p.Message.Topic == "noise" {
					continue
				}
				effects++
				if !acknowledged[string(p.Message.Payload)] {
					t.Fatalf("the effect of %s came before its acknowledgement", p.Message.Payload)
				}
			}
		}
	}
	close(stop)
	if err := <-noisy; err != nil {
		t.Error(err)
	}
}

// What hooks publish while a SUBSCRIBE or UNSUBSCRIBE is decided comes behind
// its answer.
func TestPublishFromSubscribeHookFollowsAnswer(t *testing.T) {
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, point hook.Point, c *hook.Call) {
		if point == hook.PointSubscribe || point == hook.PointUnsubscribe {
			if _, err := b.Publish(ctx, &mqtt.Message{Topic: "news", Payload: []byte(point.String())}); err != nil {
				t.Error(err)
			}
		}
	})
	c := b.Connect("c")
	c.Subscribe(0, "news")
	c.ExpectMessage("news", "subscribe")
	c.Send(&packet.Unsubscribe{ID: 3, Filters: []string{"other"}})
	c.Expect(&packet.Unsuback{ID: 3, Codes: []mqtt.ReasonCode{mqtt.NoSubscriptionExisted}})
	c.ExpectMessage("news", "unsubscribe")
}

// A hook that answers every message with another, its own answers too, comes to
// an end, which is counted.
func TestPublishFromHookEnds(t *testing.T) {
	republish := func(ctx context.Context, b *broker.Broker, c *hook.Call) {
		if _, err := b.Publish(ctx, &mqtt.Message{Topic: "loop", Payload: []byte{c.Message.Hops + 1}, QoS: 1}); err != nil {
			var refusal *broker.Refusal
			if c.Message.Hops != hook.MaxHops || !asRefusal(err, &refusal) || refusal.Code != mqtt.QuotaExceeded {
				t.Errorf("hop %d: %v", c.Message.Hops, err)
			}
		}
	}
	for _, point := range []hook.Point{hook.PointPublish, hook.PointDeliver} {
		t.Run(point.String(), func(t *testing.T) {
			b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, p hook.Point, c *hook.Call) {
				if p == point {
					republish(ctx, b, c)
				}
			})
			sub := b.Connect("sub")
			sub.Subscribe(1, "loop")
			b.Connect("pub").Publish(mqtt.Message{Topic: "loop", Payload: []byte{0}, QoS: 1}, 0)
			for hops := range byte(hook.MaxHops + 1) {
				sub.ExpectMessage("loop", string([]byte{hops}))
			}
			sub.ExpectNothing()
			if n := b.Stats().Drops[hook.CauseHops]; n != 1 {
				t.Errorf("%d refused", n)
			}
		})
	}
}

func asRefusal(err error, r **broker.Refusal) bool {
	var ok bool
	*r, ok = err.(*broker.Refusal) //nolint:errorlint // not wrapped
	return ok
}

// A hook that publishes many messages for each comes to an end too, and what
// waits is bounded.
func TestPublishFromHookFansOut(t *testing.T) {
	const fan = 300
	var published, full atomic.Int64
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, p hook.Point, c *hook.Call) {
		if p != hook.PointPublish || c.Message.Hops > 2 {
			return
		}
		for range fan {
			if _, err := b.Publish(ctx, &mqtt.Message{Topic: "fan"}); err == nil {
				published.Add(1)
			} else if strings.Contains(err.Error(), "quota") {
				full.Add(1)
			} else {
				t.Error(err)
			}
		}
	})
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "fan", QoS: 1}, mqtt.NoMatchingSubscribers)
	pub.ExpectNothing() // the reader comes back when all is done
	if drops := b.Stats().Drops[hook.CauseQueueFull]; drops == 0 || uint64(published.Load())-drops > 3*hook.MaxLater {
		t.Errorf("%d taken, %d refused, %d dropped", published.Load(), full.Load(), drops)
	}
}

// republisher is an observer that publishes what it is told of.
type republisher struct {
	publish func(context.Context, *mqtt.Message)
}

func (r republisher) Observe(ctx context.Context, events []hook.Event, _ uint64) {
	for _, e := range events {
		if e.Kind == hook.Published {
			r.publish(ctx, &mqtt.Message{Topic: e.Message.Topic})
		}
	}
}

func TestPublishFromObserverEnds(t *testing.T) {
	publish := make(chan func(context.Context, *mqtt.Message), 1)
	r := republisher{func(ctx context.Context, m *mqtt.Message) {
		f := <-publish
		publish <- f
		f(ctx, m)
	}}
	b := startWithInsider(t, func(context.Context, *broker.Broker, hook.Point, *hook.Call) {}, hook.ObserverEntry{Observer: r})
	publish <- func(ctx context.Context, m *mqtt.Message) { _, _ = b.Broker.Publish(ctx, m) }
	b.Connect("pub").Publish(mqtt.Message{Topic: "loop", QoS: 1}, mqtt.NoMatchingSubscribers)
	eventually(t, "the loop is refused", func() bool { return b.Stats().Drops[hook.CauseHops] == 1 })
}

// What is retained brings no hops to those who get it later: a hook that
// refreshes a retained message for each of its receivers is no loop.
func TestRetainedMessagesBeginAnew(t *testing.T) {
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, p hook.Point, c *hook.Call) {
		if p == hook.PointDeliver && c.Retained || p == hook.PointDeliver && c.Message.Retain {
			if _, err := b.Publish(ctx, &mqtt.Message{Topic: "counter", Payload: append([]byte("+"), c.Message.Payload...), Retain: true}); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: "counter", Payload: []byte("+")}); err != nil {
		t.Fatal(err)
	}
	want := "+"
	for i := range hook.MaxHops + 3 {
		c := b.Connect(fmt.Sprintf("c%d", i))
		c.Subscribe(0, "counter")
		c.ExpectMessage("counter", want)
		want += "+"
		c.ExpectMessage("counter", want)
		c.Disconnect()
	}
}

// Every call of the API returns while a hook is asked about the very client that
// it is about.
func TestServerAPIFromInsideAHook(t *testing.T) {
	w := watcher{make(chan hook.Event, 1000)}
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, p hook.Point, c *hook.Call) {
		if p != hook.PointPublish || c.Client == nil {
			return
		}
		id := c.Client.ID
		if _, err := b.Sessions().Enqueue(ctx, id, &mqtt.Message{Topic: "enqueued", QoS: 1}); err != nil {
			t.Error(err)
		}
		if codes, err := b.Sessions().Subscribe(ctx, id, mqtt.Subscription{Filter: "s", QoS: 1}); err != nil || codes[0] != 1 {
			t.Errorf("got %v, %v", codes, err)
		}
		if _, err := b.Publish(ctx, &mqtt.Message{Topic: "s", Payload: []byte("later")}); err != nil {
			t.Error(err)
		}
		if codes, err := b.Sessions().Unsubscribe(ctx, id, "never"); err != nil || codes[0] != mqtt.NoSubscriptionExisted {
			t.Errorf("got %v, %v", codes, err)
		}
		if _, err := b.Sessions().UpdateItems(id, map[string][]byte{"seen": c.Message.Payload}); err != nil {
			t.Error(err)
		}
		if _, err := b.Retained().Put(ctx, &mqtt.Message{Topic: "r", Payload: []byte("r")}); err != nil {
			t.Error(err)
		}
		if string(c.Message.Payload) == "delete" {
			if err := b.Sessions().Delete(ctx, id); err != nil {
				t.Error(err)
			}
		}
	}, hook.ObserverEntry{Observer: w, Interests: []hook.Interest{{Point: hook.PointEvent, Events: []hook.EventKind{hook.SessionExpired}}}})
	c := b.Connect("c", brokertest.Resume)
	c.Publish(mqtt.Message{Topic: "t", Payload: []byte("x")}, 0)
	c.ExpectMessage("enqueued", "")
	c.ExpectMessage("s", "later")
	c.Send(&packet.Publish{Message: mqtt.Message{Topic: "t", Payload: []byte("delete")}})
	for {
		if d, ok := c.Next().(*packet.Disconnect); ok {
			if d.Code != mqtt.AdministrativeAction {
				t.Errorf("got %+v", d)
			}
			break
		}
	}
	c.ExpectClosed()
	if e := <-w.events; e.ClientID != "c" {
		t.Errorf("got %+v", e)
	}
	if _, ok := b.Sessions().Get("c"); ok {
		t.Error("the session is still there")
	}
}

// A hook may delete the session of somebody who is away while the turn of that
// session is taken: here by its own will.
func TestDeleteSessionFromWillHook(t *testing.T) {
	b := startWithInsider(t, func(ctx context.Context, b *broker.Broker, p hook.Point, c *hook.Call) {
		if p == hook.PointPublish && c.Message.Origin == mqtt.FromWill {
			if err := b.Sessions().Delete(ctx, c.Message.Publisher); err != nil {
				t.Error(err)
			}
		}
	})
	c := b.Connect("c", brokertest.Resume, func(p *packet.Connect) { p.Will = &packet.Will{Topic: "will"} })
	c.Drop()
	eventually(t, "the session is gone", func() bool { _, ok := b.Sessions().Get("c"); return !ok })
}
