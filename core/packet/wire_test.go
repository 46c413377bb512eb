package packet_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// wire turns a readable notation into bytes:
//
//	2a 0f        hex digits, in any grouping
//	'abc'        these bytes
//	"abc"        two bytes of length, and these bytes
//	( ... )      the length of the contents as a Variable Byte Integer, and them
//	61*65535     the byte 61, so many times
func wire(notation string) []byte {
	b, rest := wireGroup(notation)
	if rest != "" {
		panic("unbalanced ) in " + notation)
	}
	return b
}

func wireGroup(s string) (b []byte, rest string) {
	for {
		s = strings.TrimLeft(s, " \t\n")
		if s == "" {
			return b, ""
		}
		switch s[0] {
		case ')':
			return b, s
		case '(':
			inner, after := wireGroup(s[1:])
			if after == "" {
				panic("unbalanced (")
			}
			b = append(appendLength(b, len(inner)), inner...)
			s = after[1:]
		case '\'', '"':
			end := 1 + strings.IndexByte(s[1:], s[0])
			text := s[1:end]
			if s[0] == '"' {
				b = append(b, byte(len(text)>>8), byte(len(text)))
			}
			b = append(b, text...)
			s = s[end+1:]
		default:
			end := strings.IndexAny(s, " \t\n()'\"")
			if end < 0 {
				end = len(s)
			}
			b = append(b, wireHex(s[:end])...)
			s = s[end:]
		}
	}
}

func wireHex(token string) []byte {
	digits, times, repeated := strings.Cut(token, "*")
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(fmt.Sprintf("%q: %v", token, err))
	}
	if repeated {
		var n int
		if _, err := fmt.Sscan(times, &n); err != nil {
			panic(err)
		}
		return bytes.Repeat(b, n)
	}
	return b
}

func appendLength(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

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
			all = append(all, p)
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
