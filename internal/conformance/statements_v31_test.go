package conformance_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// Where MQTT 3.1 differs from 3.1.1, byte by byte. What both have in common is
// tested for both by [every].
func TestMQTT31(t *testing.T) {
	b := start(t)
	t.Run("protocol name and level", func(t *testing.T) {
		c := b.Dial(mqtt.V31)
		c.SendBytes(wire.Bytes(`10 ( "MQIsdp" 03 02 003c "c" )`))
		c.Expect(&packet.Connack{})
		nothing(c)
	})
	t.Run("bridge bit", func(t *testing.T) { // of mosquitto
		c := b.Dial(mqtt.V31)
		c.SendBytes(wire.Bytes(`10 ( "MQIsdp" 83 02 003c "bridge" )`))
		c.Expect(&packet.Connack{})
	})
	t.Run("no session present", func(t *testing.T) {
		b.Connect("kept", speaking(mqtt.V31), keeping(0)).Disconnect()
		c := b.Dial(mqtt.V31)
		c.Send(&packet.Connect{Version: mqtt.V31, ClientID: "kept"})
		if a := c.Next().(*packet.Connack); a.SessionPresent || a.Code != 0 { // the byte is reserved
			t.Errorf("got %+v", a)
		}
	})
	t.Run("client identifier", func(t *testing.T) {
		b.Connect(strings.Repeat("x", 24), speaking(mqtt.V31)).Disconnect() // more than its 23
		for _, clean := range []bool{true, false} {
			c := b.Dial(mqtt.V31)
			c.Send(&packet.Connect{Version: mqtt.V31, CleanStart: clean})
			c.Expect(&packet.Connack{Code: mqtt.ClientIdentifierNotValid})
			c.ExpectClosed()
		}
	})
	t.Run("flags without a meaning", func(t *testing.T) {
		c := b.Dial(mqtt.V31)
		c.SendBytes(wire.Bytes(`10 ( "MQIsdp" 03 2b 003c "c" )`)) // reserved bit, will QoS and retain without a will
		c.Expect(&packet.Connack{})
	})
	t.Run("packet ends before user name and password", func(t *testing.T) {
		c := b.Dial(mqtt.V31)
		c.SendBytes(wire.Bytes(`10 ( "MQIsdp" 03 c2 003c "c" )`))
		c.Expect(&packet.Connack{})
	})
	t.Run("DUP in requests", func(t *testing.T) {
		c := b.Connect("c", speaking(mqtt.V31))
		c.SendBytes(wire.Bytes(`8a ( 0001 "t" 01 )`))
		c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{1}})
		c.SendBytes(wire.Bytes(`aa ( 0002 "t" )`))
		c.Expect(&packet.Unsuback{ID: 2})
		c.SendBytes(wire.Bytes(`3c ( "u" 0003 'x' ) 6a 02 0003`))
		c.Expect(ack(packet.PUBREC, 3), ack(packet.PUBCOMP, 3))
		c.SendBytes(wire.Bytes(`38 ( "u" 'x' )`)) // means nothing with QoS 0
		nothing(c)
	})
	t.Run("options without a meaning", func(t *testing.T) {
		c := b.Connect("c", speaking(mqtt.V31))
		c.SendBytes(wire.Bytes(`82 ( 0001 "t" fe )`))
		c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{2}})
	})
	t.Run("lengths written longer than they must be", func(t *testing.T) { // so does 3.1.1
		for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311} {
			c := b.Connect("c", speaking(v))
			c.SendBytes(wire.Bytes(`c0 8000 c0 80808000`))
			c.Expect(&packet.Pingresp{}, &packet.Pingresp{})
		}
	})
	t.Run("refused subscription", func(t *testing.T) { // 3.1 knows no failure in SUBACK; 3.1.1's is used
		c := b.Connect("c", speaking(mqtt.V31))
		if got := subscribe(t, c, mqtt.Subscription{Filter: "a/#/b"}, mqtt.Subscription{Filter: "a", QoS: 1}); got[0] != mqtt.UnspecifiedError || got[1] != 1 {
			t.Errorf("got %v", got)
		}
	})
}
