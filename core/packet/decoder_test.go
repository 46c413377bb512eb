package packet_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// A18 and A19: it makes no difference how a stream is cut.
func TestChunks(t *testing.T) {
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			in := wire(preludes[v])
			var want []packet.Packet
			for _, vec := range allVectors() {
				if vec.v == v && !vec.server && vec.p.Type() != packet.CONNECT {
					in = append(in, wire(vec.wire)...)
					want = append(want, vec.p)
				}
			}
			readers := map[string]io.Reader{
				"whole":      bytes.NewReader(in),
				"byte":       iotest.OneByteReader(bytes.NewReader(in)),
				"half":       iotest.HalfReader(bytes.NewReader(in)),
				"with EOF":   iotest.DataErrReader(bytes.NewReader(in)),
				"127 bytes":  &chunks{bytes.NewReader(in), 127},
				"128 bytes":  &chunks{bytes.NewReader(in), 128},
				"4095 bytes": &chunks{bytes.NewReader(in), 4095},
			}
			for name, r := range readers {
				got, err := decodeFrom(packet.NewDecoder(0), r)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(want, got[1:]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

// chunks reads at most n bytes at a time.
type chunks struct {
	r io.Reader
	n int
}

func (c *chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestFillReadsOnce(t *testing.T) {
	d := connected(t, mqtt.V311)
	r := &counting{r: bytes.NewReader(bytes.Repeat(wire(`c0 00`), 10000))}
	for i := 1; i <= 3; i++ {
		if err := d.Fill(r); err != nil {
			t.Fatal(err)
		}
		if r.reads != i {
			t.Fatalf("%d reads after %d fills", r.reads, i)
		}
	}
}

type counting struct {
	r     io.Reader
	reads int
	most  int // the largest buffer that was offered
}

func (c *counting) Read(p []byte) (int, error) {
	c.reads++
	c.most = max(c.most, len(p))
	return c.r.Read(p)
}

func TestFillErrors(t *testing.T) {
	d := packet.NewDecoder(0)
	broken := errors.New("broken")
	if err := d.Fill(iotest.ErrReader(broken)); err != broken {
		t.Errorf("got %v, want the reader's own error", err)
	}
	var err error
	fills := 0
	for ; err == nil && fills < 1000; fills++ {
		err = d.Fill(nothing{})
	}
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("after %d empty reads: %v, want no progress", fills, err)
	}
	// Bytes that come together with an error are not lost.
	if err := d.Fill(iotest.DataErrReader(bytes.NewReader(wire(preludes[mqtt.V311])))); err != io.EOF {
		t.Fatalf("got %v, want EOF", err)
	}
	if p, err := d.Next(); err != nil || p == nil {
		t.Errorf("got %v, %v, want the CONNECT that came with EOF", p, err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestPacketsOwnTheirMemory(t *testing.T) {
	d := connected(t, mqtt.V5)
	one := wire(`30 ( "topic" ( 03 "type" 08 "resp" 09 "corr" 26 "key" "value" ) 'payload' )`)
	p := decodeOne(t, d, one)
	want := decodeOne(t, connected(t, mqtt.V5), one)
	for range 100 { // over the same buffers
		decodeOne(t, d, wire(`30 ( "TOPIC" ( 03 "TYPE" 08 "RESP" 09 "CORR" 26 "KEY" "VALUE" ) 'PAYLOAD' )`))
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("a packet changed after it was returned:\n%s", diff)
	}
}

func TestTopicsAreRemembered(t *testing.T) {
	d := connected(t, mqtt.V311)
	topics := []string{"a", "b", "a", "c", "d", "e", "f", "a", "bb", "b", strings.Repeat("x", 300), "a"}
	for range 3 {
		for _, topic := range topics {
			in := wire(`30 ( "` + topic + `" )`)
			p, ok := decodeOne(t, d, in).(*packet.Publish)
			if !ok || p.Message.Topic != topic {
				t.Fatalf("got %+v, want topic %q", p, topic)
			}
		}
	}
}

func TestMaxPacketSize(t *testing.T) {
	exact := wire(`30 ( "a" 78*94 )`) // 2 + 3 + 94 = 99 bytes
	for _, tt := range []struct {
		max  uint32
		code mqtt.ReasonCode
	}{{99, 0}, {98, mqtt.PacketTooLarge}} {
		d := packet.NewDecoder(0)
		if _, err := decodeAll(d, wire(preludes[mqtt.V311])); err != nil {
			t.Fatal(err)
		}
		d.SetMaxPacketSize(tt.max)
		// The fixed header is enough to refuse.
		_, err := decodeAll(d, exact[:2])
		var e *packet.Error
		if errors.As(err, &e) != (tt.code != 0) || e != nil && e.Code != tt.code {
			t.Errorf("max %d: %v", tt.max, err)
		}
	}
	d := packet.NewDecoder(20)
	big := wire(`10 ( "MQTT" 05 02 003c 00 "a long client identifier" )`)
	_, err := decodeAll(d, big)
	var e *packet.Error
	if !errors.As(err, &e) || e.Code != mqtt.PacketTooLarge || e.Version != mqtt.V5 {
		t.Errorf("a CONNECT that is too large: %v, want 0x95 and its version", err)
	}
}

// A04 and A05: what a peer announces costs nothing until it is sent.
func TestAnnouncedLengthTakesNoMemory(t *testing.T) {
	const announce = `ffffff7f` // 256 MB
	for name, in := range map[string][]byte{
		"first":   wire(`10` + announce + `0004 'MQTT' 04 02 003c 00*1000`),
		"publish": append(wire(preludes[mqtt.V311]), wire(`30`+announce+`0003 'abc' 00*1000`)...),
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		decoders := make([]*packet.Decoder, 60)
		for i := range decoders {
			decoders[i] = packet.NewDecoder(0)
			if _, err := decodeAll(decoders[i], in); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 60*16<<10 {
			t.Errorf("%s: 60 decoders took %d bytes for 1 kB each", name, used)
		}
		runtime.KeepAlive(decoders)
	}
}

// The buffer follows what arrives: it is small when little comes, grows with
// a large packet to no more than twice what was received, and is given up.
func TestBufferFollowsTraffic(t *testing.T) {
	d := connected(t, mqtt.V311)
	read := func(b []byte) (most int) {
		r := &counting{r: bytes.NewReader(b)}
		if _, err := decodeFrom(d, r); err != nil {
			t.Fatal(err)
		}
		return r.most
	}
	if most := read(wire(`c0 00`)); most > 128 {
		t.Errorf("%d bytes for a ping", most)
	}
	if most := read(bytes.Repeat(wire(`30 ( "abc" 78*200 )`), 2000)); most < 32<<10 {
		t.Errorf("only %d bytes at a time under load", most)
	}
	large := wire(`30 ( "abc" 78*3000000 )`)
	if most := read(large); most > 2*len(large) {
		t.Errorf("%d bytes for a packet of %d", most, len(large))
	}
	read(wire(`c0 00`))
	if most := read(wire(`c0 00`)); most > 128 {
		t.Errorf("%d bytes for a ping after a large packet", most)
	}
	if d.Buffered() != 0 {
		t.Errorf("%d bytes held", d.Buffered())
	}
}

func TestReleaseKeepsBytes(t *testing.T) {
	d := connected(t, mqtt.V311)
	in := wire(`30 ( "abc" 'hello' )`)
	for _, part := range [][]byte{in[:3], in[3:]} {
		if err := d.Fill(bytes.NewReader(part)); err != nil {
			t.Fatal(err)
		}
		d.Release()
	}
	if d.Buffered() != len(in) {
		t.Fatalf("%d bytes held, want %d", d.Buffered(), len(in))
	}
	p, err := d.Next()
	if pub, ok := p.(*packet.Publish); !ok || err != nil || string(pub.Message.Payload) != "hello" {
		t.Errorf("got %v, %v", p, err)
	}
	d.Release()
	d.Release()
	if p, err := d.Next(); p != nil || err != nil {
		t.Errorf("after Release: %v, %v, want neither", p, err)
	}
}

func TestVersionIsKnownEarly(t *testing.T) {
	d := packet.NewDecoder(0)
	in := wire(`10 ( "MQTT" 05 02 003c 00 "c" )`)
	for i, b := range in {
		want := mqtt.Version(0)
		if i >= 8 { // the level byte was read
			want = mqtt.V5
		}
		if err := d.Fill(bytes.NewReader([]byte{b})); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
		if d.Version() != want {
			t.Fatalf("version %v after byte %d", d.Version(), i)
		}
	}
}

// B33: bad CONNECTs leave nothing behind.
func TestBadConnectsLeaveNothing(t *testing.T) {
	in := wire(`10 ( "MQTT" 05 06 003c 00 "c" ( 08 "response" 09 "data" 23 0001 ) "w" "p" )`)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for range 3000 {
		if _, err := decodeAll(packet.NewDecoder(0), in); err == nil {
			t.Fatal("no error")
		}
	}
	if after := heap(); after > before+1<<20 {
		t.Errorf("heap grew from %d to %d bytes", before, after)
	}
}
