package packet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	wirenotation "github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// wire is short for what nearly every test begins with.
func wire(notation string) []byte { return wirenotation.Bytes(notation) }

// The CONNECT packets that tests of later packets begin with. The one of
// MQTT 5 has a Session Expiry Interval of 60 and the Authentication Method m.
var preludes = map[mqtt.Version]string{
	mqtt.V31:  `10 ( "MQIsdp" 03 02 003c "c" )`,
	mqtt.V311: `10 ( "MQTT" 04 02 003c "c" )`,
	mqtt.V5:   `10 ( "MQTT" 05 02 003c ( 11 0000003c 15 "m" ) "c" )`,
}

var preludeBytes = func() map[mqtt.Version][]byte {
	m := make(map[mqtt.Version][]byte)
	for v, notation := range preludes {
		m[v] = wire(notation)
	}
	return m
}()

var versions = []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5}

// connected returns a decoder that has seen the prelude of a version.
func connected(tb testing.TB, v mqtt.Version) *packet.Decoder {
	tb.Helper()
	d := packet.NewDecoder(0)
	if _, err := decodeAll(d, preludeBytes[v]); err != nil {
		tb.Fatalf("prelude: %v", err)
	}
	return d
}

// decodeAll feeds b to d and returns every packet, or what went wrong.
func decodeAll(d *packet.Decoder, b []byte) ([]packet.Packet, error) {
	return decodeFrom(d, bytes.NewReader(b))
}

// decodeFrom decodes until r has ended. The bytes of a packet that is not
// complete are no error.
func decodeFrom(d *packet.Decoder, r io.Reader) ([]packet.Packet, error) {
	var all []packet.Packet
	for {
		fillErr := d.Fill(r)
		for {
			p, err := d.Next()
			if err != nil {
				return all, err
			}
			if p == nil {
				break
			}
			all = append(all, owned(d, p))
		}
		d.Release()
		switch {
		case errors.Is(fillErr, io.EOF):
			return all, nil
		case fillErr != nil:
			return all, fillErr
		}
	}
}

// owned returns p, or a copy if d has lent it. A packet that was lent came as it
// would be encoded.
func owned(d *packet.Decoder, p packet.Packet) packet.Packet {
	whole, lent := d.Lent()
	if !lent {
		return p
	}
	own := *p.(*packet.Publish)
	own.Message.Payload = append([]byte(nil), own.Message.Payload...)
	e := packet.Encoder{Version: d.Version()}
	if b, err := e.Append(nil, &own); err != nil || !bytes.Equal(b, whole) {
		panic(fmt.Sprintf("% x was lent, encoded it is % x, %v", whole, b, err))
	}
	return &own
}

// decodeOne decodes b, which must be exactly one packet.
func decodeOne(tb testing.TB, d *packet.Decoder, b []byte) packet.Packet {
	tb.Helper()
	all, err := decodeAll(d, b)
	switch {
	case err != nil:
		tb.Fatalf("% x: %v", b, err)
	case len(all) != 1 || d.Buffered() != 0:
		tb.Fatalf("% x: %d packets and %d bytes, want 1 packet", b, len(all), d.Buffered())
	}
	return all[0]
}
