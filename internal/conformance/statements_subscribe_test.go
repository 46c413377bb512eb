package conformance_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// subscribeTo is a SUBSCRIBE with QoS 1 and a Subscription Identifier.
func subscribeTo(id uint32, filters ...string) *packet.Subscribe {
	p := &packet.Subscribe{ID: 5, SubscriptionID: id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, mqtt.Subscription{Filter: f, QoS: 1})
	}
	return p
}

// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-5] to [MQTT-3.8.4-7] [MQTT-3.9.3-1]
// [MQTT-3.9.3-2] [MQTT-2.2.1-6]: one answer, with the identifier of the request
// and a code for each filter in its order.
func TestSubscribe(t *testing.T) {
	b := startRuled(t, func(p hook.Point, c *hook.Call) {
		if p == hook.PointSubscribe && c.Subscription.Filter == "refused" {
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded}
		}
	})
	every(t, func(t *testing.T, v mqtt.Version) {
		c := b.Connect("c", speaking(v))
		for _, id := range []uint16{1, 0x1234, 0xFFFF} {
			c.Send(&packet.Subscribe{ID: id, Subscriptions: []mqtt.Subscription{
				{Filter: "a", QoS: 2},
				{Filter: "a/#/b", QoS: 1},
				{Filter: "refused", QoS: 0},
				{Filter: "b/+", QoS: 0},
				{Filter: "+a", QoS: 2},
				{Filter: "a", QoS: 1},
			}})
			want := []mqtt.ReasonCode{2, mqtt.TopicFilterInvalid, mqtt.QuotaExceeded, 0, mqtt.TopicFilterInvalid, 1}
			if v != mqtt.V5 {
				want[1], want[2], want[4] = mqtt.UnspecifiedError, mqtt.UnspecifiedError, mqtt.UnspecifiedError
			}
			c.Expect(&packet.Suback{ID: id, Codes: want})
		}
		// [MQTT-3.8.4-5]: as if one after the other: the last word about "a" holds.
		send(t, b.Connect("pub"), say("a", "x", 2))
		if got := c.ExpectMessage("a", "x"); got.Message.QoS != 1 {
			t.Errorf("got QoS %d", got.Message.QoS)
		}
		nothing(c)
	})
}

// [MQTT-3.8.4-3], MQTT-3.8.4-3 of 3.1.1: the same filter again replaces the
// subscription, and nothing is lost meanwhile [MQTT-3.8.4-4].
func TestSubscribeAgain(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		const n = 300
		b := start(t)
		c, pub := b.Connect("c", speaking(v)), b.Connect("pub")
		c.Subscribe(0, "t")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range n {
				pub.Send(&packet.Publish{Message: say("t", number(i), 0)})
			}
			pub.ExpectNothing()
		}()
		got := 0
		expect := func(p packet.Packet) {
			if p, ok := p.(*packet.Publish); ok {
				if string(p.Message.Payload) != number(got) {
					t.Errorf("got %s, want %d", p.Message.Payload, got)
				}
				got++
			}
		}
		for range 20 {
			c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}})
			for {
				p := c.Next()
				if _, ok := p.(*packet.Suback); ok {
					break
				}
				expect(p)
			}
		}
		for got < n {
			expect(c.Next())
		}
		<-done
		nothing(c)
	})
	t.Run("with all its options", func(t *testing.T) {
		b := start(t)
		c := b.Connect("c")
		subscribeAs(t, c, 1, mqtt.Subscription{Filter: "t", QoS: 2, NoLocal: true, RetainAsPublished: true})
		send(t, c, retained("t", "own", 1))
		nothing(c)
		subscribe(t, c, mqtt.Subscription{Filter: "t", QoS: 0, RetainHandling: mqtt.RetainDoNotSend})
		if p := echo(t, c, retained("t", "own", 1)); p.Message.QoS != 0 || p.Message.Retain || len(p.SubscriptionIDs) > 0 {
			t.Errorf("got %+v", p)
		}
	})
}

