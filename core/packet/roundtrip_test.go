package packet_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// What is encoded and then decoded, cut anywhere, is what it was.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := gen{t, rapid.SampledFrom(versions).Draw(t, "version")}
		fromServer := rapid.Bool().Draw(t, "server")
		var in []byte
		var want []packet.Packet
		var d *packet.Decoder
		e := packet.Encoder{Version: g.v}
		if fromServer {
			d = packet.NewClientDecoder(g.v, 0)
		} else {
			d = packet.NewDecoder(0)
			connect := g.connect()
			// So that every AUTH and DISCONNECT may follow.
			if g.v == mqtt.V5 {
				connect.HasAuthMethod, connect.HasSessionExpiry, connect.SessionExpiry = true, true, 1
			}
			want = append(want, connect)
		}
		for range rapid.IntRange(1, 5).Draw(t, "packets") {
			if fromServer {
				want = append(want, g.fromServer())
			} else {
				want = append(want, g.fromClient())
			}
		}
		for _, p := range want {
			var err error
			if in, err = e.Append(in, p); err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
		}
		got, err := decodeFrom(d, &cut{t, bytes.NewReader(in)})
		if err != nil {
			t.Fatalf("% x: %v", in, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// cut reads as much as rapid likes.
type cut struct {
	t *rapid.T
	r *bytes.Reader
}

func (c *cut) Read(p []byte) (int, error) {
	n := rapid.IntRange(1, len(p)).Draw(c.t, "read")
	return c.r.Read(p[:n])
}
