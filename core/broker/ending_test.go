package broker_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// A packet has to be complete in time, with or without keep-alive.
func TestPacketTimeout(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{PacketTimeout: 20 * time.Millisecond}})
	c := b.Connect("c")
	c.SendBytes(wire.Bytes(`30 7f 00 01`))
	if p, ok := c.Next().(*packet.Disconnect); !ok || p.Code != mqtt.KeepAliveTimeout {
		t.Errorf("got %+v", p)
	}
	c.ExpectClosed()
}

// The time of a packet does not count for the next one, even if its beginning
// came along with the end of the first.
func TestPacketTimeoutIsForEach(t *testing.T) {
	const limit = 200 * time.Millisecond
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{PacketTimeout: limit}})
	c := b.Connect("c")
	c.SendBytes(wire.Bytes(`c0`))
	for begun := time.Now(); time.Since(begun) < 2*limit; {
		c.SendBytes(wire.Bytes(`00 c0`))
		c.Expect(&packet.Pingresp{})
	}
}

// A client that takes nothing of what is sent to it does not stay.
func TestWriteTimeout(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{WriteTimeout: 50 * time.Millisecond}})
	will := func(p *packet.Connect) { p.Will = &packet.Will{Topic: "gone"} }
	slow := b.Connect("slow", will)
	slow.Subscribe(0, "flood")
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "gone")
	pub := b.Connect("pub")
	flood := &packet.Publish{Message: mqtt.Message{Topic: "flood", Payload: make([]byte, 1<<20-100)}}
	for range 20 {
		pub.Send(flood)
	}
	pub.ExpectNothing()
	watcher.ExpectMessage("gone", "")
}

// A client that goes on sending still gets to know why it has to go.
func TestFarewellReachesSender(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{PacketSize: 1000}})
	c := b.Connect("c")
	c.SendBytes(wire.Bytes(`30 ffffff7f`))
	c.SendBytes(bytes.Repeat([]byte{0}, 4<<20))
	if p, ok := c.Next().(*packet.Disconnect); !ok || p.Code != mqtt.PacketTooLarge {
		t.Errorf("got %+v", p)
	}
	c.ExpectClosed()
}

// A client whose maximum packet size has no room for an answer can't go on.
func TestAnswerTooLarge(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	small := func(n uint32) func(*packet.Connect) {
		return func(p *packet.Connect) { p.MaximumPacketSize = n }
	}
	c := b.Dial(mqtt.V5)
	c.Send(&packet.Connect{Version: mqtt.V5, ClientID: "c", MaximumPacketSize: 5, RequestProblemInfo: true})
	c.Expect(&packet.Connack{Code: mqtt.PacketTooLarge}) // no DISCONNECT before a good CONNACK [MQTT-3.14.0-1]
	c.ExpectClosed()

	d := b.Connect("d", small(30))
	filters := make([]mqtt.Subscription, 40)
	for i := range filters {
		filters[i].Filter = itoa(i)
	}
	d.Send(&packet.Subscribe{ID: 1, Subscriptions: filters})
	d.Expect(&packet.Disconnect{Code: mqtt.PacketTooLarge})
	d.ExpectClosed()
}

// A connection that begins while the broker ends does not hold it up.
func TestShutdownMeetsNewConnection(t *testing.T) {
	for range 100 {
		b := brokertest.Start(t, broker.Options{Limits: broker.Limits{ConnectTimeout: time.Hour}})
		c := b.Dial(mqtt.V311)
		b.Stop()
		c.Drop()
	}
}

// Whoever sees the end of a connection whose session ended with it finds no
// trace of the session.
func TestEndIsSeenLast(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	pub := b.Connect("pub")
	for i := range 500 {
		c := b.Connect("c", func(p *packet.Connect) { p.CleanStart = true })
		c.Subscribe(1, "t")
		c.Send(&packet.Disconnect{})
		c.ExpectClosed()
		id := uint16(1 + i)
		pub.Send(&packet.Publish{ID: id, Message: mqtt.Message{Topic: "t", QoS: mqtt.AtLeastOnce}})
		pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: id, Code: mqtt.NoMatchingSubscribers})
	}
}