// [MQTT-3.3.4-2] to [MQTT-3.3.4-5], MQTT-3.3.5-1 of 3.1.1: a client whose
// subscriptions overlap gets one copy, with the highest QoS and all
// identifiers.
func TestOverlappingSubscriptions(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c, pub := b.Connect("c", speaking(v)), b.Connect("pub")
		c.Subscribe(0, "#")
		c.Subscribe(2, "a/+")
		c.Subscribe(1, "a/b")
		for q := range mqtt.QoS(3) {
			send(t, pub, say("a/b", "x", q))
			if got := c.ExpectMessage("a/b", "x"); got.Message.QoS != q {
				t.Errorf("published with QoS %d, got %d", q, got.Message.QoS)
			}
		}
		nothing(c)
	})
	t.Run("identifiers", func(t *testing.T) {
		b := start(t)
		c, pub := b.Connect("c", keeping(60)), b.Connect("pub")
		for id, filters := range map[uint32][]string{1: {"a/b", "x"}, 127: {"a/+"}, 128: {"#"}, 268_435_455: {"+/b"}, 5: {"other"}} {
			c.Send(subscribeTo(id, filters...))
			c.Next()
		}
		c.Subscribe(0, "a/#") // without an identifier
		expect := func(p *packet.Publish, want ...uint32) {
			t.Helper()
			slices.Sort(p.SubscriptionIDs)
			if d := cmp.Diff(want, p.SubscriptionIDs); d != "" {
				t.Errorf("%s: %s", p.Message.Topic, d)
			}
		}
		send(t, pub, say("a/b", "1", 1))
		expect(c.ExpectMessage("a/b", "1"), 1, 127, 128, 268_435_455)
		send(t, pub, say("x", "2", 1))
		expect(c.ExpectMessage("x", "2"), 1, 128)
		send(t, pub, say("$x", "", 1)) // none of them
		unsubscribe(t, c, "#")
		send(t, pub, say("a/c", "3", 1))
		expect(c.ExpectMessage("a/c", "3"), 127)
		send(t, pub, say("a/c/d", "4", 1))
		expect(c.ExpectMessage("a/c/d", "4"))
		c.Disconnect() // what is queued keeps them
		send(t, pub, say("a/b", "5", 1))
		c = b.Connect("c", keeping(60))
		expect(c.ExpectMessage("a/b", "5"), 1, 127, 268_435_455)
	})
}

// [MQTT-3.8.3-3]: No Local.
func TestNoLocal(t *testing.T) {
	b := start(t)
	c, other := b.Connect("c", keeping(60)), b.Connect("other")
	subscribe(t, c, mqtt.Subscription{Filter: "t", QoS: 1, NoLocal: true})
	subscribe(t, other, mqtt.Subscription{Filter: "t", QoS: 1, NoLocal: true})
	send(t, c, say("t", "c", 1))
	other.ExpectMessage("t", "c")
	send(t, other, say("t", "other", 1))
	c.ExpectMessage("t", "other")
	nothing(c, other)
	// By identifier, not by connection: also for its will and while it is away.
	c.Disconnect()
	b.Connect("c", keeping(60), leaving(packet.Will{Topic: "t", Payload: []byte("will")})).Drop()
	other.ExpectMessage("t", "will")
	nothing(b.Connect("c", keeping(60)))
	// Another subscription without it matches as ever.
	c = b.Connect("c", keeping(60))
	c.Subscribe(0, "+")
	if p := echo(t, c, say("t", "again", 1)); p.Message.QoS != 0 {
		t.Errorf("got QoS %d", p.Message.QoS)
	}
}

// [MQTT-3.2.2-9] to [MQTT-3.2.2-11], MQTT-3.8.4-6 of 3.1.1: a maximum QoS is
// told, lowers what subscriptions are granted, and holds for publishers.
func TestMaximumQoS(t *testing.T) {
	for most := range mqtt.QoS(2) {
		b := startLimited(t, broker.Limits{LimitQoS: true, MaxQoS: most})
		every(t, func(t *testing.T, v mqtt.Version) {
			c, a := b.TryConnect("c", speaking(v))
			if v == mqtt.V5 && (!a.HasMaximumQoS || a.MaximumQoS != most) {
				t.Errorf("got %+v", a)
			}
			codes := subscribe(t, c, mqtt.Subscription{Filter: "0"}, mqtt.Subscription{Filter: "1", QoS: 1}, mqtt.Subscription{Filter: "2", QoS: 2})
			if d := cmp.Diff([]mqtt.ReasonCode{0, mqtt.ReasonCode(most), mqtt.ReasonCode(most)}, codes); d != "" {
				t.Error(d)
			}
			send(t, b.Connect("pub"), say("2", "x", most))
			if p := c.ExpectMessage("2", "x"); p.Message.QoS != most {
				t.Errorf("got QoS %d", p.Message.QoS)
			}
			c.Send(&packet.Publish{ID: 1, Message: say("2", "x", most+1)})
			closes(t, c, v, mqtt.QoSNotSupported)
		})
	}
	t.Run("none", func(t *testing.T) {
		if _, a := start(t).TryConnect("c"); a.HasMaximumQoS {
			t.Errorf("got %+v", a)
		}
	})
}

