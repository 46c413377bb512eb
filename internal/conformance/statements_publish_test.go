package conformance_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// [MQTT-3.3.2-4] [MQTT-3.3.2-15] to [MQTT-3.3.2-18] [MQTT-3.3.2-20]: what a
// publisher says about its message reaches every subscriber unaltered, and in
// order; who speaks MQTT 3 gets the rest.
func TestPropertiesForwarded(t *testing.T) {
	b := start(t)
	pub, old := b.Connect("pub"), b.Connect("old", brokertest.V311)
	one, two := b.Connect("one"), b.Connect("two")
	old.Subscribe(1, "t/#")
	one.Subscribe(1, "t/#")
	two.Subscribe(0, "t/+")
	for name, want := range map[string]*mqtt.Properties{
		"all": {
			HasPayloadFormat: true, PayloadIsUTF8: true, ContentType: "text/plain; charset=utf-8",
			ResponseTopic: "answers/ℵ", CorrelationData: []byte{0, 255, 0},
			User: []mqtt.UserProperty{{Key: "z", Value: "1"}, {Key: "a", Value: ""}, {Key: "z", Value: "1"}, {Key: "", Value: "2"}},
		},
		"none":                             nil,
		"bytes":                            {HasPayloadFormat: true},
		"correlation of zero":              {CorrelationData: []byte{}},
		"user properties":                  {User: []mqtt.UserProperty{{Key: "b"}, {Key: "a"}, {Key: "c"}}},
		"an empty content type":            {EmptyContentType: true},
		"beginning with a byte order mark": {ContentType: "\uFEFFx"},
	} {
		t.Run(name, func(t *testing.T) {
			m := say("t/x", "p", 1)
			m.Properties = want
			m.Retain = true
			send(t, pub, m)
			late := b.Connect("late")
			late.Subscribe(1, "t/x")
			for _, c := range []*brokertest.Client{one, two, late} {
				if d := cmp.Diff(want, c.ExpectMessage("t/x", "p").Message.Properties); d != "" {
					t.Error(d)
				}
			}
			old.ExpectMessage("t/x", "p")
		})
	}
}

// [MQTT-1.5.4-3], MQTT-1.5.3-3 of 3.1.1: the bytes EF BB BF are a character.
func TestByteOrderMark(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c := b.Connect("\uFEFFc", speaking(v), keeping(60))
		c.Subscribe(0, "\uFEFFt", "t")
		send(t, b.Connect("pub"), say("\uFEFFt", "marked", 0))
		c.ExpectMessage("\uFEFFt", "marked")
		nothing(c)
		_, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, false)
	})
}

// Section 3.3.2.3.2: the Payload Format Indicator is checked where that is
// configured.
func TestPayloadFormat(t *testing.T) {
	for _, check := range []bool{false, true} {
		t.Run(map[bool]string{true: "checked", false: "passed on"}[check], func(t *testing.T) {
			b := brokertest.Start(t, broker.Options{CheckPayloadFormat: check})
			sub, pub := b.Connect("sub"), b.Connect("pub")
			sub.Subscribe(0, "t")
			code := mqtt.Success
			if check {
				code = mqtt.PayloadFormatInvalid
			}
			for q := range mqtt.QoS(3) {
				m := say("t", "\xC3\x28", q)
				m.Properties = &mqtt.Properties{HasPayloadFormat: true, PayloadIsUTF8: true}
				pub.Publish(m, code)
				m.Payload = []byte("größer")
				pub.Publish(m, mqtt.Success)
				if !check {
					sub.ExpectMessage("t", "\xC3\x28")
				}
				sub.ExpectMessage("t", "größer")
			}
			nothing(sub)
		})
	}
}

// [MQTT-3.3.2-5] [MQTT-3.3.2-6]: a message that waited carries what is left of
// its Message Expiry Interval, and an expired one is delivered to nobody.
func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b := start(t)
	pub := b.Connect("pub")
	away := b.Connect("away", keeping(60))
	away.Subscribe(2, "t/#")
	away.Disconnect()
	old := b.Connect("old", brokertest.V311, keeping(0))
	old.Subscribe(2, "t/#")
	old.Disconnect()
	held := b.Connect("held", func(p *packet.Connect) { p.ReceiveMaximum = 1 }) // by its window
	held.Subscribe(1, "t/#")
	now := b.Connect("now")
	now.Subscribe(1, "t/#")
	publish := func(topic string, expiry uint32) {
		m := retained(topic, "", 1)
		m.Payload = []byte("x")
		m.Properties = &mqtt.Properties{HasExpiry: true, Expiry: expiry}
		send(t, pub, m)
		if expiry == 0 {
			return // at once means before a client that is slow
		}
		if got := now.ExpectMessage(topic, "x").Message.Properties; got.Expiry != expiry {
			t.Errorf("sent at once with an expiry of %d, not %d", got.Expiry, expiry)
		}
	}
	send(t, pub, say("t/first", "", 1))
	first := next(t, held)
	now.ExpectMessage("t/first", "")
	publish("t/short", 1)
	publish("t/long", 1000)
	publish("t/longest", 0xFFFFFFFF)
	time.Sleep(1100 * time.Millisecond) // the messages' clock, whose unit is a second

	reduced := func(t *testing.T, ps []*packet.Publish) {
		t.Helper()
		for _, p := range ps {
			var want uint32
			switch p.Message.Topic {
			case "t/long":
				want = 1000
			case "t/longest":
				want = 0xFFFFFFFF
			case "t/first":
				continue
			default:
				t.Errorf("got %s", p.Message.Topic)
			}
			if got := p.Message.Properties.Expiry; got >= want || got < want-20 {
				t.Errorf("%s: expiry %d, published with %d", p.Message.Topic, got, want)
			}
		}
	}
	t.Run("queued for a client that is away", func(t *testing.T) {
		away = b.Connect("away", keeping(60))
		reduced(t, receive(t, away, 3))
		nothing(away)
	})
	t.Run("queued for a client of MQTT 3", func(t *testing.T) {
		old = b.Connect("old", brokertest.V311, keeping(0))
		if got := receive(t, old, 3); got[1].Message.Topic != "t/long" || got[2].Message.Topic != "t/longest" {
			t.Errorf("got %+v", got)
		}
		nothing(old)
	})
	t.Run("queued behind the window", func(t *testing.T) {
		held.Send(ack(packet.PUBACK, first.ID))
		reduced(t, receive(t, held, 2))
		nothing(held)
	})
	t.Run("retained", func(t *testing.T) {
		late := b.Connect("late")
		late.Subscribe(1, "t/#")
		reduced(t, receive(t, late, 2))
		nothing(late)
	})
	t.Run("zero", func(t *testing.T) {
		away.Disconnect()
		publish("t/zero", 0)
		nothing(b.Connect("away", keeping(60)))
		late := b.Connect("later")
		late.Subscribe(1, "t/zero")
		nothing(late)
	})
}

