package broker_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// rules is an interceptor that a test writes as a function of one call.
type rules func(point hook.Point, c *hook.Call)

func (r rules) entry() hook.InterceptorEntry {
	return hook.InterceptorEntry{
		Name: "rules",
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				r(b.Point, c)
			}
			return nil
		}),
		Interests: []hook.Interest{
			{Point: hook.PointPublish, MayChange: hook.FieldAll},
			{Point: hook.PointSubscribe, MayChange: hook.FieldAll},
			{Point: hook.PointUnsubscribe},
			{Point: hook.PointDeliver, MayChange: hook.FieldAll},
		},
	}
}

func startWithRules(t *testing.T, r rules) *brokertest.Broker {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetInterceptors([]hook.InterceptorEntry{r.entry()})
	return brokertest.Start(t, broker.Options{Hooks: h})
}

func startWithValidator(t *testing.T, v hook.ValidatorFunc) *brokertest.Broker {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "test", Validator: v}})
	return brokertest.Start(t, broker.Options{Hooks: h})
}

func TestInterceptPublish(t *testing.T) {
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		if p != hook.PointPublish {
			return
		}
		switch {
		case strings.HasPrefix(c.Message.Topic, "drop/"):
			c.Verdict.Action = hook.Drop
		case strings.HasPrefix(c.Message.Topic, "refuse/"):
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: "too much"}
		case strings.HasPrefix(c.Message.Topic, "kick/"):
			c.Verdict = hook.CallVerdict{Action: hook.Disconnect, Reason: "out"}
		case strings.HasPrefix(c.Message.Topic, "change/"):
			c.Message = c.Message.Clone()
			c.Message.Topic = "changed/" + c.Client.ID
			c.Message.Payload = bytes.ToUpper(c.Message.Payload)
			c.Message.Retain = true
		}
	})
	sub := b.Connect("sub")
	sub.Subscribe(1, "#")
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		pub := b.Connect("pub", func(p *packet.Connect) { p.Version = v })
		refused := mqtt.QuotaExceeded
		if v != mqtt.V5 {
			refused = mqtt.Success // 3.1.1 has no way to say it
		}
		for _, q := range []mqtt.QoS{0, 1, 2} {
			pub.Publish(mqtt.Message{Topic: "drop/x", QoS: q}, mqtt.Success)
			pub.Publish(mqtt.Message{Topic: "refuse/x", QoS: q}, refused)
			pub.Publish(mqtt.Message{Topic: "pass/x", Payload: []byte("p"), QoS: q}, mqtt.Success)
			sub.ExpectMessage("pass/x", "p")
			pub.Publish(mqtt.Message{Topic: "change/x", Payload: []byte("c"), QoS: q}, mqtt.Success)
			sub.ExpectMessage("changed/pub", "C")
		}
		pub.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "kick/x", QoS: 1}})
		if v == mqtt.V5 {
			pub.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "out"})
		}
		pub.ExpectClosed()
	}
	sub.ExpectNothing()

	// The retained copy is the changed one.
	late := b.Connect("late")
	late.Subscribe(0, "+/pub")
	late.ExpectMessage("changed/pub", "C")
	late.ExpectNothing()
}

func TestInterceptSubscribe(t *testing.T) {
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		switch {
		case p == hook.PointSubscribe && c.Subscription.Filter == "no":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Reason: "not you"}
		case p == hook.PointSubscribe && c.Subscription.Filter == "lower":
			c.Subscription.QoS = 0
		case p == hook.PointSubscribe && c.Subscription.Filter == "pretend":
			c.Verdict.Action = hook.Drop
		case p == hook.PointUnsubscribe && c.Subscription.Filter == "lower":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse}
		}
	})
	c := b.Connect("c")
	c.Send(&packet.Subscribe{ID: 9, Subscriptions: []mqtt.Subscription{
		{Filter: "yes", QoS: 2}, {Filter: "no", QoS: 1}, {Filter: "lower", QoS: 2}, {Filter: "pretend", QoS: 1}, {Filter: "a/#/b"},
	}})
	c.Expect(&packet.Suback{ID: 9, Reason: "not you", Codes: []mqtt.ReasonCode{2, mqtt.NotAuthorized, 0, 1, mqtt.TopicFilterInvalid}})
	pub := b.Connect("pub")
	for _, name := range []string{"yes", "no", "lower", "pretend"} {
		pub.Publish(mqtt.Message{Topic: name, Payload: []byte("x")}, 0)
	}
	pub.ExpectNothing()
	c.ExpectMessage("yes", "x")
	c.ExpectMessage("lower", "x")
	c.ExpectNothing()
	c.Send(&packet.Unsubscribe{ID: 3, Filters: []string{"lower", "yes", "never"}})
	c.Expect(&packet.Unsuback{ID: 3, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized, 0, mqtt.NoSubscriptionExisted}})
}

