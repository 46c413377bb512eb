package conformance_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// badFraming is what is wrong with the form of packets and with their place in
// the dialogue.
var badFraming = []bad{
	{id: "A02.5", after: mqtt.V5, raw: `30 8080808001 'x'`, want: tells(mqtt.MalformedPacket)},
	{id: "A+02.4", after: mqtt.V311, raw: `30 8080808001 'x'`, want: ends()},
	{id: "A+02.first", version: mqtt.V5, raw: `10 ffffffff7f`, want: ends()},
	{id: "A+overlong", after: mqtt.V5, raw: `c0 8000`, want: tells(mqtt.MalformedPacket)},
	{id: "A04", run: announceConnects},
	{id: "A05", run: announcePublishes},
	{id: "A06.4", after: mqtt.V311, raw: `00 00`, want: ends()},
	{id: "A06.5", after: mqtt.V5, raw: `00 00`, want: tells(mqtt.MalformedPacket)},
	{id: "A+06.first", version: mqtt.V5, raw: `00 00`, want: ends()},
	{id: "A+AUTH.4", after: mqtt.V311, raw: `f0 00`, want: ends()},
	{id: "A08.1", version: mqtt.V311, raw: `82 ( 0001 "a" 00 )`, want: ends()},
	{id: "A08.2", version: mqtt.V311, raw: `c0 00`, want: ends()},
	{id: "A08.5", version: mqtt.V311, raw: `62 02 0001`, want: ends()},
	{id: "A+08.AUTH", version: mqtt.V5, raw: `f0 00`, want: ends()},
	{id: "A09.4", after: mqtt.V311, raw: connectAs(mqtt.V311, "again"), want: ends()},
	{id: "A09.5", after: mqtt.V5, raw: connectAs(mqtt.V5, "again"), want: tells(mqtt.ProtocolError)},
	{id: "A10.0x80", after: mqtt.V5, raw: `80 ( 0001 00 "a" 00 )`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0xa0", after: mqtt.V5, raw: `a0 ( 0001 00 "a" )`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0x60", after: mqtt.V5, raw: `60 02 0001`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0xe1", after: mqtt.V5, raw: `e1 00`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0x41", after: mqtt.V5, raw: `41 02 0001`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0x52", after: mqtt.V5, raw: `52 02 0001`, want: tells(mqtt.MalformedPacket)},
	{id: "A10.0xf1", after: mqtt.V5, raw: `f1 00`, want: tells(mqtt.MalformedPacket)},
	{id: "A+10.0xc1", after: mqtt.V311, raw: `c1 00`, want: ends()},
	{id: "A11", version: mqtt.V5, raw: `11 ( "MQTT" 05 02 003c 00 "c" )`, want: ends()},
	{id: "A12.CONNACK", after: mqtt.V5, raw: `20 03 00 00 00`, want: tells(mqtt.ProtocolError)},
	{id: "A12.SUBACK", after: mqtt.V5, raw: `90 04 0001 00 00`, want: tells(mqtt.ProtocolError)},
	{id: "A12.UNSUBACK", after: mqtt.V5, raw: `b0 04 0001 00 00`, want: tells(mqtt.ProtocolError)},
	{id: "A+12.PINGRESP", after: mqtt.V5, raw: `d0 00`, want: tells(mqtt.ProtocolError)},
	{id: "A+12.PINGRESP.4", after: mqtt.V311, raw: `d0 00`, want: ends()},
	{id: "A+PINGREQ.body", after: mqtt.V5, raw: `c0 01 00`, want: tells(mqtt.MalformedPacket)},
	{id: "A15", version: mqtt.V311, raw: `16 0301 0200 0100 01fc 0303 00*500`, want: ends()},
	{id: "A16", version: mqtt.V311, raw: `ff*1024`, want: ends()},
	{id: "A+HTTP", version: mqtt.V311, raw: `'GET / HTTP/1.1' 0d0a 'Host: broker' 0d0a 0d0a`, want: ends()},
	{id: "A18", run: byteByByte},
	{id: "A19", run: allAtOnce},
	{id: "A20", run: silentConnection},
	{id: "A+20.partial", run: partialConnect},
	{id: "A22", run: resetAfterConnect},
}

// 256 MB in the form that a Remaining Length has.
const hugeLength = `ffffff7f`

func announceConnects(t *testing.T, _ *brokertest.Broker) {
	p := startProcess(t)
	p.staysWithin(t, 64, func(b *brokertest.Broker) {
		said := wire.Bytes(`10 ` + hugeLength + ` "MQTT" 05 06 003c 00 61*1000`)
		for range 60 {
			if _, err := raw(t, b).Write(said); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func announcePublishes(t *testing.T, _ *brokertest.Broker) {
	p := startProcess(t)
	p.staysWithin(t, 64, func(b *brokertest.Broker) {
		for i := range 20 {
			c := b.Connect("big " + number(i))
			c.SendBytes(wire.Bytes(`30 ` + hugeLength + ` "topic" 00 61*100`))
			tells(mqtt.PacketTooLarge).check(t, c)
		}
		// One byte less than what the broker takes, and then silence.
		for i := range 20 {
			c := b.Connect("large " + number(i))
			c.SendBytes(wire.Bytes(`30 fbff3f "topic" 00 61*100`))
		}
	})
}

func byteByByte(_ *testing.T, b *brokertest.Broker) {
	for _, v := range versions {
		c := b.Dial(v)
		properties := ""
		if v == mqtt.V5 {
			properties = "00"
		}
		for _, one := range wire.Bytes(connectAs(v, "drip") + `82 ( 0001 ` + properties + ` "drip" 01 )`) {
			c.SendBytes([]byte{one})
		}
		c.Next() // CONNACK
		c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS1}})
	}
}

func allAtOnce(t *testing.T, b *brokertest.Broker) {
	for _, v := range versions {
		c := b.Dial(v)
		c.Send(
			&packet.Connect{Version: v, CleanStart: true, ClientID: "hasty", RequestProblemInfo: true},
			&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "hasty"}}},
			&packet.Publish{ID: 2, Message: say("other", "x", 1)},
			&packet.Pingreq{},
		)
		if a, ok := c.Next().(*packet.Connack); !ok || a.Code != mqtt.Success {
			t.Fatalf("got %+v, want CONNACK", a)
		}
		c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success}})
		expectAck(t, c, packet.PUBACK, 2)
		c.Expect(&packet.Pingresp{})
		c.Publish(say("hasty", "x", 0), mqtt.Success)
		c.ExpectMessage("hasty", "x")
	}
}

// The default is 10 s, which is a long time in a test.
func silentConnection(t *testing.T, _ *brokertest.Broker) {
	b := startLimited(t, broker.Limits{ConnectTimeout: 20 * time.Millisecond})
	b.Dial(mqtt.V311).ExpectClosed()
}

// A byte now and then does not make a CONNECT take longer.
func partialConnect(t *testing.T, _ *brokertest.Broker) {
	b := startLimited(t, broker.Limits{ConnectTimeout: 50 * time.Millisecond})
	nc := raw(t, b)
	for _, one := range wire.Bytes(connectAs(mqtt.V311, "very slow client with a long name")) {
		if _, err := nc.Write([]byte{one}); err != nil {
			return
		}
		_ = nc.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := nc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
	t.Error("the broker waited for the end of the packet")
}

func resetAfterConnect(t *testing.T, b *brokertest.Broker) {
	said := wire.Bytes(connectAs(mqtt.V311, "gone"))
	crowd(300, func(int) {
		nc := raw(t, b)
		_ = nc.SetLinger(0)
		if _, err := nc.Write(said); err != nil && !reset(err) {
			t.Error(err)
		}
		_ = nc.Close()
	})
}
