package broker_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// When too much waits in all queues together, what can be missed most easily is
// dropped first, and who takes its messages gets them all the same.
func TestQueueBudget(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{QueueBytesTotal: 80_000, QueueQoS0Offline: true}})
	for i := range 3 {
		c := b.Connect(fmt.Sprintf("away-%d", i), brokertest.Resume)
		c.Subscribe(1, "t/#")
		c.Disconnect()
	}
	here := b.Connect("here")
	here.Subscribe(1, "t/#")
	pub := b.Connect("pub")
	publish := func(q mqtt.QoS) {
		t.Helper()
		pub.Publish(mqtt.Message{Topic: "t/x", QoS: q, Payload: make([]byte, 1000)}, mqtt.Success)
		here.ExpectMessage("t/x", string(make([]byte, 1000)))
	}
	waits := func() int { return b.Stats().QueuedBytes }
	dropped := func() uint64 { return b.Stats().Drops[hook.CauseMemory] }
	for waits() < 80_000 && dropped() == 0 {
		publish(1)
	}
	before := waits()
	publish(0)
	if waits() != before || dropped() != 3 {
		t.Errorf("QoS 0 beyond the limit: %d bytes more, %d dropped", waits()-before, dropped())
	}
	for range 5 {
		publish(1)
	}
	if waits() <= before || waits() > 100_000 {
		t.Errorf("QoS 1 a little beyond the limit: %d bytes more, %d in all", waits()-before, waits())
	}
	for range 20 {
		publish(1)
	}
	if n := waits(); n > 95_000 {
		t.Errorf("%d bytes wait", n)
	}
	away := b.Connect("away-0", brokertest.Resume, func(p *packet.Connect) { p.CleanStart = true })
	away.Disconnect()
	b.Connect("away-1", func(p *packet.Connect) { p.CleanStart = true }).Disconnect()
	b.Connect("away-2", func(p *packet.Connect) { p.CleanStart = true }).Disconnect()
	eventually(t, "all is given back", func() bool { return waits() < 4096 })
}
