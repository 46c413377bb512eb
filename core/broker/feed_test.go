package broker_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// retainSome retains n messages under r/ and returns the publisher.
func retainSome(b *brokertest.Broker, n int, payload string) *brokertest.Client {
	pub := b.Connect("pub")
	for i := range n {
		pub.Send(&packet.Publish{Message: mqtt.Message{Topic: "r/" + itoa(i), Payload: []byte(payload), QoS: 1, Retain: true}, ID: 1})
		pub.Next()
	}
	return pub
}

// Retained messages that would not fit into the session's queue together come
// one after the other.
func TestRetainedLargerThanQueue(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{QueueBytes: 1000, QueueMessages: 3}})
	retainSome(b, 20, strings.Repeat("x", 400))
	for _, q := range []mqtt.QoS{0, 1} {
		sub := b.Connect("sub")
		sub.Subscribe(q, "r/#")
		for range 20 {
			p := sub.Next().(*packet.Publish)
			if p.ID != 0 {
				sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
			}
		}
		sub.ExpectNothing()
	}
}

// A client may subscribe as often as it likes before it reads; each time it
// gets everything.
func TestRetainedForEverySubscribe(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	retainSome(b, 10, "x")
	sub := b.Connect("sub")
	const times = 50
	for i := range times {
		sub.Send(&packet.Subscribe{ID: uint16(i + 1), Subscriptions: []mqtt.Subscription{{Filter: "r/#"}}})
	}
	acks, messages := 0, 0
	for acks < times || messages < times*10 {
		switch sub.Next().(type) {
		case *packet.Suback:
			acks++
		case *packet.Publish:
			messages++
		}
	}
	sub.ExpectNothing()
}

// Nothing more is sent for a subscription that has ended [MQTT-3.10.4-2].
func TestUnsubscribeEndsRetained(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	retainSome(b, 200, "x")
	sub := b.Connect("sub", func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	sub.Subscribe(1, "r/#")
	first := sub.Next().(*packet.Publish)
	sub.Send(&packet.Unsubscribe{ID: 2, Filters: []string{"r/#"}})
	sub.Expect(&packet.Unsuback{ID: 2, Codes: []mqtt.ReasonCode{0}})
	sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: first.ID})
	n := 1
	for {
		sub.Send(&packet.Pingreq{})
		p, ok := sub.Next().(*packet.Publish)
		if !ok {
			break
		}
		sub.Next()
		sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
		n++
	}
	if n > 100 {
		t.Errorf("%d messages came", n)
	}
}

// What was not sent when the connection ended waits in the session.
func TestRetainedSurvivesConnection(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	retainSome(b, 200, "x")
	sub := b.Connect("sub", brokertest.Resume, func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	sub.Subscribe(1, "r/#")
	sub.Next()
	sub.Disconnect()
	sub = b.Connect("sub", brokertest.Resume)
	for range 200 {
		p := sub.Next().(*packet.Publish)
		sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
	}
	sub.ExpectNothing()
}

// What is replaced or removed between the search and its turn is not sent as it
// was: the new message of a topic is the last that comes of it.
func TestRetainedChangesBeforeItsTurn(t *testing.T) {
	const n = 200
	b := brokertest.Start(t, broker.Options{})
	pub := retainSome(b, n, "old")
	sub := b.Connect("sub", func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	sub.Subscribe(1, "r/#")
	first := sub.Next().(*packet.Publish)
	for i := range n {
		m := mqtt.Message{Topic: "r/" + itoa(i), QoS: 1, Retain: true}
		if i%2 == 0 {
			m.Payload = []byte("new")
		}
		pub.Send(&packet.Publish{Message: m, ID: 1})
		pub.Next()
	}
	last, olds := map[string]string{}, 0
	take := func(p *packet.Publish) {
		last[p.Message.Topic] = string(p.Message.Payload)
		if string(p.Message.Payload) == "old" {
			olds++
		}
		sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
	}
	take(first)
	for final := "r/" + itoa(n-1); len(last) < n || last[final] != ""; {
		take(sub.Next().(*packet.Publish))
	}
	waiting := olds
	for range 10 { // whatever else there is comes before the last of these
		pub.Send(&packet.Publish{Message: mqtt.Message{Topic: "r/end", QoS: 1}, ID: 1})
		pub.Next()
		for delete(last, "r/end"); ; {
			take(sub.Next().(*packet.Publish))
			if _, ended := last["r/end"]; ended {
				break
			}
		}
	}
	if olds != waiting {
		t.Errorf("%d messages came as they had been, after they were replaced or removed", olds-waiting)
	}
	for i := range n {
		want := ""
		if i%2 == 0 {
			want = "new"
		}
		if got := last["r/"+itoa(i)]; got != want {
			t.Errorf("the last of r/%d is %q, want %q", i, got, want)
		}
	}
}
