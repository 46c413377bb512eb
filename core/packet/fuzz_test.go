package packet_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// FuzzDecoder decodes any bytes, whole and cut at random: after the CONNECT
// of a version, as the first bytes of a connection (version 0), or as what a
// server sends. Both ways must agree, and what was decoded must survive being
// encoded and decoded again.
func FuzzDecoder(f *testing.F) {
	for _, v := range allVectors() {
		version := byte(v.v)
		if v.p.Type() == packet.CONNECT {
			version = 0
		}
		if in := wire(v.wire); len(in) < 1000 { // large seeds make a slow fuzzer
			f.Add(in, version, v.server, uint64(len(in)))
		}
	}
	for _, h := range hostileFirst {
		f.Add(wire(h.wire), byte(0), false, uint64(len(h.wire)))
	}
	for _, h := range hostileLater {
		for _, v := range h.vs {
			f.Add(wire(h.wire), byte(v), false, uint64(len(h.wire)))
		}
	}
	for _, h := range hostileServer {
		for _, v := range h.vs {
			f.Add(wire(h.wire), byte(v), true, uint64(len(h.wire)))
		}
	}
	for _, v := range versions {
		var session []byte
		for _, vec := range allVectors() {
			if in := wire(vec.wire); vec.v == v && !vec.server && vec.p.Type() != packet.CONNECT && len(in) < 200 {
				session = append(session, in...)
			}
		}
		f.Add(append(wire(preludes[v]), session...), byte(0), false, uint64(v))
	}

	f.Fuzz(func(t *testing.T, in []byte, version byte, fromServer bool, seed uint64) {
		version %= 6
		if version > 0 && version < 3 || fromServer && version == 0 {
			version += 3
		}
		v := mqtt.Version(version)
		whole, wholeErr := decodeAll(fuzzDecoder(t, v, fromServer), in)
		cuts := &randomCuts{bytes.NewReader(in), rand.New(rand.NewPCG(seed, 0))}
		d := fuzzDecoder(t, v, fromServer)
		parts, partsErr := decodeFrom(d, cuts)
		if !reflect.DeepEqual(whole, parts) {
			t.Fatalf("cut differently, the packets differ (-whole +cut):\n%s", cmp.Diff(whole, parts))
		}
		if !reflect.DeepEqual(wholeErr, partsErr) {
			t.Fatalf("cut differently, the errors differ: whole %v, cut %v", wholeErr, partsErr)
		}
		d = fuzzDecoder(t, v, fromServer)
		d.Lend(true)
		if lent, lentErr := decodeAll(d, in); !reflect.DeepEqual(whole, lent) || !reflect.DeepEqual(wholeErr, lentErr) {
			t.Fatalf("lent, the packets or errors differ (-owned +lent): %v, %v\n%s", wholeErr, lentErr, cmp.Diff(whole, lent))
		}
		var e *packet.Error
		if wholeErr != nil && (!errors.As(wholeErr, &e) || !e.Code.Failed()) {
			t.Fatalf("not an answer for the peer: %#v", wholeErr)
		}
		for _, p := range whole {
			again(t, p, d.Version(), fromServer)
		}
	})
}

func fuzzDecoder(tb testing.TB, v mqtt.Version, fromServer bool) *packet.Decoder {
	switch {
	case fromServer:
		return packet.NewClientDecoder(v, 0)
	case v == 0:
		return packet.NewDecoder(0)
	default:
		return connected(tb, v)
	}
}

// again encodes p and decodes it.
func again(t *testing.T, p packet.Packet, v mqtt.Version, fromServer bool) {
	t.Helper()
	d := fuzzDecoder(t, v, fromServer)
	if p.Type() == packet.CONNECT {
		d = packet.NewDecoder(0)
	}
	e := packet.Encoder{Version: v}
	b, err := e.Append(nil, p)
	if err != nil {
		t.Fatalf("what was decoded can't be encoded: %+v: %v", p, err)
	}
	if got := decodeOne(t, d, b); !reflect.DeepEqual(p, got) {
		t.Fatalf("% x (-decoded +again):\n%s", b, cmp.Diff(p, got))
	}
}

// randomCuts reads a random number of bytes at a time.
type randomCuts struct {
	r   io.Reader
	rng *rand.Rand
}

func (c *randomCuts) Read(p []byte) (int, error) {
	return c.r.Read(p[:1+c.rng.IntN(min(len(p), 200))])
}
