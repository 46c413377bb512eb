package broker_test

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// startIdle runs a broker whose clients are idle at once.
func startIdle(t *testing.T) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, broker.Options{Limits: broker.Limits{IdleAfter: time.Millisecond}})
}

// waitIdle waits until n connections are idle.
func waitIdle(t *testing.T, b *brokertest.Broker, n int) {
	t.Helper()
	for end := time.Now().Add(brokertest.Patience); b.Stats().Idle != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are idle, want %d", b.Stats().Idle, n)
		}
	}
}

// An idle client is there as any other: it is sent to, and heard when it speaks
// again, as often as it likes.
func TestIdleClientSpeaksAgain(t *testing.T) {
	b := startIdle(t)
	c, other := b.Connect("c"), b.Connect("other")
	for range 3 {
		c.Subscribe(1, "t")
		waitIdle(t, b, 2)
		other.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}})
		other.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 1})
		waitIdle(t, b, 2) // the publisher again, and the receiver, which only listens
		p, ok := c.Next().(*packet.Publish)
		if !ok || string(p.Message.Payload) != "x" {
			t.Fatalf("got %+v", p)
		}
		c.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
		c.Send(&packet.Pingreq{})
		c.Expect(&packet.Pingresp{})
	}
}

// A packet that has begun is waited for by its reader.
func TestPartOfAPacketIsNotIdle(t *testing.T) {
	b := startIdle(t)
	c := b.Connect("c")
	waitIdle(t, b, 1)
	c.SendBytes([]byte{0xc0})
	waitIdle(t, b, 0)
	c.ExpectSilence()
	waitIdle(t, b, 0)
	c.SendBytes([]byte{0})
	c.Expect(&packet.Pingresp{})
	waitIdle(t, b, 1)
}

// The keep-alive of a client goes on from its last packet.
func TestIdleClientTimesOut(t *testing.T) {
	b := startIdle(t)
	c := b.Connect("c", func(p *packet.Connect) { p.KeepAlive = 1 })
	begun := time.Now()
	waitIdle(t, b, 1)
	if p, ok := c.Next().(*packet.Disconnect); !ok || p.Code != mqtt.KeepAliveTimeout {
		t.Errorf("got %+v", p)
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("the keep-alive of one second was over after %v", took)
	}
	c.ExpectClosed()
}

// An idle client is told that its session was taken over, and the broker's end;
// one that hangs up is noticed, and its will published.
func TestIdleClientsEnd(t *testing.T) {
	b := startIdle(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "gone")
	will := func(p *packet.Connect) { p.Will = &packet.Will{Topic: "gone", Payload: []byte("x")} }

	lost := b.Connect("lost", will)
	waitIdle(t, b, 2)
	lost.Drop()
	watcher.ExpectMessage("gone", "x")

	first := b.Connect("same")
	waitIdle(t, b, 2)
	second := b.Connect("same")
	if p, ok := first.Next().(*packet.Disconnect); !ok || p.Code != mqtt.SessionTakenOver {
		t.Errorf("got %+v", p)
	}
	first.ExpectClosed()

	waitIdle(t, b, 2)
	b.Stop()
	if p, ok := second.Next().(*packet.Disconnect); !ok || p.Code != mqtt.ServerShuttingDown {
		t.Errorf("got %+v", p)
	}
}
