package conformance_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// These are the rows of badConduct about clients that take nothing, or too
// slowly.

func pingWithoutReading(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 32, func(b *brokertest.Broker) {
		nc := raw(t, b)
		if _, err := nc.Write(wire.Bytes(connectAs(mqtt.V311, "pinger") + ` c000*100000`)); err != nil {
			t.Error(err)
		}
		// The answers were not forgotten.
		if _, err := io.CopyN(io.Discard, nc, 4+2*100_000); err != nil {
			t.Error(err)
		}
		// Many more than fit anywhere: the broker stops reading.
		deaf := raw(t, b)
		_ = deaf.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		_, err := deaf.Write(wire.Bytes(connectAs(mqtt.V311, "deaf") + ` c000*100000000`))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the broker took all of it: %v", err)
		}
	})
}

func neverReads(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 150, func(b *brokertest.Broker) {
		slow := b.Connect("slow")
		slow.Subscribe(0, "flood")
		prompt := b.Connect("prompt")
		prompt.Subscribe(0, "end")
		pub := b.Connect("flooder")
		const size = 100_000
		flood := &packet.Publish{Message: mqtt.Message{Topic: "flood", Payload: bytes.Repeat([]byte("x"), size)}}
		for range 200_000_000 / size {
			pub.Send(flood)
		}
		pub.Publish(say("end", "x", 1), mqtt.Success) // the publisher was not stopped
		prompt.ExpectMessage("end", "x")
	})
}

func neverAcknowledges(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 150, func(b *brokertest.Broker) {
		slow := b.Connect("no ack")
		slow.Subscribe(1, "flood")
		pub := b.Connect("flooder")
		publishMany(t, pub, 70_000, say("flood", "x", 1))
		seen := make(map[uint16]bool)
		slow.Send(&packet.Pingreq{})
		for {
			p, ok := slow.Next().(*packet.Publish)
			if !ok {
				break
			}
			if seen[p.ID] {
				t.Fatalf("packet identifier %d came twice", p.ID)
			}
			seen[p.ID] = true
		}
		slow.ExpectNothing()
		if len(seen) == 0 || len(seen) > 1024 {
			t.Errorf("%d messages in flight", len(seen))
		}
	})
}

func offlineQueue(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 150, func(b *brokertest.Broker) {
		away := b.Connect("away", keeping(3600))
		away.Subscribe(1, "queue")
		away.Disconnect()
		publishMany(t, b.Connect("queuer"), 40_000, say("queue", string(bytes.Repeat([]byte("x"), 1000)), 1))
		back, a := b.TryConnect("away", keeping(0))
		present(t, mqtt.V5, a, true)
		back.ExpectMessage("queue", string(bytes.Repeat([]byte("x"), 1000)))
	})
}

// publishMany publishes with QoS 1, several messages at a time.
func publishMany(t *testing.T, c *brokertest.Client, n int, m mqtt.Message) {
	t.Helper()
	const window = 500
	batch := make([]packet.Packet, window)
	for i := range batch {
		batch[i] = &packet.Publish{ID: uint16(i + 1), Message: m}
	}
	for range n / window {
		c.Send(batch...)
		for i := range batch {
			expectAck(t, c, packet.PUBACK, uint16(i+1))
		}
	}
}
