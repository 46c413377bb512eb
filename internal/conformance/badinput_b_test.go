package conformance_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// badConnect is what is wrong with CONNECT, and who connects too often.
var badConnect = []bad{
	{id: "B01", version: mqtt.V5, raw: `10 ( "MQTX" 05 02 003c 00 "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B+01.4", version: mqtt.V311, raw: `10 ( "MQTX" 04 02 003c "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B+01.case", version: mqtt.V311, raw: `10 ( "mqtt" 04 02 003c "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B+01.mixed", version: mqtt.V311, raw: `10 ( "MQIsdp" 04 02 003c "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B02", version: mqtt.V5, raw: `10 ( "MQTT" 06 02 003c 00 "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B+02.0", version: mqtt.V311, raw: `10 ( "MQTT" 00 02 003c "c" )`, want: refuses(mqtt.UnsupportedProtocolVersion)},
	{id: "B04.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 03 003c "c" )`, want: ends()},
	{id: "B04.5", version: mqtt.V5, raw: `10 ( "MQTT" 05 03 003c 00 "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B05.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 1e 003c "c" "w" "p" )`, want: ends()},
	{id: "B+05.5", version: mqtt.V5, raw: `10 ( "MQTT" 05 1e 003c 00 "c" 00 "w" "p" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B06", version: mqtt.V5, raw: `10 ( "MQTT" 05 0a 003c 00 "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B+06.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 0a 003c "c" )`, want: ends()},
	{id: "B+06.retain", version: mqtt.V5, raw: `10 ( "MQTT" 05 22 003c 00 "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B08", version: mqtt.V311, raw: `10 ( "MQTT" 04 42 003c "c" "p" )`, want: ends()},
	{id: "B09.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 82 003c "c" )`, want: ends()},
	{id: "B09.5", version: mqtt.V5, raw: `10 ( "MQTT" 05 82 003c 00 "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B10.5", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 "c" 00 )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B+10.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 02 003c "c" 00 )`, want: ends()},
	{id: "B11", version: mqtt.V311, raw: `10 ( "MQTT" 04 00 003c "" )`, want: refuses(mqtt.ClientIdentifierNotValid)},
	{id: "B12", run: emptyClientID},
	{id: "B13", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ 61*65535 ] )`, want: refuses(mqtt.PacketTooLarge)},
	{id: "B+13.limit", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ 61*1025 ] )`, want: refuses(mqtt.ClientIdentifierNotValid)},
	{id: "B14.c328", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ c328 ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B14.surrogate", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ eda080 ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B14.f4908080", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ f4908080 ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B+14.overlong", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ c0af ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B+14.nul", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 00 [ 00 ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B15.c328", version: mqtt.V5, raw: `10 ( "MQTT" 05 82 003c 00 "c" [ c328 ] )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B16.5", version: mqtt.V5, raw: `10 ( "MQTT" 05 06 003c 00 "c" 00 "w/#" "p" )`, want: refuses(mqtt.TopicNameInvalid)},
	{id: "B+16.$SYS", version: mqtt.V5, raw: `10 ( "MQTT" 05 06 003c 00 "c" 00 "$SYS/x" "p" )`, want: refuses(mqtt.TopicNameInvalid)},
	{id: "B17.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 06 003c "c" "" "p" )`, want: ends()},
	{id: "B18.4", version: mqtt.V311, raw: `10 ( "MQTT" 04 06 003c "c" [ c328 ] "p" )`, want: ends()},
	{id: "B20", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 21 0000 ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B21", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 27 00000000 ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B22", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 7f 00 ) "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B+23", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 11 00000001 11 00000001 ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B24", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 7f "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B25", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c 8080808001 "c" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B26", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 19 02 ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B27", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 17 02 ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B+28", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 16 "data" ) "c" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B29", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( 15 "unknown" ) "c" )`, want: refuses(mqtt.BadAuthenticationMethod)},
	{id: "B30", version: mqtt.V5, raw: `10 ( "MQTT" 05 06 003c 00 "c" ( 23 0001 ) "w" "p" )`, want: refuses(mqtt.MalformedPacket)},
	{id: "B31", version: mqtt.V5, raw: `10 ( "MQTT" 05 06 003c 00 "c" ( 18 00000001 18 00000001 ) "w" "p" )`, want: refuses(mqtt.ProtocolError)},
	{id: "B33", run: badWills},
	{id: "B34", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( ` + strings.Repeat(`26 "key" "val" `, 20_000) + `) "c" )`, want: refuses(mqtt.PacketTooLarge)},
	{id: "B+34.limit", version: mqtt.V5, raw: `10 ( "MQTT" 05 02 003c ( ` + strings.Repeat(`26 "k" "v" `, 1025) + `) "c" )`, want: refuses(mqtt.QuotaExceeded)},
	{id: "B35", version: mqtt.V5, raw: `10 ( "MQTT" 05 c2 003c 00 "c" [ 61*65535 ] [ 61*65535 ] )`, want: refuses(mqtt.PacketTooLarge)},
	{id: "B36", run: silenceAfterConnect},
	{id: "B38", run: takeoverStorm},
	{id: "B39", run: sessionsLeftBehind},
}

func emptyClientID(t *testing.T, b *brokertest.Broker) {
	_, a := b.TryConnect("", func(p *packet.Connect) { p.CleanStart = false })
	if a.Code != mqtt.Success || a.AssignedClientID == "" || a.SessionPresent {
		t.Errorf("got %+v, want an assigned client identifier", a)
	}
}

func badWills(t *testing.T, _ *brokertest.Broker) {
	said := wire.Bytes(`10 ( "MQTT" 05 06 003c 00 "c" ( 08 "response" 09 "data" 23 0001 ) "w" [ 61*4000 ] )`)
	startProcess(t).staysWithin(t, 16, func(b *brokertest.Broker) {
		crowd(3000, func(int) { utter(t, b, said) })
	})
}

// One and a half times a keep-alive of 1 s.
func silenceAfterConnect(t *testing.T, b *brokertest.Broker) {
	begun := time.Now()
	brief := func(p *packet.Connect) { p.KeepAlive = 1 }
	old := b.Connect("silent.4", brief, brokertest.V311)
	c := b.Connect("silent.5", brief)
	old.ExpectClosed()
	tells(mqtt.KeepAliveTimeout).check(t, c)
	if took := time.Since(begun); took < 1400*time.Millisecond || took > 4*time.Second {
		t.Errorf("closed after %v", took)
	}
}

// Of many connections with one client identifier one lives, whichever it is.
func takeoverStorm(t *testing.T, b *brokertest.Broker) {
	const clients = 200
	said := wire.Bytes(`10 ( "MQTT" 05 00 003c ( 11 0000003c ) "storm" )`)
	conns := make([]*net.TCPConn, clients)
	ended, pong := make(chan int, clients), make(chan int, clients)
	for i := range conns {
		conns[i] = raw(t, b)
		if _, err := conns[i].Write(said); err != nil {
			t.Fatal(err)
		}
		go func() {
			if readUntil(conns[i], packet.PINGRESP) {
				pong <- i
				readUntil(conns[i], 0)
			}
			_ = conns[i].Close()
			ended <- i
		}()
	}
	lives := make(map[int]bool)
	for i := range conns {
		lives[i] = true
	}
	for len(lives) > 1 {
		delete(lives, <-ended)
	}
	for i := range lives {
		if _, err := conns[i].Write(wire.Bytes(`c0 00`)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-pong:
		case <-ended:
			t.Error("the last one was closed, too")
			return
		}
	}
	c, a := b.TryConnect("storm", keeping(0))
	present(t, mqtt.V5, a, true)
	<-ended
	c.Disconnect()
}

// readUntil reads packets of MQTT 5 until one is of type last, and reports
// whether that came before the end of the connection.
func readUntil(nc net.Conn, last packet.Type) bool {
	d := packet.NewClientDecoder(mqtt.V5, 0)
	for {
		p, err := d.Next()
		if p != nil && p.Type() == last {
			return true
		}
		if err == nil && p == nil {
			err = d.Fill(nc)
		}
		if err != nil {
			return false
		}
	}
}

func sessionsLeftBehind(t *testing.T, b *brokertest.Broker) {
	const clients = 500
	name := func(i int) string { return "left behind " + number(i) }
	for i := range clients {
		b.Connect(name(i), keeping(0xFFFFFFFF)).Drop()
	}
	for i := range clients {
		c, a := b.TryConnect(name(i), keeping(0))
		present(t, mqtt.V5, a, true)
		c.Drop()
	}
}
