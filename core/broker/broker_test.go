package broker_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Every pair of versions and every QoS: a message arrives with the lower QoS.
func TestPublishSubscribe(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for _, pv := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		for _, sv := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
			for _, pq := range []mqtt.QoS{0, 1, 2} {
				for _, sq := range []mqtt.QoS{0, 1, 2} {
					sub := b.Connect("sub", func(p *packet.Connect) { p.Version = sv })
					pub := b.Connect("pub", func(p *packet.Connect) { p.Version = pv })
					sub.Subscribe(sq, "a/+")
					pub.Publish(mqtt.Message{Topic: "a/b", Payload: []byte("x"), QoS: pq}, 0)
					got := sub.ExpectMessage("a/b", "x")
					if got.Message.QoS != min(pq, sq) || got.Dup || got.Message.Retain {
						t.Errorf("publisher %v QoS %d, subscriber %v QoS %d: got %+v", pv, pq, sv, sq, got)
					}
					sub.Disconnect()
					pub.Disconnect()
				}
			}
		}
	}
}

func TestRetained(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "r/1", Payload: []byte("one"), QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	pub.Publish(mqtt.Message{Topic: "r/2", Payload: []byte("two"), QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	pub.Publish(mqtt.Message{Topic: "r/1", QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	sub := b.Connect("sub")
	sub.Subscribe(1, "r/#")
	if got := sub.ExpectMessage("r/2", "two"); !got.Message.Retain || got.Message.QoS != 1 {
		t.Errorf("got %+v", got)
	}
	sub.ExpectNothing()
}

// All retained messages arrive, however many there are and however small the
// queue is.
func TestRetainedMoreThanQueue(t *testing.T) {
	const n = 3000
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{QueueMessages: 100}})
	pub := b.Connect("pub")
	for i := range n {
		pub.Send(&packet.Publish{Message: mqtt.Message{Topic: "r/" + string(rune('a'+i%26)) + "/" + itoa(i), Payload: []byte("x"), Retain: true}})
	}
	pub.ExpectNothing()
	for _, q := range []mqtt.QoS{0, 1} {
		sub := b.Connect("sub")
		sub.Subscribe(q, "r/#")
		seen := make(map[string]bool)
		for len(seen) < n {
			p := sub.Next().(*packet.Publish)
			seen[p.Message.Topic] = true
			if p.Message.QoS == 1 {
				sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
			}
		}
		sub.ExpectNothing()
	}
}

func itoa(i int) string {
	const digits = "0123456789"
	if i < 10 {
		return digits[i : i+1]
	}
	return itoa(i/10) + digits[i%10:i%10+1]
}

func TestTakeover(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	first := b.Connect("c", brokertest.Resume)
	first.Subscribe(1, "t")
	second, ack := b.TryConnect("c", brokertest.Resume)
	if !ack.SessionPresent {
		t.Error("session was not taken over")
	}
	first.Expect(&packet.Disconnect{Code: mqtt.SessionTakenOver, Reason: "another connection took the session over"})
	first.ExpectClosed()
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}, 0)
	second.ExpectMessage("t", "x")
}

func TestPersistentSession(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	sub := b.Connect("sub", brokertest.Resume)
	sub.Subscribe(1, "q")
	sub.Disconnect()
	pub := b.Connect("pub", brokertest.V311)
	for _, s := range []string{"1", "2", "3"} {
		pub.Publish(mqtt.Message{Topic: "q", Payload: []byte(s), QoS: 1}, 0)
	}
	sub, ack := b.TryConnect("sub", brokertest.Resume)
	if !ack.SessionPresent {
		t.Fatal("no session")
	}
	for _, s := range []string{"1", "2", "3"} {
		sub.ExpectMessage("q", s)
	}
	sub.ExpectNothing()
	sub.Disconnect()
	_, ack = b.TryConnect("sub")
	if ack.SessionPresent {
		t.Error("clean start kept the session")
	}
}

