package packet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

func TestLimits(t *testing.T) {
	limits := &packet.Limits{ClientID: 3, UserProperties: 2, UserPropertyBytes: 10, Filters: 2}
	for _, tt := range []struct {
		name, wire string
		code       mqtt.ReasonCode
	}{
		{"client id", `10 ( "MQTT" 05 02 003c 00 "abc" )`, 0},
		{"client id too long", `10 ( "MQTT" 05 02 003c 00 "abcd" )`, mqtt.ClientIdentifierNotValid},
		{"user properties of CONNECT and will", `10 ( "MQTT" 05 06 003c ( 26 "k" "1" 26 "k" "2" ) "abc"
			( 26 "k" "1" 26 "k" "2" ) "w" "p" )`, 0},
		{"three user properties", `10 ( "MQTT" 05 02 003c ( 26 "k" "1" 26 "k" "2" 26 "k" "3" ) "abc" )`, mqtt.QuotaExceeded},
		{
			"three of the will", `10 ( "MQTT" 05 06 003c 00 "abc" ( 26 "k" "1" 26 "k" "2" 26 "k" "3" ) "w" "p" )`,
			mqtt.QuotaExceeded,
		},
		{"user property bytes", `10 ( "MQTT" 05 02 003c ( 26 "12345" "67890" ) "abc" )`, 0},
		{"too many user property bytes", `10 ( "MQTT" 05 02 003c ( 26 "12345" "67890a" ) "abc" )`, mqtt.QuotaExceeded},
		{"filters", preludes[mqtt.V5] + `82 ( 0001 00 "a" 00 "b" 00 )`, 0},
		{"too many filters", preludes[mqtt.V5] + `82 ( 0001 00 "a" 00 "b" 00 "c" 00 )`, mqtt.QuotaExceeded},
		{"too many filters to unsubscribe", preludes[mqtt.V5] + `a2 ( 0001 00 "a" "b" "c" )`, mqtt.QuotaExceeded},
		{"user properties of PUBLISH", preludes[mqtt.V5] + `30 ( "a" ( 26 "k" "1" 26 "k" "2" 26 "k" "3" ) )`, mqtt.QuotaExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := packet.NewDecoder(0)
			d.SetLimits(limits)
			_, err := decodeAll(d, wire(tt.wire))
			var e *packet.Error
			if errors.As(err, &e) != (tt.code != 0) || e != nil && e.Code != tt.code {
				t.Errorf("error %v, want code 0x%02x", err, byte(tt.code))
			}
		})
	}
}

// B34: the default limits refuse a flood of user properties and let pass what
// is merely many.
func TestManyUserProperties(t *testing.T) {
	for n, code := range map[int]mqtt.ReasonCode{1024: 0, 1025: mqtt.QuotaExceeded, 20000: mqtt.QuotaExceeded} {
		in := wire(`10 ( "MQTT" 05 02 003c ( ` + strings.Repeat(`26 "key" "value" `, n) + ` ) "c" )`)
		all, err := decodeAll(packet.NewDecoder(0), in)
		var e *packet.Error
		if errors.As(err, &e) != (code != 0) || e != nil && e.Code != code {
			t.Errorf("%d user properties: %v", n, err)
		}
		if code != 0 {
			continue
		}
		if c, ok := all[0].(*packet.Connect); !ok || len(c.User) != n || cap(c.User) != n {
			t.Errorf("%d user properties: got %d of capacity %d", n, len(c.User), cap(c.User))
		}
	}
}

// A will may make a CONNECT larger than it may be otherwise.
func TestConnectWithWillIsLarger(t *testing.T) {
	without := `10 ( "MQTT" 04 02 003c [ 61*90 ] )`       // 104 bytes
	with := `10 ( "MQTT" 04 06 003c "c" "w" [ 61*129 ] )` // 150 bytes
	for _, tt := range []struct {
		name, wire string
		most       uint32
		will       int
		refused    bool
	}{
		{"no will", without, 104, 0, false},
		{"no will, too large", without, 103, 0, true},
		{"no will, too large, whatever a will may have", without, 103, 100, true},
		{"will", with, 100, 50, false},
		{"will, too large", with, 100, 49, true},
		{"will, nothing more", with, 100, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, cut := range []int{len(wire(tt.wire)), 1, 7} {
				d := packet.NewDecoder(tt.most)
				d.SetLimits(&packet.Limits{Will: tt.will})
				_, err := decodeFrom(d, &chunks{bytes.NewReader(wire(tt.wire)), cut})
				var e *packet.Error
				if errors.As(err, &e) != tt.refused || e != nil && e.Code != mqtt.PacketTooLarge {
					t.Errorf("cut into %d bytes: %v", cut, err)
				}
			}
		})
	}
}
