package conformance_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// [MQTT-4.3.2-4] [MQTT-4.3.2-5] [MQTT-2.2.1-5] [MQTT-3.3.4-1]: QoS 1 from a
// client; the same identifier again is another message, whatever DUP says.
func TestQoS1Inbound(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		sub, pub := b.Connect("sub"), b.Connect("pub", speaking(v))
		sub.Subscribe(0, "t")
		for i, dup := range []bool{false, true, false} {
			pub.Send(&packet.Publish{ID: 0xFFFF, Dup: dup, Message: say("t", number(i), 1)})
			pub.Expect(ack(packet.PUBACK, 0xFFFF))
			sub.ExpectMessage("t", number(i))
		}
	})
}

// [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12], MQTT-4.3.3-2
// of 3.1.1: QoS 2 from a client, exactly once, also across connections.
func TestQoS2Inbound(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		sub, pub := b.Connect("sub"), b.Connect("pub", speaking(v), keeping(60))
		sub.Subscribe(0, "t")
		first := &packet.Publish{ID: 3, Message: say("t", "1", 2)}
		pub.Send(first)
		pub.Expect(ack(packet.PUBREC, 3))
		sub.ExpectMessage("t", "1")
		first.Dup = true
		pub.Send(first)
		pub.Expect(ack(packet.PUBREC, 3))
		pub.Drop()

		pub = b.Connect("pub", speaking(v), keeping(60))
		pub.Send(first, ack(packet.PUBREL, 3))
		pub.Expect(ack(packet.PUBREC, 3), ack(packet.PUBCOMP, 3))
		nothing(sub)
		// The PUBREL may come again; the identifier is free.
		pub.Send(ack(packet.PUBREL, 3))
		if a := expectAck(t, pub, packet.PUBCOMP, 3); v == mqtt.V5 && a.Code != mqtt.PacketIdentifierNotFound {
			t.Errorf("got %v", a.Code)
		}
		pub.Send(&packet.Publish{ID: 3, Dup: true, Message: say("t", "2", 2)})
		pub.Expect(ack(packet.PUBREC, 3))
		sub.ExpectMessage("t", "2")

		// A clean start forgets identifiers.
		pub.Drop()
		pub = b.Connect("pub", speaking(v))
		pub.Send(&packet.Publish{ID: 3, Dup: true, Message: say("t", "3", 2)})
		pub.Expect(ack(packet.PUBREC, 3))
		sub.ExpectMessage("t", "3")
	})
}

// [MQTT-4.3.3-9]: a refused QoS 2 message frees its identifier. MQTT 3 has no
// way to refuse it, so there the identifier is held.
func TestQoS2Refused(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	for range 3 {
		pub.Send(&packet.Publish{ID: 3, Message: say("$SYS/x", "", 2)})
		pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 3, Code: mqtt.NotAuthorized})
	}
	sub := b.Connect("sub")
	sub.Subscribe(0, "t")
	pub.Send(&packet.Publish{ID: 3, Message: say("t", "1", 2)})
	pub.Expect(ack(packet.PUBREC, 3))
	sub.ExpectMessage("t", "1")

	// MQTT-3.3.5-2 of 3.1.1: acknowledged as if all were well.
	old := b.Connect("old", brokertest.V311)
	send(t, old, say("$SYS/x", "", 1))
	send(t, old, say("$SYS/x", "", 2))
	// [MQTT-4.3.3-13]: nobody gets an expired message, and the exchange goes on.
	m := say("t", "", 2)
	m.Properties = &mqtt.Properties{HasExpiry: true}
	send(t, pub, m)
}

// [MQTT-4.3.1-1] [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.3-1] [MQTT-4.3.3-2]
// [MQTT-2.2.1-4] [MQTT-3.3.1-2] [MQTT-3.3.1-3]: what is sent to a client has an
// identifier of its own and no DUP, whatever DUP it came with.
func TestOutboundIdentifiers(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		sub, pub := b.Connect("sub", speaking(v)), b.Connect("pub")
		sub.Subscribe(2, "t")
		used := make(map[uint16]bool)
		for i := range 30 {
			q := mqtt.QoS(i % 3)
			pub.Send(&packet.Publish{ID: 7 * min(1, uint16(q)), Dup: q > 0, Message: say("t", number(i), q)})
			if q > 0 {
				pub.Next()
			}
			if q == 2 {
				pub.Send(ack(packet.PUBREL, 7))
				pub.Next()
			}
			p := next(t, sub)
			if p.Message.QoS != q || p.Dup || q > 0 && (p.ID == 0 || used[p.ID]) || string(p.Message.Payload) != number(i) {
				t.Fatalf("message %d: got %+v", i, p)
			}
			used[p.ID] = q > 0
		}
	})
}