func TestInterceptDeliver(t *testing.T) {
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		if p != hook.PointDeliver {
			return
		}
		switch c.Receiver {
		case "blind":
			c.Verdict.Action = hook.Drop
		case "private":
			c.Message = c.Message.Clone()
			c.Message.Payload = []byte("***")
		}
	})
	resume := brokertest.Resume
	plain, blind, private := b.Connect("plain"), b.Connect("blind", resume), b.Connect("private", resume)
	for _, c := range []*brokertest.Client{plain, blind, private} {
		c.Subscribe(1, "t")
	}
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("open"), QoS: 1, Retain: true}, 0)
	plain.ExpectMessage("t", "open")
	private.ExpectMessage("t", "***")
	blind.ExpectNothing()

	// What is queued for a client that is away is decided when it is sent.
	blind.Disconnect()
	private.Disconnect()
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("later"), QoS: 1}, 0)
	private = b.Connect("private", resume)
	private.ExpectMessage("t", "***")
	blind = b.Connect("blind", resume)
	blind.ExpectNothing()
	// And so is a retained message.
	blind.Subscribe(1, "t")
	blind.ExpectNothing()
}

// A message that no hook could decide about: MQTT 5 is told, 3.1.1 gets no
// acknowledgement and sends again.
func TestCouldNotDecide(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "down", Policy: hook.Policy{OnError: hook.OnErrorRefuse},
		Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error { return hook.ErrUnavailable }),
		Interests:   []hook.Interest{{Point: hook.PointPublish}},
	}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	five := b.Connect("five")
	five.Publish(mqtt.Message{Topic: "t", QoS: 0}, 0)
	five.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.ImplementationSpecificError)
	five.Publish(mqtt.Message{Topic: "t", QoS: 2}, mqtt.ImplementationSpecificError)
	for _, q := range []mqtt.QoS{1, 2} {
		three := b.Connect("three", brokertest.V311)
		three.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "t", QoS: q}})
		three.ExpectClosed()
	}
	if n := b.Stats().Drops[hook.CauseFailed]; n != 5 {
		t.Errorf("%d counted as failed", n)
	}
}

func TestValidatorRefuses(t *testing.T) {
	b := startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		if string(c.Password) != "secret" {
			return &hook.Decision{Verdict: hook.Deny, Code: mqtt.BadUserNameOrPassword, Reason: "wrong password"}, nil
		}
		return &hook.Decision{Verdict: hook.Allow}, nil
	})
	as := func(password string) func(*packet.Connect) {
		return func(p *packet.Connect) {
			p.Username, p.HasUsername, p.Password, p.HasPassword = "alice", true, []byte(password), true
		}
	}
	good := b.Connect("c", as("secret"))
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		c, ack := b.TryConnect("c", as("guess"), func(p *packet.Connect) { p.Version = v })
		want := mqtt.BadUserNameOrPassword
		if ack.Code != want {
			t.Errorf("MQTT %v: got %v", v, ack.Code)
		}
		c.ExpectClosed()
	}
	good.ExpectNothing() // a refused client never harms the one that it imitates
}

// A session belongs to the user who made it.
func TestSessionOwner(t *testing.T) {
	b := startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow, Mountpoint: c.Username + "/"}, nil
	})
	as := func(user string) func(*packet.Connect) {
		return func(p *packet.Connect) { p.Username, p.HasUsername = user, true }
	}
	alice := b.Connect("c", as("alice"), brokertest.Resume)
	if _, ack := b.TryConnect("c", as("mallory"), brokertest.Resume); ack.Code != mqtt.ClientIdentifierNotValid {
		t.Errorf("got %v", ack.Code)
	}
	alice.ExpectNothing()

	// Mountpoints keep topics apart, also when they look alike.
	bob := b.Connect("b", as("bob"))
	bob.Subscribe(1, "#")
	alice.Subscribe(1, "#")
	alice.Publish(mqtt.Message{Topic: "t", Payload: []byte("a"), QoS: 0, Retain: true}, 0)
	alice.ExpectMessage("t", "a")
	bob.ExpectNothing()
	bob.Publish(mqtt.Message{Topic: "t", Payload: []byte("b")}, 0)
	bob.ExpectMessage("t", "b")
	alice.ExpectNothing()
}

func TestGrants(t *testing.T) {
	filter := "a/#"
	b := startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		d := &hook.Decision{Verdict: hook.Allow}
		if c.ClientID == "limited" {
			d.Grants = &hook.Grants{List: []hook.Grant{{Filter: filter}}}
		}
		return d, nil
	})
	free := b.Connect("free")
	free.Subscribe(1, "#")
	limited := b.Connect("limited", brokertest.Resume)
	limited.Publish(mqtt.Message{Topic: "b", QoS: 1}, mqtt.NotAuthorized)
	limited.Publish(mqtt.Message{Topic: "b", QoS: 2}, mqtt.NotAuthorized)
	limited.Publish(mqtt.Message{Topic: "a/x", Payload: []byte("1"), QoS: 1}, 0)
	free.ExpectMessage("a/x", "1")
	limited.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "#"}, {Filter: "a/+", QoS: 1}, {Filter: "$share/g/b"}, {Filter: "$share/g/a/b"}}})
	limited.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized, 1, mqtt.NotAuthorized, 0}})
	if _, ack := b.TryConnect("limited", func(p *packet.Connect) {
		p.Will = &packet.Will{Topic: "b", Payload: []byte("w")}
	}); ack.Code != mqtt.NotAuthorized {
		t.Errorf("a will that is not granted: %v", ack.Code)
	}

	// New grants end what a kept session no longer may.
	limited = b.Connect("limited", brokertest.Resume)
	limited.Disconnect()
	free.Publish(mqtt.Message{Topic: "a/q", Payload: []byte("2"), QoS: 1}, 0)
	free.ExpectMessage("a/q", "2")
	filter = "c/#"
	limited = b.Connect("limited", brokertest.Resume)
	limited.ExpectNothing()
}