// [MQTT-3.10.4-1] [MQTT-3.10.4-4] to [MQTT-3.10.4-6] [MQTT-3.11.3-1]: exactly the
// filters named are removed, and there is one answer.
func TestUnsubscribe(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c, pub := b.Connect("c", speaking(v)), b.Connect("pub")
		c.Subscribe(1, "a/b", "a/+", "A/b", "$share/g/s", "a/#")
		c.Send(&packet.Unsubscribe{ID: 0xABCD, Filters: []string{"a/b", "a/", "a/b", "a/#/b", "a/#", "$share/h/s", "s"}})
		want := &packet.Unsuback{ID: 0xABCD}
		if v == mqtt.V5 {
			none := mqtt.NoSubscriptionExisted
			want.Codes = []mqtt.ReasonCode{0, none, none, mqtt.TopicFilterInvalid, 0, none, none}
		}
		c.Expect(want)
		for _, topic := range []string{"a/b", "A/b", "s", "a"} {
			send(t, pub, say(topic, "x", 1))
		}
		for _, topic := range []string{"a/b", "A/b", "s"} { // by the rest
			c.ExpectMessage(topic, "x")
		}
		unsubscribe(t, c, "a/+", "A/b", "$share/g/s")
		for _, topic := range []string{"a/b", "A/b", "s", "a"} {
			pub.Publish(say(topic, "x", 1), mqtt.NoMatchingSubscribers)
		}
		nothing(c)
	})
}

// [MQTT-3.10.4-2] [MQTT-3.10.4-3]: what was begun is completed, nothing new is
// added.
func TestUnsubscribeInFlight(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c, pub := b.Connect("c", speaking(v), keeping(60)), b.Connect("pub")
		c.Subscribe(2, "t")
		send(t, pub, say("t", "1", 1))
		send(t, pub, say("t", "2", 2))
		one, two := next(t, c), next(t, c)
		unsubscribe(t, c, "t")
		pub.Publish(say("t", "3", 1), mqtt.NoMatchingSubscribers)
		c.Send(ack(packet.PUBREC, two.ID))
		c.Expect(ack(packet.PUBREL, two.ID))
		c.Drop()
		c = b.Connect("c", speaking(v), keeping(60))
		for range 2 {
			switch p := c.Next().(type) {
			case *packet.Publish:
				if p.ID != one.ID || !p.Dup {
					t.Errorf("got %+v", p)
				}
			case *packet.Ack:
				if p.Kind != packet.PUBREL || p.ID != two.ID {
					t.Errorf("got %+v", p)
				}
			}
		}
		c.Send(ack(packet.PUBACK, one.ID), ack(packet.PUBCOMP, two.ID))
		nothing(c)
	})
}

// [MQTT-3.8.1-1] [MQTT-3.8.3-1] [MQTT-3.8.3-2] [MQTT-3.8.3-5] [MQTT-3.10.1-1]
// [MQTT-3.10.3-1] [MQTT-3.10.3-2], MQTT-3-8.3-4 of 3.1.1: requests that end the
// connection.
func TestSubscribeMalformed(t *testing.T) {
	b := start(t)
	for _, tt := range []struct {
		name, three, five string
		code              mqtt.ReasonCode
	}{
		{"flags of SUBSCRIBE", `80 ( 0001 "a" 00 )`, `80 ( 0001 00 "a" 00 )`, mqtt.MalformedPacket},
		{"flags of UNSUBSCRIBE", `a0 ( 0001 "a" )`, `a0 ( 0001 00 "a" )`, mqtt.MalformedPacket},
		{"SUBSCRIBE without a filter", `82 ( 0001 )`, `82 ( 0001 00 )`, mqtt.ProtocolError},
		{"UNSUBSCRIBE without a filter", `a2 ( 0001 )`, `a2 ( 0001 00 )`, mqtt.ProtocolError},
		{"reserved options", `82 ( 0001 "a" 04 )`, `82 ( 0001 00 "a" 40 )`, mqtt.MalformedPacket},
		{"QoS 3", `82 ( 0001 "a" 03 )`, `82 ( 0001 00 "a" 03 )`, mqtt.ProtocolError},
		{"filter is not UTF-8", `82 ( 0001 [ c328 ] 00 )`, `82 ( 0001 00 [ c328 ] 00 )`, mqtt.MalformedPacket},
		{"filter to unsubscribe is not UTF-8", `a2 ( 0001 [ c328 ] )`, `a2 ( 0001 00 [ c328 ] )`, mqtt.MalformedPacket},
		{"packet identifier zero", `82 ( 0000 "a" 00 )`, `82 ( 0000 00 "a" 00 )`, mqtt.ProtocolError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Connect("c", brokertest.V311)
			c.SendBytes(wire.Bytes(tt.three))
			c.ExpectClosed()
			c = b.Connect("c")
			c.SendBytes(wire.Bytes(tt.five))
			closes(t, c, mqtt.V5, tt.code)
		})
	}
	t.Run("no local on a shared subscription", func(t *testing.T) { // [MQTT-3.8.3-4]
		c := b.Connect("c")
		c.SendBytes(wire.Bytes(`82 ( 0001 00 "$share/g/a" 04 )`))
		closes(t, c, mqtt.V5, mqtt.ProtocolError)
	})
}
