package packet_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

const (
	malformed = mqtt.MalformedPacket
	illegal   = mqtt.ProtocolError
	badTopic  = mqtt.TopicNameInvalid
	badID     = mqtt.ClientIdentifierNotValid
	badLevel  = mqtt.UnsupportedProtocolVersion
)

// hostile is input that must be refused. Names that begin with a letter and a
// number are those of the catalogue of bad input.
type hostile struct {
	name string
	wire string
	code mqtt.ReasonCode
	t    packet.Type
}

func TestMalformedFirst(t *testing.T) {
	for _, h := range hostileFirst {
		t.Run(h.name, func(t *testing.T) {
			refuse(t, func() *packet.Decoder { return packet.NewDecoder(0) }, h.hostile, h.v)
		})
	}
}

func TestMalformedLater(t *testing.T) {
	for _, h := range hostileLater {
		for _, v := range h.vs {
			t.Run(h.name+"/"+v.String(), func(t *testing.T) {
				refuse(t, func() *packet.Decoder { return connected(t, v) }, h.hostile, v)
			})
		}
	}
}

func TestMalformedFromServer(t *testing.T) {
	for _, h := range hostileServer {
		for _, v := range h.vs {
			t.Run(h.name+"/"+v.String(), func(t *testing.T) {
				refuse(t, func() *packet.Decoder { return packet.NewClientDecoder(v, 0) }, h.hostile, v)
			})
		}
	}
}

// refuse sends the input whole and byte by byte, each followed by a good
// packet that must not be decoded any more.
func refuse(t *testing.T, decoder func() *packet.Decoder, h hostile, v mqtt.Version) {
	t.Helper()
	in := append(wire(h.wire), wire(`c0 00`)...)
	for _, bytewise := range []bool{false, true} {
		d, r := decoder(), iotest.DataErrReader(bytes.NewReader(in))
		if bytewise {
			r = iotest.OneByteReader(bytes.NewReader(in))
		}
		all, err := decodeFrom(d, r)
		var e *packet.Error
		if !errors.As(err, &e) {
			t.Fatalf("%d packets and error %v, want an *Error", len(all), err)
		}
		if len(all) != 0 || e.Code != h.code || e.Packet != h.t || e.Version != v || d.Version() != v {
			t.Errorf("%d packets, code 0x%02x, packet %v, version %v; want 0, 0x%02x, %v, %v (%s)",
				len(all), byte(e.Code), e.Packet, e.Version, byte(h.code), h.t, v, e.Detail)
		}
		if e.Detail == "" || d.Buffered() != 0 {
			t.Errorf("detail %q, and %d bytes still held", e.Detail, d.Buffered())
		}
		if _, again := d.Next(); again != err {
			t.Errorf("Next again: %v, want the same error", again)
		}
		if again := d.Fill(bytes.NewReader(in)); again != err {
			t.Errorf("Fill afterwards: %v, want the same error", again)
		}
	}
}