// An interceptor must not carry a client's message where the client may not
// publish.
func TestRecheck(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow, Mountpoint: "m/", Grants: &hook.Grants{List: []hook.Grant{{Filter: "a/#"}}}}, nil
	})}})
	h.SetInterceptors([]hook.InterceptorEntry{rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish {
			c.Message = c.Message.Clone()
			c.Message.Topic = string(c.Message.Payload)
		}
	}).entry()})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c")
	for to, want := range map[string]mqtt.ReasonCode{
		"m/a/x": mqtt.NoMatchingSubscribers, "m/b": mqtt.NotAuthorized, "a/x": mqtt.NotAuthorized,
		"m/a/+": mqtt.ImplementationSpecificError, "": mqtt.ImplementationSpecificError,
	} {
		c.Publish(mqtt.Message{Topic: "a/from", Payload: []byte(to), QoS: 1}, want)
	}
}

// The validator's call ends when the client hangs up.
func TestValidationCancelled(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	b := startWithValidator(t, func(ctx context.Context, _ *hook.Connect) (*hook.Decision, error) {
		close(started)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	c := b.Dial(mqtt.V5)
	c.Send(&packet.Connect{Version: mqtt.V5, ClientID: "c", CleanStart: true, ReceiveMaximum: 1, RequestProblemInfo: true})
	<-started
	c.Drop()
	<-ended
}

// Everything in one segment, while the validator takes its time.
func TestPipelinedConnect(t *testing.T) {
	b := startWithValidator(t, func(context.Context, *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow}, nil
	})
	c := b.Dial(mqtt.V5)
	c.Send(
		&packet.Connect{Version: mqtt.V5, ClientID: "c", CleanStart: true, ReceiveMaximum: 10, RequestProblemInfo: true},
		&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", QoS: 1}}},
		&packet.Publish{ID: 2, Message: mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}},
		&packet.Pingreq{},
	)
	if ack := c.Next().(*packet.Connack); ack.Code != 0 {
		t.Fatalf("got %+v", ack)
	}
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{1}})
	var answers []packet.Type
	for range 3 { // the message comes before or after its PUBACK
		p := c.Next()
		if p.Type() != packet.PUBLISH {
			answers = append(answers, p.Type())
		}
	}
	if !slices.Equal(answers, []packet.Type{packet.PUBACK, packet.PINGRESP}) {
		t.Errorf("answers %v", answers)
	}
}

// watcher keeps the events of a test.
type watcher struct{ events chan hook.Event }

func (w watcher) Observe(_ context.Context, events []hook.Event, _ uint64) {
	for _, e := range events {
		w.events <- e
	}
}

func TestEvents(t *testing.T) {
	w := watcher{make(chan hook.Event, 100)}
	h := hook.NewHooks(nil)
	h.SetObservers([]hook.ObserverEntry{{Observer: w}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c")
	c.Subscribe(1, "t")
	c.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 0, Retain: true}, 0)
	c.ExpectMessage("t", "x")
	c.Publish(mqtt.Message{Topic: "nobody"}, 0)
	c.Send(&packet.Unsubscribe{ID: 4, Filters: []string{"t"}})
	c.Expect(&packet.Unsuback{ID: 4, Codes: []mqtt.ReasonCode{0}})
	c.Disconnect()
	b.Stop()
	h.Close()
	close(w.events)
	var seq uint64
	counts := make(map[hook.EventKind]int)
	for e := range w.events {
		counts[e.Kind]++
		if e.Kind != hook.RetainedChanged {
			if e.ClientID != "c" || e.ConnectionID == 0 || e.Seq <= seq && e.Kind != hook.Delivered {
				t.Errorf("event %+v after %d", e, seq)
			}
			seq = max(seq, e.Seq)
		}
	}
	for kind, want := range map[hook.EventKind]int{
		hook.SessionCreated: 1, hook.Connected: 1, hook.Subscribed: 1, hook.Published: 2, hook.RetainedChanged: 1,
		hook.Delivered: 1, hook.NotConsumed: 1, hook.Unsubscribed: 1, hook.Disconnected: 1, hook.SessionExpired: 1,
	} {
		if counts[kind] != want {
			t.Errorf("kind %d: %d events, want %d", kind, counts[kind], want)
		}
	}
}