// [MQTT-4.3.3-7]: a message whose sending has begun does not expire.
func TestInFlightDoesNotExpire(t *testing.T) {
	t.Parallel()
	b := start(t)
	c, pub := b.Connect("c", keeping(60)), b.Connect("pub")
	c.Subscribe(2, "t")
	for q := range mqtt.QoS(2) {
		m := say("t", "x", q+1)
		m.Properties = &mqtt.Properties{HasExpiry: true, Expiry: 1}
		send(t, pub, m)
		next(t, c)
	}
	c.Drop()
	time.Sleep(1100 * time.Millisecond)
	c = b.Connect("c", keeping(60))
	for range 2 {
		if p := next(t, c); !p.Dup {
			t.Errorf("got %+v", p)
		}
	}
}

// [MQTT-3.3.2-2] [MQTT-3.3.2-14] [MQTT-4.7.0-1] [MQTT-4.7.3-1], MQTT-4.7.1-1 of
// 3.1.1: topics that cannot be published to.
func TestPublishTopics(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		for _, topic := range []string{"#", "+", "a/#", "a/+/b", "a#", "+a"} {
			for q := range mqtt.QoS(3) {
				c := b.Connect("c", speaking(v))
				c.Send(&packet.Publish{ID: uint16(q), Message: say(topic, "", q)})
				closes(t, c, v, mqtt.TopicNameInvalid)
			}
		}
		c := b.Connect("c", speaking(v))
		if v == mqtt.V5 {
			c.SendBytes(wire.Bytes(`30 ( "" 00 'x' )`))
		} else {
			c.SendBytes(wire.Bytes(`30 ( "" 'x' )`))
		}
		closes(t, c, v, mqtt.ProtocolError)
	})
	c := b.Connect("c")
	m := say("t", "", 0)
	m.Properties = &mqtt.Properties{ResponseTopic: "a/+"}
	c.Send(&packet.Publish{Message: m})
	closes(t, c, mqtt.V5, mqtt.TopicNameInvalid)
}

// Section 3.4.2.1: 0x10 says that nobody subscribes; MQTT 3 has no place for it.
func TestNoMatchingSubscribers(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	for q := range mqtt.QoS(2) {
		pub.Publish(say("t", "", q+1), mqtt.NoMatchingSubscribers)
	}
	old := b.Connect("old", brokertest.V311)
	old.Send(&packet.Publish{ID: 1, Message: say("t", "", 1)})
	old.Expect(ack(packet.PUBACK, 1))
	b.Connect("away", keeping(60)).Subscribe(0, "t")
	pub.Publish(say("t", "", 1), mqtt.Success)
}

// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.9.3-2] [MQTT-3.11.3-2] [MQTT-3.14.2-1]:
// whatever code a hook asks for, a packet carries one that it may.
func TestReasonCodesOfPackets(t *testing.T) {
	var say0 mqtt.ReasonCode
	b := startRuled(t, func(p hook.Point, c *hook.Call) {
		c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: say0}
		if p == hook.PointPublish && c.Message.Topic == "out" {
			c.Verdict.Action = hook.Disconnect
		}
	})
	c := b.Connect("c")
	for code := range 256 {
		say0 = mqtt.ReasonCode(code)
		c.Send( // the decoder of the test refuses what may not be there
			&packet.Publish{ID: 1, Message: say("t", "", 1)}, &packet.Publish{ID: 2, Message: say("t", "", 2)},
			&packet.Subscribe{ID: 3, Subscriptions: []mqtt.Subscription{{Filter: "t"}}},
			&packet.Unsubscribe{ID: 4, Filters: []string{"t"}}, &packet.Publish{Message: say("out", "", 0)},
		)
		for _, got := range []mqtt.ReasonCode{
			expectAck(t, c, packet.PUBACK, 1).Code, expectAck(t, c, packet.PUBREC, 2).Code,
			c.Next().(*packet.Suback).Codes[0], c.Next().(*packet.Unsuback).Codes[0],
			c.Next().(*packet.Disconnect).Code,
		} {
			if !got.Failed() {
				t.Errorf("refused with %v: got %v", say0, got)
			}
		}
		c.ExpectClosed()
		c = b.Connect("c")
	}
}