func TestWill(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	sub := b.Connect("sub")
	sub.Subscribe(1, "will/#")
	will := func(topic string, delay uint32) func(*packet.Connect) {
		return func(p *packet.Connect) {
			p.Will = &packet.Will{Topic: topic, Payload: []byte("gone"), QoS: 1, Delay: delay}
		}
	}
	b.Connect("a", will("will/lost", 0)).Drop()
	sub.ExpectMessage("will/lost", "gone")

	b.Connect("b", will("will/clean", 0)).Disconnect()

	c := b.Connect("c", will("will/asked", 0))
	c.Send(&packet.Disconnect{Code: mqtt.DisconnectWithWill})
	sub.ExpectMessage("will/asked", "gone")

	// A session that is taken up again in time keeps its delayed will silent.
	b.Connect("d", will("will/delayed", 3600), brokertest.Resume).Drop()
	d := b.Connect("d", brokertest.Resume)
	d.Disconnect()
	sub.ExpectNothing()

	// The end of the session does not wait for the delay.
	b.Connect("e", will("will/ended", 3600), brokertest.Resume).Drop()
	b.Connect("e")
	sub.ExpectMessage("will/ended", "gone")
}

func TestShutdownTellsClients(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	five := b.Connect("five")
	three := b.Connect("three", brokertest.V311)
	b.Stop()
	five.Expect(&packet.Disconnect{Code: mqtt.ServerShuttingDown, Reason: "the server is shutting down"})
	five.ExpectClosed()
	three.ExpectClosed()
}

func TestKeepAlive(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c", func(p *packet.Connect) { p.KeepAlive = 1 })
	c.Expect(&packet.Disconnect{Code: mqtt.KeepAliveTimeout, Reason: "nothing was received in time"})
	c.ExpectClosed()
}

func TestSharedSubscription(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	one, two, all := b.Connect("one"), b.Connect("two"), b.Connect("all")
	one.Subscribe(1, "$share/g/s/#")
	two.Subscribe(1, "$share/g/s/#")
	all.Subscribe(1, "s/#")
	pub := b.Connect("pub")
	for i := range 4 {
		pub.Publish(mqtt.Message{Topic: "s/x", Payload: []byte(itoa(i)), QoS: 1}, 0)
	}
	for i := range 4 {
		all.ExpectMessage("s/x", itoa(i))
	}
	for range 2 {
		if _, ok := one.Next().(*packet.Publish); !ok {
			t.Error("expected a PUBLISH")
		}
		if _, ok := two.Next().(*packet.Publish); !ok {
			t.Error("expected a PUBLISH")
		}
	}
}

// A message whose member's session ends between the choice and the queue goes
// to another member.
func TestShareMemberEndsMeanwhile(t *testing.T) {
	var b *brokertest.Broker
	b = startWithRules(t, func(p hook.Point, c *hook.Call) {
		if p == hook.PointDeliver && c.Receiver == "one" {
			if err := b.Sessions().Delete(t.Context(), "one"); err != nil {
				t.Error(err)
			}
		}
	})
	one := b.Connect("one")
	one.Subscribe(1, "$share/g/s/#")
	two, pub := b.Connect("two"), b.Connect("pub")
	two.Subscribe(1, "$share/g/s/#")
	for i := range 2 {
		pub.Publish(mqtt.Message{Topic: "s/x", Payload: []byte(itoa(i)), QoS: 1}, 0)
	}
	for i := range 2 {
		two.ExpectMessage("s/x", itoa(i))
	}
}

func TestQoS2Duplicate(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(0, "d")
	p := &packet.Publish{ID: 5, Message: mqtt.Message{Topic: "d", Payload: []byte("x"), QoS: 2}}
	pub.Send(p)
	pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 5})
	p.Dup = true
	pub.Send(p)
	pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 5})
	pub.Send(&packet.Ack{Kind: packet.PUBREL, ID: 5})
	pub.Expect(&packet.Ack{Kind: packet.PUBCOMP, ID: 5})
	sub.ExpectMessage("d", "x")
	sub.ExpectNothing()
}