// [MQTT-4.3.2-3] [MQTT-4.3.3-3] to [MQTT-4.3.3-6] [MQTT-4.4.0-1] [MQTT-3.3.1-1],
// MQTT-4.6.0-1 and -6 of 3.1.1: what was not acknowledged is sent again over
// the next connection and only then, in the original order, with the original
// identifiers, as PUBLISH with DUP or, past its PUBREC, as PUBREL.
func TestRetransmission(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c, pub := b.Connect("c", speaking(v), keeping(60)), b.Connect("pub")
		c.Subscribe(2, "t")
		for i := range 8 {
			send(t, pub, say("t", number(i), mqtt.QoS(1+i%2)))
		}
		var sent []*packet.Publish
		for range 8 {
			sent = append(sent, next(t, c))
		}
		c.Send(ack(packet.PUBACK, sent[2].ID)) // out of order
		c.Send(ack(packet.PUBREC, sent[5].ID), ack(packet.PUBREC, sent[3].ID))
		c.Expect(ack(packet.PUBREL, sent[5].ID), ack(packet.PUBREL, sent[3].ID))
		nothing(c)

		for range 2 { // a second time as well
			c.Drop()
			c = b.Connect("c", speaking(v), keeping(60))
			var publishes, releases []uint16
			for range 7 {
				switch p := c.Next().(type) {
				case *packet.Publish:
					publishes = append(publishes, p.ID)
					if !p.Dup {
						t.Errorf("without DUP: %+v", p)
					}
				case *packet.Ack:
					releases = append(releases, p.ID)
				}
			}
			for i, n := range []int{0, 1, 4, 6, 7} {
				if publishes[i] != sent[n].ID {
					t.Errorf("PUBLISH %d has identifier %d, want %d", i, publishes[i], sent[n].ID)
				}
			}
			if releases[0] != sent[5].ID || releases[1] != sent[3].ID { // MQTT-4.6.0-4
				t.Errorf("PUBRELs of %v", releases)
			}
			nothing(c)
		}
		for _, p := range sent {
			switch {
			case p == sent[3], p == sent[5]:
				c.Send(ack(packet.PUBCOMP, p.ID))
			case p.Message.QoS == 1:
				c.Send(ack(packet.PUBACK, p.ID)) // one of them for the second time
			default:
				c.Send(ack(packet.PUBREC, p.ID))
				c.Expect(ack(packet.PUBREL, p.ID))
				c.Send(ack(packet.PUBCOMP, p.ID), ack(packet.PUBCOMP, p.ID))
			}
		}
		c.Disconnect()
		nothing(b.Connect("c", speaking(v), keeping(60)))
	})
}

// MQTT-4.6.0-2 to -4 of 3.1.1: answers come in the order of what they answer.
func TestAnswersInOrder(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		const n = 200
		c := start(t).Connect("c", speaking(v))
		var messages, releases []packet.Packet
		for id := range uint16(n) {
			messages = append(messages, &packet.Publish{ID: id + 1, Message: say("t", "", mqtt.QoS(1+id%2))})
			if id%2 == 1 {
				releases = append([]packet.Packet{ack(packet.PUBREL, id+1)}, releases...)
			}
		}
		c.Send(messages...)
		for id := range uint16(n) {
			expectAck(t, c, []packet.Type{packet.PUBACK, packet.PUBREC}[id%2], id+1)
		}
		c.Send(releases...)
		for _, r := range releases {
			c.Expect(ack(packet.PUBCOMP, r.(*packet.Ack).ID))
		}
	})
}

