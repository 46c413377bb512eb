package vectors

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Clean()
	os.Exit(code)
}

// TestMochiAtBroker sends the packets that are not our codec's to refuse to a
// broker: it ends the connection or ignores them, and passes nothing on.
func TestMochiAtBroker(t *testing.T) {
	b := program.Gatehouse(t, program.Options{Config: "sys_interval: 0s\n"})
	mochiCases(t, func(t *testing.T, name string, c packets.TPacketCase) {
		if mochiExceptions[name].broker {
			refused(t, b.Addr, &c)
		}
	})
}

// refused sends the packet of a case as somebody who would get to see it.
func refused(t *testing.T, addr string, c *packets.TPacketCase) {
	t.Helper()
	raw, v, err := invalidBytes(c)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(program.Patience))
	enc := packet.Encoder{Version: v}
	var out []byte
	for _, p := range []packet.Packet{
		&packet.Connect{Version: v, CleanStart: true, ClientID: "mochi", RequestProblemInfo: true},
		&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "#"}, {Filter: "$SYS/#"}}},
		nil, // the case
		&packet.Pingreq{},
	} {
		if p == nil {
			out = append(out, raw...)
		} else if out, err = enc.Append(out, p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nc.Write(out); err != nil {
		t.Fatal(err)
	}
	dec := packet.NewClientDecoder(v, 0)
	for {
		p, err := dec.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch p.(type) {
		case nil:
			if err := dec.Fill(nc); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		case *packet.Publish:
			t.Fatalf("%x was passed on", raw)
		case *packet.Pingresp:
			return
		}
	}
}

// TestMochiStream reads every good packet of a version as one stream, in
// pieces: what one packet leaves behind must not change the next.
func TestMochiStream(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		for _, d := range []direction{toServer, toClient} {
			stream, want := goodStream(v, d)
			for _, size := range []int{1, 2, 3, 7, 64, len(stream)} {
				if got := countPackets(t, stream, v, d, size); got != want {
					t.Errorf("%v, %s, %d bytes at once: %d packets of %d", v, d, size, got, want)
				}
			}
		}
	}
}

// goodStream returns all packets that may be sent one after the other, and
// their number.
func goodStream(v mqtt.Version, d direction) (stream []byte, n int) {
	for typ := packets.Connack; typ <= packets.Auth; typ++ {
		for _, c := range packets.TPacketData[typ] {
			if len(c.RawBytes) == 0 || c.FailFirst != nil || version(&c) != v {
				continue
			}
			if p, err := decode(c.RawBytes, v, d); err == nil && p != nil {
				stream = append(stream, c.RawBytes...)
				n++
			}
		}
	}
	return stream, n
}

func countPackets(t *testing.T, stream []byte, v mqtt.Version, d direction, size int) (n int) {
	t.Helper()
	dec := packet.NewClientDecoder(v, 0)
	if d == toServer {
		dec = packet.NewDecoder(0)
		if err := connect(dec, v); err != nil {
			t.Fatal(err)
		}
	}
	for in := bytes.NewReader(stream); ; n++ {
		p, err := dec.Next()
		for ; p == nil && err == nil; p, err = dec.Next() {
			if in.Len() == 0 {
				return n
			}
			if err := dec.Fill(io.LimitReader(in, int64(size))); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			t.Fatalf("packet %d: %v", n, err)
		}
	}
}
