package conformance_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// badConduct is what is wrong with the rest: ends of connections, and clients
// that keep to the form and still do harm.
var badConduct = []bad{
	{id: "E01", after: mqtt.V5, raw: `e0 ( 00 ( 11 0000003c ) )`, want: tells(mqtt.ProtocolError)},
	{id: "E02", after: mqtt.V5, raw: `e0 01 02`, want: tells(mqtt.ProtocolError)},
	{id: "E+02.server", after: mqtt.V5, raw: `e0 01 8b`, want: tells(mqtt.ProtocolError)},
	{id: "E+02.body", after: mqtt.V311, raw: `e0 01 00`, want: ends()},
	{id: "E03", after: mqtt.V5, raw: `f0 ( 18 ( 15 "method" ) )`, want: tells(mqtt.ProtocolError)},
	{id: "E+03.again", after: mqtt.V5, raw: `f0 ( 19 ( 15 "method" ) )`, want: tells(mqtt.ProtocolError)},
	{id: "E05", run: willOfOffender},
	{id: "E06", run: willFlood},
	{id: "E07", run: publishAfterDisconnect},
	{id: "E08", run: pingWithoutReading},
	{id: "E09", run: neverReads},
	{id: "E10", run: neverAcknowledges},
	{id: "E11", run: offlineQueue},
	{id: "E12", run: largerThanClientTakes},
	{id: "E13", run: randomBytes},
	{id: "E14", run: bitFlips},
	{id: "E15", run: everyPacketType},
}

func willOfOffender(t *testing.T, b *brokertest.Broker) {
	reader := b.Connect("heir")
	reader.Subscribe(1, "will")
	for _, v := range versions {
		c := b.Connect("offender", speaking(v), leaving(packet.Will{Topic: "will", Payload: []byte("last"), QoS: 1}))
		c.SendBytes([]byte{0, 0})
		closes(t, c, v, mqtt.MalformedPacket)
		reader.ExpectMessage("will", "last")
	}
}

func willFlood(t *testing.T, b *brokertest.Broker) {
	will := leaving(packet.Will{Topic: "will", Payload: make([]byte, 1000), Delay: 0xFFFFFFFF, Retain: true})
	name := func(i int) string { return "testator " + number(i) }
	for i := range 300 {
		b.Connect(name(i), will, keeping(0xFFFFFFFF)).Drop()
	}
	// They are there, and can be had back.
	for i := range 300 {
		c, a := b.TryConnect(name(i), keeping(0))
		present(t, mqtt.V5, a, true)
		c.Disconnect()
	}
}

func publishAfterDisconnect(_ *testing.T, b *brokertest.Broker) {
	reader := b.Connect("listener")
	reader.Subscribe(1, "after")
	for _, v := range versions {
		c := b.Connect("chatter", speaking(v))
		c.Send(&packet.Disconnect{}, &packet.Publish{Message: say("after", "x", 0)})
		c.ExpectClosed()
	}
	nothing(reader)
}

func largerThanClientTakes(_ *testing.T, b *brokertest.Broker) {
	small := b.Connect("small", func(p *packet.Connect) { p.MaximumPacketSize = 100 })
	small.Subscribe(1, "size")
	pub := b.Connect("large")
	pub.Publish(say("size", string(make([]byte, 10_000)), 1), mqtt.Success)
	nothing(small)
	pub.Publish(say("size", "fits", 1), mqtt.Success)
	small.ExpectMessage("size", "fits")
}

// seeded returns numbers that are the same in every run.
func seeded() *rand.Rand { return rand.New(rand.NewPCG(3, 2026)) }

func randomBytes(t *testing.T, b *brokertest.Broker) {
	r := seeded()
	said := make([][]byte, 400)
	for i := range said {
		if i%2 == 0 {
			said[i] = wire.Bytes(connectAs(versions[i/2%3], "random"+number(i)))
		}
		for range 1 + r.IntN(300) {
			said[i] = append(said[i], byte(r.Uint32()))
		}
	}
	crowd(len(said), func(i int) { utter(t, b, said[i]) })
}

