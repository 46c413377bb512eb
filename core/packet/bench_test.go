package packet_test

import (
	"bytes"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

var benchPayload = bytes.Repeat([]byte("x"), 128)

var benchPackets = []struct {
	name   string
	v      mqtt.Version
	server bool
	p      packet.Packet
	allocs float64 // what decoding it may allocate
}{
	{"connect 3.1.1", mqtt.V311, false, plain(mqtt.V311, func(p *packet.Connect) { p.ClientID = "client" }), 2},
	{"publish 3.1.1 QoS 0", mqtt.V311, false, publish(mqtt.Message{Topic: "sensors/1/temperature", Payload: benchPayload}), 2},
	{
		"publish 5 QoS 1", mqtt.V5, false,
		&packet.Publish{Message: mqtt.Message{Topic: "sensors/1/temperature", Payload: benchPayload, QoS: 1}, ID: 1}, 2,
	},
	{"publish 5 with properties", mqtt.V5, false, &packet.Publish{Message: mqtt.Message{
		Topic: "sensors/1/temperature", Payload: benchPayload, QoS: 1,
		Properties: &mqtt.Properties{
			Expiry: 60, HasExpiry: true, ContentType: "application/json", ResponseTopic: "re/1",
			CorrelationData: []byte("1234"),
			User:            []mqtt.UserProperty{{Key: "k1", Value: "v1"}, {Key: "k2", Value: "v2"}},
		},
	}, ID: 1}, 5},
	{"puback 3.1.1", mqtt.V311, false, &packet.Ack{Kind: packet.PUBACK, ID: 1}, 1},
	{"puback 5 with code", mqtt.V5, false, &packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.NoMatchingSubscribers}, 1},
	{"pubrel 5", mqtt.V5, false, &packet.Ack{Kind: packet.PUBREL, ID: 1}, 1},
	{"subscribe 5", mqtt.V5, false, &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "sensors/+/temperature"}}}, 3},
	{"unsubscribe 5", mqtt.V5, false, &packet.Unsubscribe{ID: 1, Filters: []string{"sensors/+/temperature"}}, 3},
	{"pingreq", mqtt.V311, false, &packet.Pingreq{}, 0},
	{"disconnect 5", mqtt.V5, false, &packet.Disconnect{}, 1},
	{"auth", mqtt.V5, false, &packet.Auth{Code: mqtt.ContinueAuthentication, Method: "scram", Data: []byte("data")}, 3},
	{"connack 5", mqtt.V5, true, &packet.Connack{ReceiveMaximum: 20, MaximumPacketSize: 1 << 20, TopicAliasMaximum: 10}, 1},
	{"suback 5", mqtt.V5, true, &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS1}}, 2},
	{"unsuback 5", mqtt.V5, true, &packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success}}, 2},
	{"pingresp", mqtt.V311, true, &packet.Pingresp{}, 0},
}

// repeat reads the same bytes over and over.
type repeat struct {
	b  []byte
	at int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.b[r.at:])
		n += k
		r.at = (r.at + k) % len(r.b)
	}
	return n, nil
}

// warm returns a function that decodes one packet of a stream that never ends.
func warm(tb testing.TB, i int) (next func()) {
	bench := benchPackets[i]
	d := packet.NewClientDecoder(bench.v, 0)
	if !bench.server {
		d = connected(tb, bench.v)
	}
	r := &repeat{b: bytes.Repeat(encoded(tb, packet.Encoder{Version: bench.v}, bench.p), 100)}
	return func() {
		for {
			p, err := d.Next()
			if err != nil {
				tb.Fatal(err)
			}
			if p != nil {
				return
			}
			if err := d.Fill(r); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for i, bench := range benchPackets {
		if bench.p.Type() == packet.CONNECT {
			b.Run(bench.name, func(b *testing.B) { benchmarkConnect(b, bench.p) })
			continue
		}
		b.Run(bench.name, func(b *testing.B) {
			next := warm(b, i)
			b.SetBytes(int64(len(encoded(b, packet.Encoder{Version: bench.v}, bench.p))))
			b.ReportAllocs()
			for b.Loop() {
				next()
			}
		})
	}
}

func benchmarkConnect(b *testing.B, p packet.Packet) {
	in := encoded(b, packet.Encoder{}, p)
	b.ReportAllocs()
	for b.Loop() {
		d := packet.NewDecoder(0)
		if err := d.Fill(bytes.NewReader(in)); err != nil {
			b.Fatal(err)
		}
		if p, err := d.Next(); p == nil || err != nil {
			b.Fatal(p, err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, bench := range benchPackets {
		b.Run(bench.name, func(b *testing.B) {
			e := packet.Encoder{Version: bench.v}
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Append(dst, bench.p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPublish(b *testing.B) {
	m := &mqtt.Message{Topic: "sensors/1/temperature", Payload: benchPayload}
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		b.Run(v.String(), func(b *testing.B) {
			e := packet.Encoder{Version: v}
			h := packet.PublishHeader{QoS: 1, ID: 1}
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.AppendPublish(dst, &h, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The hot path's memory is a promise.
func TestAllocations(t *testing.T) {
	for i, bench := range benchPackets {
		if bench.p.Type() != packet.CONNECT {
			next := warm(t, i)
			next()
			if got := testing.AllocsPerRun(500, next); got > bench.allocs {
				t.Errorf("decoding %s: %v allocations, want at most %v", bench.name, got, bench.allocs)
			}
		}
		e := packet.Encoder{Version: bench.v}
		dst := make([]byte, 0, 1024)
		got := testing.AllocsPerRun(100, func() {
			if _, err := e.Append(dst, bench.p); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 {
			t.Errorf("encoding %s: %v allocations, want none", bench.name, got)
		}
	}
}
