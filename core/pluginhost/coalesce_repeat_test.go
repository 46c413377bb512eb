package pluginhost

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// However calls follow on one another, each is written as if it were alone.
func TestGroupWritesEveryCall(t *testing.T) {
	clients := []*hook.Client{nil, {ConnectionID: 1, ID: "a"}, {ConnectionID: 300, ID: "b"}}
	times := []time.Time{{}, time.Unix(1, 0), time.Unix(1e9, 7)}
	message := rapid.Custom(func(t *rapid.T) *mqtt.Message {
		m := &mqtt.Message{
			Topic:     rapid.SampledFrom([]string{"t", "t", "t", "other/topic"}).Draw(t, "topic"),
			Payload:   rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "payload"),
			QoS:       mqtt.QoS(rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "qos")),
			Retain:    rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "retain"),
			Publisher: rapid.SampledFrom([]string{"p", "p", "p", ""}).Draw(t, "publisher"),
			Created:   rapid.SampledFrom(times).Draw(t, "created"),
			Hops:      rapid.SampledFrom([]uint8{0, 0, 0, 2}).Draw(t, "hops"),
		}
		if rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "properties") == 1 {
			m.Properties = &mqtt.Properties{ContentType: "x"}
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int{0, 2, 100}).Draw(t, "limit")
		plan := newPayloadPlan([]hook.Interest{{Point: hook.PointPublish}})
		plan.points[hook.PointPublish].limit = limit
		b := &hook.Batch{Point: hook.PointPublish}
		var want []byte
		for range rapid.IntRange(1, 20).Draw(t, "calls") {
			c := &hook.Call{Client: rapid.SampledFrom(clients).Draw(t, "client"), Message: message.Draw(t, "message")}
			b.Calls = append(b.Calls, c)
			want = appendCall(want, b.Point, c, c.Message.Payload[:min(limit, len(c.Message.Payload))])
		}
		g, err := newGroup(b, plan)
		if err != nil {
			t.Fatal(err)
		}
		defer g.free()
		if !bytes.Equal(g.body, want) {
			t.Fatalf("wrote %x, want %x", g.body, want)
		}
		for i, c := range b.Calls {
			if g.items[i].client != c.Client {
				t.Fatalf("call %d has another client", i)
			}
		}
	})
}
