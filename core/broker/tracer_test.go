package broker_test

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// tracer follows nothing but connections, and writes down what it is told.
type tracer struct{ told chan string }

func (t *tracer) Begin(*mqtt.Message, time.Time) broker.Trace { return nil }

func (t *tracer) Connecting(c *hook.Connect) broker.ConnectTrace {
	return connectTrace{t, c.ClientID}
}

func (t *tracer) Sent(m *mqtt.Message, receiver string, qos mqtt.QoS) {
	t.told <- "sent " + m.Topic + " to " + receiver + " with QoS " + string('0'+rune(qos))
}

func (t *tracer) Acknowledged(m *mqtt.Message, receiver string, code mqtt.ReasonCode) {
	t.told <- "acknowledged " + m.Topic + " by " + receiver + ": " + code.String()
}

type connectTrace struct {
	t  *tracer
	id string
}

func (c connectTrace) End(code mqtt.ReasonCode, _ string) { c.t.told <- c.id + ": " + code.String() }

// What a tracer is told of connections and deliveries, once each.
func TestTracer(t *testing.T) {
	tr := &tracer{told: make(chan string, 100)}
	b := brokertest.Start(t, broker.Options{Tracer: tr, Limits: broker.Limits{ClientIDLength: 5}})
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-tr.told:
				if got != w {
					t.Errorf("told %q, want %q", got, w)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("not told %q", w)
			}
		}
	}
	b.TryConnect("w", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "$SYS/x"} }) // refused before it is followed
	sub := b.Connect("sub", brokertest.Resume)
	expect("sub: success")
	sub.Subscribe(2, "t")
	pub := b.Connect("pub")
	expect("pub: success")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("0")}, 0)
	sub.ExpectMessage("t", "0")
	expect("sent t to sub with QoS 0")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("2"), QoS: 2}, 0)
	sub.ExpectMessage("t", "2")
	expect("sent t to sub with QoS 2", "acknowledged t by sub: success")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("1"), QoS: 1}, 0)
	sub.Next() // not acknowledged
	sub.Drop()
	expect("sent t to sub with QoS 1")
	sub = b.Connect("sub", brokertest.Resume)
	sub.ExpectMessage("t", "1")
	expect("sub: success", "sent t to sub with QoS 1", "acknowledged t by sub: success")
	if len(tr.told) > 0 {
		t.Errorf("told %q", <-tr.told)
	}
}
