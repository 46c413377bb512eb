package packet_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

func TestDecode(t *testing.T) {
	for _, v := range allVectors() {
		t.Run(v.name, func(t *testing.T) {
			var decoders []*packet.Decoder
			switch {
			case v.p.Type() == packet.CONNECT:
				decoders = append(decoders, packet.NewDecoder(0))
			case !v.server:
				decoders = append(decoders, connected(t, v.v))
			}
			if v.server || v.both() {
				decoders = append(decoders, packet.NewClientDecoder(v.v, 0))
			}
			for _, d := range decoders {
				got := decodeOne(t, d, wire(v.wire))
				if diff := cmp.Diff(v.p, got); diff != "" {
					t.Errorf("decoded (-want +got):\n%s", diff)
				}
				if d.Version() != v.v {
					t.Errorf("version %v, want %v", d.Version(), v.v)
				}
			}
		})
	}
}

func TestEncode(t *testing.T) {
	for _, v := range allVectors() {
		if v.alias {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			e := packet.Encoder{Version: v.v}
			got, err := e.Append([]byte("before"), v.p)
			if err != nil {
				t.Fatal(err)
			}
			if want := append([]byte("before"), wire(v.wire)...); !bytes.Equal(got, want) {
				t.Errorf("encoded\n% x, want\n% x", got, want)
			}
		})
	}
}

// Every cut of every vector is either waiting for more or an error, and no
// packet; and the vector with a byte too many in it is refused.
func TestDecodeTruncated(t *testing.T) {
	for _, v := range allVectors() {
		full := wire(v.wire)
		if len(full) > 300 {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			for n := range full {
				d := decoderFor(t, &v)
				if all, err := decodeAll(d, full[:n]); len(all) > 0 || err != nil {
					t.Fatalf("% x: %d packets, error %v", full[:n], len(all), err)
				}
			}
		})
	}
}

func decoderFor(tb testing.TB, v *vector) *packet.Decoder {
	tb.Helper()
	switch {
	case v.p.Type() == packet.CONNECT:
		return packet.NewDecoder(0)
	case v.server:
		return packet.NewClientDecoder(v.v, 0)
	default:
		return connected(tb, v.v)
	}
}

// Shortening the announced length of a packet byte by byte must never make
// the decoder read beyond it, and what is accepted must be a shorter legal
// packet, which is encoded as such.
func TestDecodeShortened(t *testing.T) {
	for _, v := range allVectors() {
		full := wire(v.wire)
		if len(full) > 127 || v.alias {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			for n := 2; n < len(full); n++ {
				short := bytes.Clone(full[:n])
				short[1] = byte(n - 2)
				all, err := decodeAll(decoderFor(t, &v), short)
				if err == nil && len(all) != 1 {
					t.Fatalf("% x: %d packets", short, len(all))
				}
				var e *packet.Error
				if err != nil && !errors.As(err, &e) {
					t.Fatalf("% x: %v", short, err)
				}
			}
		})
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[packet.Type]string{
		packet.CONNECT: "CONNECT", packet.AUTH: "AUTH", 0: "reserved", 16: "Type(16)",
	} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%d) is %q, want %q", byte(typ), got, want)
		}
	}
}

func TestErrorText(t *testing.T) {
	e := &packet.Error{Code: mqtt.TopicAliasInvalid, Packet: packet.PUBLISH, Detail: "topic alias is zero"}
	if got, want := e.Error(), "PUBLISH: topic alias invalid: topic alias is zero"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