// dialogues are good from beginning to end; what bits in them become is not.
var dialogues = []string{
	connectAs(mqtt.V31, "flip") + ` 82 ( 0001 "flip/#" 01 ) 32 ( "flip/x" 0002 'x' ) e0 00`,
	connectAs(mqtt.V311, "flip") + ` 82 ( 0001 "flip/#" 02 ) 34 ( "flip/x" 0002 'x' ) 62 02 0002 e0 00`,
	connectAs(mqtt.V311, "flip") + ` 31 ( "flip/x" 'x' ) a2 ( 0001 "flip/#" ) c0 00 e0 00`,
	`10 ( "MQTT" 04 ee 003c "flip" "flip/will" "gone" "user" "password" ) c0 00`,
	connectAs(mqtt.V5, "flip") + ` 82 ( 0001 ( 0b 05 26 "k" "v" ) "flip/#" 2d "$share/g/flip/+" 01 ) e0 00`,
	connectAs(mqtt.V5, "flip") + ` 33 ( "flip/x" 0001 ( 01 01 02 0000003c 03 "text" 08 "r" 09 "c" 26 "k" "v" ) 'x' ) e0 00`,
	connectAs(mqtt.V5, "flip") + ` 30 ( "flip/x" ( 23 0001 ) 'x' ) 30 ( "" ( 23 0001 ) 'y' ) e0 02 00 00`,
	connectAs(mqtt.V5, "flip") + ` 34 ( "flip/x" 0007 00 'x' ) 62 ( 0007 00 00 ) 40 ( 0001 10 ) 50 ( 0001 ) 70 ( 0001 92 )`,
	`10 ( "MQTT" 05 2e 003c ( 11 0000003c 21 0010 27 00001000 22 0010 19 01 17 00 26 "k" "v" ) "flip"
		( 18 0000003c 01 00 02 0000003c 03 "t" 08 "r" 09 "c" 26 "k" "v" ) "flip/will" "gone" ) c0 00`,
	connectAs(mqtt.V5, "flip") + ` a2 ( 0001 ( 26 "k" "v" ) "flip/#" "x" ) e0 ( 04 ( 11 00000000 1f "why" 26 "k" "v" ) )`,
	`10 ( "MQTT" 05 c2 003c ( 15 "method" 16 "data" ) "flip" "user" "password" ) f0 ( 18 ( 15 "method" 16 "data" ) )`,
	connectAs(mqtt.V5, "flip") + ` 82 ( 0001 00 "flip/+" 00 ) 30 ( "flip/x" 00 61*200 ) c0 00 c0 00`,
}

func bitFlips(t *testing.T, b *brokertest.Broker) {
	const mutations = 1500
	r := seeded()
	said := make([][]byte, 0, mutations)
	for len(said) < mutations {
		s := wire.Bytes(dialogues[len(said)%len(dialogues)])
		for range 1 + r.IntN(3) {
			s[r.IntN(len(s))] ^= 1 << r.IntN(8)
		}
		said = append(said, s)
	}
	crowd(len(said), func(i int) { utter(t, b, said[i]) })
}

func everyPacketType(t *testing.T, b *brokertest.Broker) {
	var said [][]byte
	for _, v := range []mqtt.Version{mqtt.V311, mqtt.V5} {
		prelude := wire.Bytes(connectAs(v, ""))
		for kind := range 16 {
			for n := range 13 {
				for _, body := range []byte{0x00, 0xff} {
					flags := byte(0)
					if kind == 6 || kind == 8 || kind == 10 {
						flags = 2
					}
					s := append(bytes.Clone(prelude), byte(kind)<<4|flags, byte(n))
					said = append(said, append(s, bytes.Repeat([]byte{body}, n)...))
				}
			}
		}
	}
	crowd(len(said), func(i int) { utter(t, b, said[i]) })
}