// Acknowledgements that come twice, late, or for nothing are no errors; what
// they answer is not answered twice.
func TestStrayAcknowledgements(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c, pub := b.Connect("c", speaking(v)), b.Connect("pub")
		c.Subscribe(2, "t")
		for _, kind := range []packet.Type{packet.PUBACK, packet.PUBCOMP} {
			c.Send(ack(kind, 999))
		}
		nothing(c)
		c.Send(ack(packet.PUBREC, 999))
		if a := expectAck(t, c, packet.PUBREL, 999); v == mqtt.V5 && a.Code != mqtt.PacketIdentifierNotFound {
			t.Errorf("got %v", a.Code)
		}
		c.Send(ack(packet.PUBREL, 999))
		if a := expectAck(t, c, packet.PUBCOMP, 999); v == mqtt.V5 && a.Code != mqtt.PacketIdentifierNotFound {
			t.Errorf("got %v", a.Code)
		}
		send(t, pub, say("t", "1", 2))
		p := next(t, c)
		c.Send(ack(packet.PUBACK, p.ID))  // not the one for QoS 2
		c.Send(ack(packet.PUBCOMP, p.ID)) // too early
		nothing(c)
		for range 3 {
			c.Send(ack(packet.PUBREC, p.ID))
			c.Expect(ack(packet.PUBREL, p.ID))
		}
		c.Send(ack(packet.PUBCOMP, p.ID), ack(packet.PUBCOMP, p.ID))
		nothing(c)
	})
}

// [MQTT-4.4.0-2]: an error in PUBACK or PUBREC ends the exchange: the message
// is not sent again, its identifier and its slot are free.
func TestErrorsFreeTheIdentifier(t *testing.T) {
	b := start(t)
	c := b.Connect("c", keeping(60), func(p *packet.Connect) { p.ReceiveMaximum = 2 })
	pub := b.Connect("pub")
	c.Subscribe(2, "t")
	for i := range 4 {
		send(t, pub, say("t", number(i), mqtt.QoS(1+i%2)))
	}
	one, two := next(t, c), next(t, c)
	nothing(c)
	c.Send(&packet.Ack{Kind: packet.PUBACK, ID: one.ID, Code: mqtt.ImplementationSpecificError})
	c.Send(&packet.Ack{Kind: packet.PUBREC, ID: two.ID, Code: mqtt.QuotaExceeded})
	three, four := next(t, c), next(t, c)
	nothing(c)
	c.Send(ack(packet.PUBACK, three.ID))
	c.Send(ack(packet.PUBREC, four.ID))
	c.Expect(ack(packet.PUBREL, four.ID))
	c.Drop()
	c = b.Connect("c", keeping(60))
	c.Expect(ack(packet.PUBREL, four.ID))
	nothing(c)
}

// All packet identifiers may be in use; then a client gets nothing that needs
// one until it acknowledges something, and other things go on.
func TestIdentifiersExhausted(t *testing.T) {
	const all = 65_535
	b := startLimited(t, broker.Limits{InFlight: all, QueueMessages: 2 * all})
	c, pub := b.Connect("c"), b.Connect("pub")
	c.Subscribe(1, "t")
	for sent := 0; sent < all+2; { // one more than fits, and another
		var run []packet.Packet
		for ; len(run) < 500 && sent < all+2; sent++ {
			run = append(run, &packet.Publish{ID: uint16(1 + len(run)), Message: say("t", "", 1)})
		}
		pub.Send(run...)
		for range run {
			expectKind(t, pub, packet.PUBACK)
		}
	}
	used := make([]bool, all+1)
	for range all {
		p := next(t, c)
		if p.ID == 0 || used[p.ID] {
			t.Fatalf("identifier %d is in use", p.ID)
		}
		used[p.ID] = true
	}
	nothing(c)
	c.Send(ack(packet.PUBACK, 12_345))
	if p := next(t, c); p.ID != 12_345 {
		t.Errorf("identifier %d, want the free one", p.ID)
	}
	nothing(c)
	c.Subscribe(0, "other")
	pub.Publish(say("other", "x", 0), 0)
	pub.ExpectNothing()
	nothing(c) // behind the message that waits: order is kept
	c.Send(ack(packet.PUBACK, 1))
	next(t, c)
	c.ExpectMessage("other", "x")
}

// expectKind reads an acknowledgement of a kind.
func expectKind(t *testing.T, c *brokertest.Client, kind packet.Type) {
	t.Helper()
	if a, ok := c.Next().(*packet.Ack); !ok || a.Kind != kind {
		t.Fatalf("got %+v, want %v", a, kind)
	}
}