// What the catalogue has and the codec must let pass, for it is for others to
// judge: topic syntax, limits of the session, methods of authentication.
func TestLeftToOthers(t *testing.T) {
	connects := []string{
		`10 ( "MQTT" 05 00 003c 00 "" )`,                            // B12
		`10 ( "MQTT" 05 02 003c 00 ffff 61*65535 )`,                 // B13
		`10 ( "MQTT" 05 06 003c 00 "c" 00 "a/#" "p" )`,              // B16
		`10 ( "MQTT" 05 02 003c ( 15 "unheard-of" ) "c" )`,          // B29
		`10 ( "MQTT" 04 c2 003c "c" ffff 61*65535 ffff 62*65535 )`,  // B35
		`10 ( "MQTT" 05 06 003c 00 "c" ( 18 ffffffff ) "w" "p" )`,   // E06
		`10 ( "MQTT" 05 06 003c 00 "c" ( 01 01 ) "w" 0002 c328 )`,   // payload that is not UTF-8
		`10 ( "MQTT" 04 02 003c 0003 efbfbf )`,                      // U+FFFF
		`10 ( "MQTT" 04 02 003c 0001 01 )`,                          // U+0001
		`10 ( "MQTT" 04 02 003c 0003 efbbbf )`,                      // a byte order mark [MQTT-1.5.4-3]
		`10 ( "MQIsdp" 03 02 003c "longer-than-23-bytes-is-fine" )`, // as other brokers have it
	}
	for _, c := range connects {
		decodeOne(t, packet.NewDecoder(0), wire(c))
	}
	later := []string{
		`30 ( "a/+" 00 'x' )`,               // C03
		`30 ( "#" 00 'x' )`,                 // C04
		`30 ( "a" ( 23 ffff ) 'x' )`,        // C13
		`30 ( "" ( 23 0001 ) 'x' )`,         // C14
		`30 ( "a" ( 01 01 ) c328 )`,         // C24
		`82 ( 0001 00 ffff 2f*65535 00 )`,   // C26
		`30 ( "$share/g/t" 00 'x' )`,        // C40
		`30 ( "$SYS/broker/version" 00 )`,   // C41
		`82 ( 0001 00 "+a" 00 "##" 00 )`,    // D10
		`82 ( 0001 00 "$share/g" 00 )`,      // D14
		`82 ( 0001 00 "$shared/g/a" 04 )`,   // not a shared subscription
		`82 ( 0001 00 "" 00 )`,              // an empty filter: SUBACK 0x8F
		`30 ( "a" ( 08 "re/#" ) 'x' )`,      // wildcard in a response topic
		`e0 ( 00 ( 1c "other" ) )`,          // a server reference from a client
		`f0 ( 18 ( 15 "another" 16 "d" ) )`, // not the method of CONNECT
		`40 02 7fff`,                        // nothing in flight has that id
		`62 02 7fff`,                        // C33
	}
	for _, l := range later {
		decodeOne(t, connected(t, mqtt.V5), wire(l))
	}
}

// E01 and E03: what DISCONNECT and AUTH may say depends on the CONNECT.
func TestDependsOnConnect(t *testing.T) {
	for _, tt := range []struct {
		name, connect, then string
		code                mqtt.ReasonCode
	}{
		{"E01 no session expiry", `10 ( "MQTT" 05 02 003c 00 "c" )`, `e0 ( 00 ( 11 00000001 ) )`, illegal},
		{"E01 session expiry 0", `10 ( "MQTT" 05 02 003c ( 11 00000000 ) "c" )`, `e0 ( 00 ( 11 00000001 ) )`, illegal},
		{"0 again", `10 ( "MQTT" 05 02 003c 00 "c" )`, `e0 ( 00 ( 11 00000000 ) )`, 0},
		{"E03 AUTH without method", `10 ( "MQTT" 05 02 003c 00 "c" )`, `f0 ( 18 ( 15 "m" ) )`, illegal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decodeAll(packet.NewDecoder(0), append(wire(tt.connect), wire(tt.then)...))
			var e *packet.Error
			if errors.As(err, &e) != (tt.code != 0) || e != nil && e.Code != tt.code {
				t.Errorf("error %v, want code 0x%02x", err, byte(tt.code))
			}
		})
	}
}

// E15: every type with a few bytes of nothing must not do harm.
func TestShortNoise(t *testing.T) {
	for _, v := range versions {
		for first := range 256 {
			for n := range 13 {
				for _, fill := range []byte{0x00, 0x01, 0xff} {
					in := append([]byte{byte(first), byte(n)}, bytes.Repeat([]byte{fill}, n)...)
					if all, err := decodeAll(connected(t, v), in); len(all) == 0 && err == nil {
						t.Fatalf("%v: % x: neither packet nor error", v, in)
					}
				}
			}
		}
	}
}
