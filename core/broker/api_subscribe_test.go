package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

func subscribeFor(t *testing.T, b *brokertest.Broker, id string, want mqtt.ReasonCode, sub mqtt.Subscription) {
	t.Helper()
	codes, err := b.Sessions().Subscribe(t.Context(), id, sub)
	if err != nil || !slices.Equal(codes, []mqtt.ReasonCode{want}) {
		t.Fatalf("subscribe %s to %q: %v, %v, want %v", id, sub.Filter, codes, err, want)
	}
}

// mounted admits everyone below m/, without any grant but to publish.
func mounted(context.Context, *hook.Connect) (*hook.Decision, error) {
	return &hook.Decision{Verdict: hook.Allow, Mountpoint: "m/", Grants: &hook.Grants{List: []hook.Grant{
		{Actions: hook.ActionPublish, Filter: "#"}, {Actions: hook.ActionSubscribe, Filter: "own/#"},
	}}}, nil
}

// Filters of the server are its own; neither grants nor the subscription's
// being unknown to the client keep messages from it.
func TestSubscribeByServer(t *testing.T) {
	b := startWithValidator(t, mounted)
	if _, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: "m/a/r", Payload: []byte("kept"), QoS: 1}); err != nil {
		t.Fatal(err)
	}
	c, pub := b.Connect("c", brokertest.Resume), b.Connect("pub")
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "m/a/+", QoS: 1, ID: 7})
	p := c.ExpectMessage("a/r", "kept")
	if !p.Message.Retain || !slices.Equal(p.SubscriptionIDs, []uint32{7}) {
		t.Errorf("got %+v", p)
	}
	pub.Publish(mqtt.Message{Topic: "a/x", Payload: []byte("1"), QoS: 1}, 0)
	c.ExpectMessage("a/x", "1")

	c.Disconnect()
	eventually(t, "the client is away", func() bool { s, _ := b.Sessions().Get("c"); return !s.Connected })
	pub.Publish(mqtt.Message{Topic: "a/x", Payload: []byte("2"), QoS: 1}, 0)
	c = b.Connect("c", brokertest.Resume)
	c.ExpectMessage("a/x", "2") // the new decision's grants don't end it

	// The client cannot renew it, but may end it.
	c.Send(&packet.Subscribe{ID: 2, Subscriptions: []mqtt.Subscription{{Filter: "a/+"}}})
	c.Expect(&packet.Suback{ID: 2, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}})
	pub.Publish(mqtt.Message{Topic: "a/x", Payload: []byte("3"), QoS: 1}, 0)
	c.ExpectMessage("a/x", "3")
	c.Send(&packet.Unsubscribe{ID: 3, Filters: []string{"a/+"}})
	c.Expect(&packet.Unsuback{ID: 3, Codes: []mqtt.ReasonCode{0}})
	pub.Publish(mqtt.Message{Topic: "a/x", QoS: 1}, mqtt.NoMatchingSubscribers)

	// A subscription of the client's own is bound by its grants again.
	subscribeFor(t, b, "c", 0, mqtt.Subscription{Filter: "m/own/x"})
	c.Subscribe(1, "own/x")
	if codes, err := b.Sessions().Unsubscribe(t.Context(), "c", "m/own/x", "m/own/x", "a/#/b"); err != nil ||
		!slices.Equal(codes, []mqtt.ReasonCode{0, mqtt.NoSubscriptionExisted, mqtt.TopicFilterInvalid}) {
		t.Errorf("got %v, %v", codes, err)
	}
	c.ExpectNothing()
}

// A session that is away gets what is retained into its queue, as far as that
// has room.
func TestSubscribeByServerOffline(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{QueueMessages: 3}})
	for i := range 5 {
		m := &mqtt.Message{Topic: fmt.Sprintf("r/%d", i), Payload: []byte("x"), QoS: mqtt.QoS(min(i, 1))}
		if _, err := b.Retained().Put(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	b.Connect("c", brokertest.Resume).Disconnect()
	eventually(t, "the client is away", func() bool { s, _ := b.Sessions().Get("c"); return !s.Connected })
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "r/#", QoS: 1})
	if s, _ := b.Sessions().Get("c"); s.Pending != 3 {
		t.Errorf("%d messages wait", s.Pending)
	}
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "r/#", QoS: 1, RetainHandling: mqtt.RetainSendIfNew})
	c := b.Connect("c", brokertest.Resume)
	for range 3 {
		if p := c.Next().(*packet.Publish); string(p.Message.Payload) != "x" || !p.Message.Retain {
			t.Errorf("got %+v", p)
		}
	}
	c.ExpectNothing()
}

// Members of a share group may be appointed by the server.
func TestSubscribeByServerShared(t *testing.T) {
	b := startWithValidator(t, mounted)
	c, pub := b.Connect("c"), b.Connect("pub")
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "$share/g/m/job", QoS: 1})
	subscribeFor(t, b, "c", mqtt.TopicFilterInvalid, mqtt.Subscription{Filter: "$share/g/m/job", NoLocal: true})
	pub.Publish(mqtt.Message{Topic: "job", Payload: []byte("1"), QoS: 1}, 0)
	c.ExpectMessage("job", "1")
}

