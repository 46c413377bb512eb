package broker_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Every PUBLISH is counted once, for its own version and QoS, in both
// directions.
func TestFlows(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	sub := b.Connect("sub", brokertest.V311)
	sub.Subscribe(1, "a")
	pub := b.Connect("pub")
	for _, qos := range []mqtt.QoS{0, 1, 2, 2} {
		pub.Publish(mqtt.Message{Topic: "a", Payload: []byte("12345"), QoS: qos}, 0)
		sub.ExpectMessage("a", "12345")
	}
	got := b.Stats()
	want := []broker.Flow{
		{Version: mqtt.V31},
		{Version: mqtt.V31, QoS: 1},
		{Version: mqtt.V31, QoS: 2},
		{Version: mqtt.V311, MessagesOut: 1, PayloadOut: 5},
		{Version: mqtt.V311, QoS: 1, MessagesOut: 3, PayloadOut: 15},
		{Version: mqtt.V311, QoS: 2},
		{Version: mqtt.V5, MessagesIn: 1, PayloadIn: 5},
		{Version: mqtt.V5, QoS: 1, MessagesIn: 1, PayloadIn: 5},
		{Version: mqtt.V5, QoS: 2, MessagesIn: 2, PayloadIn: 10},
	}
	if d := cmp.Diff(want, got.Flows); d != "" {
		t.Errorf("flows (+) are not those expected (-):\n%s", d)
	}
	if got.MessagesIn != 4 || got.MessagesOut != 4 || got.PayloadIn != 20 || got.PayloadOut != 20 {
		t.Errorf("totals: %+v", got)
	}
}

func TestDisconnectsAreCounted(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	b.Connect("a").Disconnect()
	b.Connect("b").Drop()
	b.Connect("c", brokertest.Resume)
	b.Connect("c", brokertest.Resume) // takes over
	b.Connect("d").Send(&packet.Pingresp{})
	want := map[string]uint64{"client": 1, "network": 1, "takeover": 1, "server": 1}
	eventually(t, "every ending is counted", func() bool { return cmp.Equal(want, b.Stats().Disconnects) })
}

func TestBacklog(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for _, id := range []string{"one", "two"} {
		sub := b.Connect(id, brokertest.Resume)
		sub.Subscribe(1, "t/"+id, "t")
		sub.Disconnect()
	}
	pub := b.Connect("pub")
	for range 9 {
		pub.Publish(mqtt.Message{Topic: "t/one", Payload: []byte("x"), QoS: 1}, 0)
	}
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}, 0)
	got := b.Backlog()
	if want := (broker.Backlog{Messages: 11, Bytes: got.Bytes, Sessions: [6]int{2, 1}}); got != want || got.Bytes < 11 {
		t.Errorf("got %+v, want %+v", got, want)
	}
	sub := b.Connect("two", brokertest.Resume)
	sub.Next()
	if got := b.Backlog(); got.InFlight != 1 || got.Messages != 10 {
		t.Errorf("got %+v with one message that is not acknowledged", got)
	}
}
