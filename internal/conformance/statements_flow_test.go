package conformance_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// aliased is a PUBLISH with a topic alias.
func aliased(topic string, alias uint16, payload string) *packet.Publish {
	return &packet.Publish{Message: say(topic, payload, 0), Alias: alias, HasAlias: true}
}

// [MQTT-3.3.2-7] [MQTT-3.3.2-12]: aliases from a client, up to the maximum that
// it was told, for as long as its connection.
func TestTopicAliasInbound(t *testing.T) {
	b := startLimited(t, broker.Limits{TopicAliases: 3})
	sub := b.Connect("sub")
	sub.Subscribe(0, "#")
	c := b.Connect("c", keeping(60))
	c.Send(aliased("one", 1, "a"), aliased("three", 3, "b"), aliased("", 1, "c"), aliased("other", 1, "d"),
		aliased("", 3, "e"), aliased("", 1, "f"))
	for _, want := range []string{"one a", "three b", "one c", "other d", "three e", "other f"} {
		topic, payload, _ := strings.Cut(want, " ")
		if p := sub.ExpectMessage(topic, payload); p.HasAlias {
			t.Errorf("alias of the publisher forwarded: %+v", p)
		}
	}
	for name, p := range map[string]struct {
		packet.Packet
		code mqtt.ReasonCode
	}{
		"above the maximum":           {aliased("x", 4, ""), mqtt.TopicAliasInvalid}, // section 3.3.2.3.4
		"never set":                   {aliased("", 2, ""), mqtt.ProtocolError},
		"set over another connection": {aliased("", 1, ""), mqtt.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.Connect("c", keeping(60))
			c.Send(p.Packet)
			closes(t, c, mqtt.V5, p.code)
		})
	}
	nothing(sub)
	t.Run("none allowed", func(t *testing.T) {
		none := uint16(0)
		b := startAsking(t, deciding(hook.Decision{Verdict: hook.Allow, Limits: hook.Limits{TopicAliasMaximum: &none}}))
		c, a := b.TryConnect("c")
		if a.TopicAliasMaximum != 0 {
			t.Errorf("got %+v", a)
		}
		c.Send(aliased("x", 1, ""))
		closes(t, c, mqtt.V5, mqtt.TopicAliasInvalid)
	})
}

// [MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-8] [MQTT-3.3.2-11]: aliases to a
// client, up to the maximum that it told; they save the topic.
func TestTopicAliasOutbound(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	for _, most := range []uint16{0, 1, 3, 0xFFFF} {
		accepting := func(p *packet.Connect) { p.TopicAliasMaximum = most }
		c := b.Connect("c", keeping(60), accepting)
		c.Subscribe(0, "topic/#")
		saved := 0
		for range 2 { // two connections
			known := make(map[uint16]string)
			for i := range 60 {
				topic := "topic/" + number(i%5)
				send(t, pub, say(topic, "x", 0))
				p := next(t, c)
				switch {
				case p.HasAlias && (p.Alias == 0 || p.Alias > most):
					t.Fatalf("maximum %d: got alias %d", most, p.Alias)
				case p.HasAlias && p.Message.Topic == "":
					saved++
					p.Message.Topic = known[p.Alias]
				case p.HasAlias:
					known[p.Alias] = p.Message.Topic
				}
				if p.Message.Topic != topic {
					t.Fatalf("maximum %d: got %+v, want topic %s", most, p, topic)
				}
			}
			c.Disconnect()
			c = b.Connect("c", keeping(60), accepting)
		}
		if (saved > 0) != (most > 0) {
			t.Errorf("maximum %d: %d topics saved", most, saved)
		}
		b.Connect("c").Disconnect()
	}
}

// [MQTT-3.3.4-7], section 4.9: a client that sends more than our Receive Maximum
// is told and closed; what it completed counts no more.
func TestReceiveMaximumInbound(t *testing.T) {
	b := startLimited(t, broker.Limits{ReceiveMaximum: 2})
	c := b.Connect("c")
	for id := range uint16(5) { // QoS 1 is answered at once
		c.Send(&packet.Publish{ID: id + 1, Message: say("t", "", 1)})
		expectAck(t, c, packet.PUBACK, id+1)
	}
	open := func(id uint16) {
		c.Send(&packet.Publish{ID: id, Message: say("t", "", 2)})
		expectAck(t, c, packet.PUBREC, id)
	}
	open(1)
	open(2)
	c.Send(&packet.Publish{ID: 2, Dup: true, Message: say("t", "", 2)}) // the same again is none more
	expectAck(t, c, packet.PUBREC, 2)
	c.Send(&packet.Publish{Message: say("t", "", 0)}, &packet.Pingreq{}) // [MQTT-4.9.0-3]
	c.Expect(&packet.Pingresp{})
	c.Send(ack(packet.PUBREL, 1))
	c.Expect(ack(packet.PUBCOMP, 1))
	open(3)
	c.Send(&packet.Publish{ID: 4, Message: say("t", "", 2)})
	closes(t, c, mqtt.V5, mqtt.ReceiveMaximumExceeded)
	// MQTT 3 knows no maximum.
	old := b.Connect("old", brokertest.V311)
	for id := range uint16(10) {
		old.Send(&packet.Publish{ID: id + 1, Message: say("t", "", 2)})
		expectAck(t, old, packet.PUBREC, id+1)
	}
}

