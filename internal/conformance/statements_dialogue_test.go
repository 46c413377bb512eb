package conformance_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// These are what the statement tests have in common. A test that waits for the
// protocol's clock, whose unit is the second, runs beside the others.

var versions = []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5}

// every runs f for each version of the protocol.
func every(t *testing.T, f func(t *testing.T, v mqtt.Version)) {
	t.Helper()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) { f(t, v) })
	}
}

// start runs a broker with nothing in it.
func start(t *testing.T) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, broker.Options{})
}

// startLimited runs a broker with limits.
func startLimited(t *testing.T, l broker.Limits) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, broker.Options{Limits: l})
}

// startAsking runs a broker whose clients are admitted by v.
func startAsking(t *testing.T, v hook.Validator) *brokertest.Broker {
	t.Helper()
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "test", Validator: v}})
	return brokertest.Start(t, broker.Options{Hooks: h})
}

// deciding is a validator that always decides the same.
func deciding(d hook.Decision) hook.Validator {
	return hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) { return &d, nil })
}

// startRuled runs a broker whose clients' publishes, subscriptions and
// deliveries go through f.
func startRuled(t *testing.T, f func(hook.Point, *hook.Call)) *brokertest.Broker {
	t.Helper()
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "test",
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				f(b.Point, c)
			}
			return nil
		}),
		Interests: []hook.Interest{
			{Point: hook.PointPublish, MayChange: hook.FieldAll},
			{Point: hook.PointSubscribe, MayChange: hook.FieldAll},
			{Point: hook.PointUnsubscribe},
			{Point: hook.PointDeliver, MayChange: hook.FieldAll},
		},
	}})
	return brokertest.Start(t, broker.Options{Hooks: h})
}

// speaking makes a client speak a version.
func speaking(v mqtt.Version) func(*packet.Connect) {
	return func(p *packet.Connect) { p.Version = v }
}

// keeping makes a client take up its session and keep it for so many seconds
// (MQTT 3: for ever).
func keeping(seconds uint32) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.CleanStart = false
		if p.Version == mqtt.V5 {
			p.SessionExpiry, p.HasSessionExpiry = seconds, true
		}
	}
}

// leaving makes a client leave a will.
func leaving(w packet.Will) func(*packet.Connect) {
	return func(p *packet.Connect) { p.Will = &w }
}

// say makes a message.
func say(topic, payload string, q mqtt.QoS) mqtt.Message {
	return mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: q}
}

// retained is say with the RETAIN flag.
func retained(topic, payload string, q mqtt.QoS) mqtt.Message {
	m := say(topic, payload, q)
	m.Retain = true
	return m
}

// send publishes without looking at what the acknowledgement says, and returns
// when the broker has handled the message.
func send(t *testing.T, c *brokertest.Client, m mqtt.Message) {
	t.Helper()
	const id = 60_001
	c.Send(&packet.Publish{ID: id * min(1, uint16(m.QoS)), Message: m})
	switch m.QoS {
	case mqtt.AtMostOnce:
		c.ExpectNothing()
	case mqtt.AtLeastOnce:
		expectAck(t, c, packet.PUBACK, id)
	case mqtt.ExactlyOnce:
		expectAck(t, c, packet.PUBREC, id)
		c.Send(ack(packet.PUBREL, id))
		expectAck(t, c, packet.PUBCOMP, id)
	}
}

// echo publishes with QoS 1 what comes back to the publisher, before or after
// its PUBACK, and returns it.
func echo(t *testing.T, c *brokertest.Client, m mqtt.Message) (p *packet.Publish) {
	t.Helper()
	c.Send(&packet.Publish{ID: 60_002, Message: m})
	for range 2 {
		switch got := c.Next().(type) {
		case *packet.Publish:
			p = got
		case *packet.Ack:
		default:
			t.Fatalf("got %+v", got)
		}
	}
	if p == nil {
		t.Fatal("nothing came back")
	}
	return p
}

func ack(kind packet.Type, id uint16) *packet.Ack { return &packet.Ack{Kind: kind, ID: id} }

// expectAck reads an acknowledgement of a kind, whatever its code.
func expectAck(t *testing.T, c *brokertest.Client, kind packet.Type, id uint16) *packet.Ack {
	t.Helper()
	a, ok := c.Next().(*packet.Ack)
	if !ok || a.Kind != kind || a.ID != id {
		t.Fatalf("got %+v, want %v of %d", a, kind, id)
	}
	return a
}

// nothing expects that no packet is on its way to c. The first PINGRESP may
// overtake a message that is queued already; the second does not.
func nothing(cs ...*brokertest.Client) {
	for _, c := range cs {
		c.ExpectNothing()
		c.ExpectNothing()
	}
}