func TestSubscribeByServerRefuses(t *testing.T) {
	b := brokertest.Start(t, broker.Options{
		Limits: broker.Limits{TopicLevels: 3, SubscriptionsPerClient: 1, FiltersPerPacket: 2, LimitQoS: true, MaxQoS: 1},
		Hooks:  hook.NewHooks(nil),
	})
	b.Connect("c")
	if _, err := b.Sessions().Subscribe(t.Context(), "nobody", mqtt.Subscription{Filter: "a"}); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Sessions().Unsubscribe(t.Context(), "nobody", "a"); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
	for name, subs := range map[string][]mqtt.Subscription{
		"QoS":             {{Filter: "a", QoS: 3}},
		"retain handling": {{Filter: "a", RetainHandling: 3}},
		"identifier":      {{Filter: "a", ID: 1 << 28}},
		"too many":        make([]mqtt.Subscription, 3),
	} {
		if _, err := b.Sessions().Subscribe(t.Context(), "c", subs...); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range []string{"", "a/#/b", "$share/g", "a/b/c/d"} {
		subscribeFor(t, b, "c", mqtt.TopicFilterInvalid, mqtt.Subscription{Filter: f})
	}
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "a", QoS: 2}) // what the broker offers at most
	subscribeFor(t, b, "c", mqtt.QuotaExceeded, mqtt.Subscription{Filter: "b"})
	subscribeFor(t, b, "c", 0, mqtt.Subscription{Filter: "a"})

	m := startWithValidator(t, mounted)
	m.Connect("c")
	for _, f := range []string{"m", "other/a", "#", "$share/g/other", "m/"} {
		subscribeFor(t, m, "c", mqtt.TopicFilterInvalid, mqtt.Subscription{Filter: f})
	}
}

// Interceptors have their say about what the server subscribes, and see whom it
// is for.
func TestSubscribeByServerIntercepted(t *testing.T) {
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		if c.Client == nil || c.Client.ID == "" {
			t.Errorf("%v for nobody", p)
		}
		switch c.Subscription.Filter {
		case "no":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse}
		case "pretend":
			c.Verdict = hook.CallVerdict{Action: hook.Drop}
		case "lower":
			c.Subscription.QoS = 0
		case "bad":
			c.Subscription.Filter = "a/#/b"
		case "kick":
			c.Verdict = hook.CallVerdict{Action: hook.Disconnect, Reason: "out"}
		}
	})
	c := b.Connect("c", brokertest.Resume)
	subscribeFor(t, b, "c", mqtt.NotAuthorized, mqtt.Subscription{Filter: "no", QoS: 1})
	subscribeFor(t, b, "c", 1, mqtt.Subscription{Filter: "pretend", QoS: 1})
	subscribeFor(t, b, "c", 0, mqtt.Subscription{Filter: "lower", QoS: 1})
	subscribeFor(t, b, "c", mqtt.TopicFilterInvalid, mqtt.Subscription{Filter: "bad", QoS: 1})
	if s, _ := b.Sessions().Get("c"); len(s.Subscriptions) != 1 || s.Subscriptions[0].Filter != "lower" {
		t.Errorf("got %+v", s.Subscriptions)
	}
	if codes, err := b.Sessions().Unsubscribe(t.Context(), "c", "no", "pretend", "lower"); err != nil ||
		!slices.Equal(codes, []mqtt.ReasonCode{mqtt.NotAuthorized, 0, 0}) {
		t.Errorf("got %v, %v", codes, err)
	}
	subscribeFor(t, b, "c", mqtt.NotAuthorized, mqtt.Subscription{Filter: "kick"})
	c.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "out"})
}

// Subscriptions by the server and by the client, and the end of the session,
// leave the session and the router's table the same.
func TestSubscribeByServerRaces(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for range 10 {
		c := b.Connect("c", brokertest.Resume)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				for i := range 50 {
					f := fmt.Sprintf("f/%d", i%5)
					_, err := b.Sessions().Subscribe(t.Context(), "c", mqtt.Subscription{Filter: f, QoS: 1})
					if err == nil && i%3 == 0 {
						_, err = b.Sessions().Unsubscribe(t.Context(), "c", f)
					}
					if err != nil && !errors.Is(err, broker.ErrUnknownClient) {
						t.Error(err)
					}
				}
			})
		}
		for i := range 20 {
			c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: fmt.Sprintf("f/%d", i%5)}}},
				&packet.Unsubscribe{ID: 2, Filters: []string{fmt.Sprintf("f/%d", i%5)}})
		}
		if err := b.Sessions().Delete(t.Context(), "c"); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if n := b.Stats().Subscriptions; n != 0 {
			t.Fatalf("%d subscriptions of nobody", n)
		}
	}
}