// [MQTT-3.3.4-9] [MQTT-3.3.4-10] [MQTT-4.9.0-1] to [MQTT-4.9.0-3]: never more
// than the client's Receive Maximum, which nothing but PUBLISH waits for.
func TestReceiveMaximumOutbound(t *testing.T) {
	for _, most := range []uint16{1, 3} {
		b := start(t)
		pub := b.Connect("pub")
		c := b.Connect("c", keeping(60), func(p *packet.Connect) { p.ReceiveMaximum = most })
		c.Subscribe(2, "t")
		for i := range 10 {
			send(t, pub, say("t", number(i), mqtt.QoS(1+i%2)))
		}
		var open []*packet.Publish
		for range most {
			open = append(open, next(t, c))
		}
		nothing(c)
		c.Subscribe(0, "other") // answered
		for i := int(most); i < 10; i++ {
			p := open[0]
			open = open[1:]
			if p.Message.QoS == 1 {
				c.Send(ack(packet.PUBACK, p.ID))
			} else {
				c.Send(ack(packet.PUBREC, p.ID))
				c.Expect(ack(packet.PUBREL, p.ID)) // a QoS 2 message counts until its PUBCOMP
				nothing(c)
				c.Send(ack(packet.PUBCOMP, p.ID))
			}
			n := next(t, c)
			if string(n.Message.Payload) != number(i) {
				t.Errorf("got %s, want %d", n.Message.Payload, i)
			}
			open = append(open, n)
			nothing(c)
		}
	}
}

// Section 3.2.2.3.6 and [MQTT-3.2.2-15]: packets above our Maximum Packet Size
// are refused, those of it are not.
func TestMaximumPacketSizeInbound(t *testing.T) {
	b := startLimited(t, broker.Limits{PacketSize: 100})
	every(t, func(t *testing.T, v mqtt.Version) {
		head := 2 + 2 + len("t") // fixed header, topic
		if v == mqtt.V5 {
			head++
		}
		c := b.Connect("c", speaking(v))
		send(t, c, say("t", strings.Repeat("x", 100-head), 0))
		c.Send(&packet.Publish{Message: say("t", strings.Repeat("x", 101-head), 0)})
		closes(t, c, v, mqtt.PacketTooLarge)
	})
	t.Run("by a validator", func(t *testing.T) {
		most := uint32(50)
		b := startAsking(t, deciding(hook.Decision{Verdict: hook.Allow, Limits: hook.Limits{MaximumPacketSize: &most}}))
		c, a := b.TryConnect("c")
		if a.MaximumPacketSize != 50 {
			t.Errorf("got %+v", a)
		}
		c.Send(&packet.Publish{Message: say("t", strings.Repeat("x", 50), 0)})
		closes(t, c, mqtt.V5, mqtt.PacketTooLarge)
	})
}

// [MQTT-3.1.2-24] [MQTT-3.1.2-25]: a message that is too large for a client
// counts as delivered to it; others get it, and it gets others.
func TestMaximumPacketSizeOutbound(t *testing.T) {
	b := start(t)
	pub, all := b.Connect("pub"), b.Connect("all")
	all.Subscribe(2, "t")
	c := b.Connect("c", keeping(60), func(p *packet.Connect) { p.MaximumPacketSize, p.ReceiveMaximum = 40, 1 })
	c.Subscribe(2, "t")
	large := strings.Repeat("x", 40)
	for i := range 9 {
		payload := number(i)
		if i%3 == 1 {
			payload = large
		}
		send(t, pub, say("t", payload, mqtt.QoS(i/3)))
		all.ExpectMessage("t", payload)
		if i%3 != 1 {
			c.ExpectMessage("t", payload)
		}
	}
	nothing(c)
	// One that fitted the connection before may be too large for the next.
	send(t, pub, say("t", "0123456789", 1))
	next(t, c)
	c.Drop()
	c = b.Connect("c", keeping(60), func(p *packet.Connect) { p.MaximumPacketSize = 30 })
	c.ExpectMessage("t", "0123456789")
	send(t, pub, say("t", "0123456789", 1))
	next(t, c)
	c.Drop()
	c = b.Connect("c", keeping(60), func(p *packet.Connect) { p.MaximumPacketSize, p.ReceiveMaximum = 17, 1 })
	nothing(c)
	send(t, pub, say("t", "y", 1))
	c.ExpectMessage("t", "y")
	if b.Stats().Drops[hook.CauseTooLarge] != 4 {
		t.Errorf("%d dropped", b.Stats().Drops[hook.CauseTooLarge])
	}
}

// [MQTT-4.6.0-5] [MQTT-4.6.0-6], MQTT-4.6.0-5 and -6 of 3.1.1: messages of one
// publisher arrive in their order, per topic and QoS and here altogether,
// whatever the subscription and however slow the receiver.
func TestOrder(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		const n = 400
		b := start(t)
		pub := b.Connect("pub", speaking(v))
		slow := b.Connect("slow", keeping(60), func(p *packet.Connect) { p.ReceiveMaximum = 2 })
		fast := b.Connect("fast", speaking(v))
		slow.Subscribe(2, "t/#")
		fast.Subscribe(2, "t/+", "t/0")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range n {
				q := mqtt.QoS(i / 2 % 3)
				pub.Send(&packet.Publish{ID: uint16(i+1) * min(1, uint16(q)), Message: say("t/"+number(i%2), number(i), q)})
			}
		}()
		for _, c := range []*brokertest.Client{fast, slow} {
			for i, p := range receive(t, c, n) {
				if string(p.Message.Payload) != number(i) {
					t.Fatalf("message %d is %s", i, p.Message.Payload)
				}
			}
		}
		<-done
	})
}