// next reads a PUBLISH and does not acknowledge it.
func next(t *testing.T, c *brokertest.Client) *packet.Publish {
	t.Helper()
	got := c.Next()
	p, ok := got.(*packet.Publish)
	if !ok {
		t.Fatalf("got %v %+v, want a PUBLISH", got.Type(), got)
	}
	return p
}

// waiting reads the messages that are on their way to c, unacknowledged. See
// nothing for why it asks twice.
func waiting(t *testing.T, c *brokertest.Client) []*packet.Publish {
	t.Helper()
	var all []*packet.Publish
	for range 2 {
		c.Send(&packet.Pingreq{})
		for {
			got := c.Next()
			if _, ok := got.(*packet.Pingresp); ok {
				break
			}
			p, ok := got.(*packet.Publish)
			if !ok {
				t.Fatalf("got %v %+v, want a PUBLISH", got.Type(), got)
			}
			all = append(all, p)
		}
	}
	return all
}

// receive reads n messages that may come before the last was acknowledged, and
// takes them through all that their QoS asks for.
func receive(t *testing.T, c *brokertest.Client, n int) []*packet.Publish {
	t.Helper()
	var all []*packet.Publish
	open := 0 // QoS 2 exchanges
	for len(all) < n || open > 0 {
		switch p := c.Next().(type) {
		case *packet.Publish:
			all = append(all, p)
			switch p.Message.QoS {
			case mqtt.AtLeastOnce:
				c.Send(ack(packet.PUBACK, p.ID))
			case mqtt.ExactlyOnce:
				open++
				c.Send(ack(packet.PUBREC, p.ID))
			}
		case *packet.Ack:
			if p.Kind != packet.PUBREL {
				t.Fatalf("got %+v", p)
			}
			open--
			c.Send(ack(packet.PUBCOMP, p.ID))
		default:
			t.Fatalf("got %+v", p)
		}
	}
	return all
}

// subscribe sends one SUBSCRIBE and returns the codes of its SUBACK.
func subscribe(t *testing.T, c *brokertest.Client, subs ...mqtt.Subscription) []mqtt.ReasonCode {
	t.Helper()
	return subscribeAs(t, c, 0, subs...)
}

// subscribeAs is subscribe with a Subscription Identifier.
func subscribeAs(t *testing.T, c *brokertest.Client, id uint32, subs ...mqtt.Subscription) []mqtt.ReasonCode {
	t.Helper()
	c.Send(&packet.Subscribe{ID: 9, SubscriptionID: id, Subscriptions: subs})
	got := c.Next()
	a, ok := got.(*packet.Suback)
	if !ok || a.ID != 9 {
		t.Fatalf("got %v %+v, want a SUBACK", got.Type(), got)
	}
	return a.Codes
}

// unsubscribe sends one UNSUBSCRIBE and waits for its answer.
func unsubscribe(t *testing.T, c *brokertest.Client, filters ...string) *packet.Unsuback {
	t.Helper()
	c.Send(&packet.Unsubscribe{ID: 10, Filters: filters})
	a, ok := c.Next().(*packet.Unsuback)
	if !ok || a.ID != 10 {
		t.Fatalf("got %+v, want an UNSUBACK", a)
	}
	return a
}

// closes expects the broker to end a connection: an MQTT 5 client is told the
// code first.
func closes(t *testing.T, c *brokertest.Client, v mqtt.Version, code mqtt.ReasonCode) {
	t.Helper()
	if v == mqtt.V5 {
		got := c.Next()
		if d, ok := got.(*packet.Disconnect); !ok || d.Code != code {
			t.Fatalf("got %v %+v, want DISCONNECT with %v", got.Type(), got, code)
		}
	}
	c.ExpectClosed()
}

// present expects CONNACK to say whether there was a session.
func present(t *testing.T, v mqtt.Version, a *packet.Connack, want bool) {
	t.Helper()
	if a.Code != mqtt.Success || v != mqtt.V31 && a.SessionPresent != want {
		t.Errorf("CONNACK %v, session present %v, want %v", a.Code, a.SessionPresent, want)
	}
}

// gone waits until the broker has n sessions.
func gone(t *testing.T, b *brokertest.Broker, n int) {
	t.Helper()
	deadline := time.Now().Add(brokertest.Patience)
	for b.Stats().Sessions != n {
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions, want %d", b.Stats().Sessions, n)
		}
		time.Sleep(time.Millisecond)
	}
}

func number(i int) string { return strconv.Itoa(i) }
