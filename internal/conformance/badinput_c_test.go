package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// badPublish is what is wrong with PUBLISH and with its acknowledgements.
var badPublish = []bad{
	{id: "C01.5", after: mqtt.V5, raw: `36 ( "a" 0001 00 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C+01.4", after: mqtt.V311, raw: `36 ( "a" 0001 'x' )`, want: ends()},
	{id: "C02.5", after: mqtt.V5, raw: `38 ( "a" 00 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C+02.4", after: mqtt.V311, raw: `38 ( "a" 'x' )`, want: ends()},
	{id: "C03.5", after: mqtt.V5, raw: `30 ( "a/+" 00 'x' )`, want: tells(mqtt.TopicNameInvalid)},
	{id: "C04.4", after: mqtt.V311, raw: `30 ( "#" 'x' )`, want: ends()},
	{id: "C04.5", after: mqtt.V5, raw: `30 ( "#" 00 'x' )`, want: tells(mqtt.TopicNameInvalid)},
	{id: "C05.4", after: mqtt.V311, raw: `30 ( "" 'x' )`, want: ends()},
	{id: "C05.5", after: mqtt.V5, raw: `30 ( "" 00 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C06.5", after: mqtt.V5, raw: `30 ( [ 'a' 00 'b' ] 00 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C+06.4", after: mqtt.V311, raw: `30 ( [ 'a' 00 'b' ] 'x' )`, want: ends()},
	{id: "C07.4", after: mqtt.V311, raw: `30 ( [ eda080 ] 'x' )`, want: ends()},
	{id: "C07.5", after: mqtt.V5, raw: `30 ( [ eda080 ] 00 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C08.4", after: mqtt.V311, raw: `32 ( "a" 0000 'x' )`, want: ends()},
	{id: "C+08.5", after: mqtt.V5, raw: `32 ( "a" 0000 00 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C09.4", after: mqtt.V311, raw: `32 ( "a" )`, want: ends()},
	{id: "C09.5", after: mqtt.V5, raw: `32 ( "a" )`, want: tells(mqtt.MalformedPacket)},
	{id: "C10.5", after: mqtt.V5, raw: `30 ( 00ff 'abc' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C11.4", after: mqtt.V311, raw: `30 00`, want: ends()},
	{id: "C11.5", after: mqtt.V5, raw: `30 00`, want: tells(mqtt.MalformedPacket)},
	{id: "C12", after: mqtt.V5, raw: `30 ( "a" ( 23 0000 ) 'x' )`, want: tells(mqtt.TopicAliasInvalid)},
	{id: "C13", after: mqtt.V5, raw: `30 ( "a" ( 23 ffff ) 'x' )`, want: tells(mqtt.TopicAliasInvalid)},
	{id: "C14", after: mqtt.V5, raw: `30 ( "" ( 23 0001 ) 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C+15", after: mqtt.V5, raw: `30 ( "a" ( 23 0001 23 0002 ) 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C16", after: mqtt.V5, raw: `30 ( "a" ( 0b 01 ) 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C17", after: mqtt.V5, raw: `30 ( "a" ( 01 02 ) 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C+18", after: mqtt.V5, raw: `30 ( "a" ( 08 "b/#" ) 'x' )`, want: tells(mqtt.TopicNameInvalid)},
	{id: "C19", after: mqtt.V5, raw: `30 ( "a" ( 02 00000001 02 00000001 ) 'x' )`, want: tells(mqtt.ProtocolError)},
	{id: "C20", after: mqtt.V5, raw: `30 ( "a" ( 11 00000001 ) 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C21", after: mqtt.V5, raw: `30 ( "a" 7f 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C22", after: mqtt.V5, raw: `30 ( "a" ( 03 [ c328 ] ) 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C23", after: mqtt.V5, raw: `30 ( "a" ( 26 [ c328 ] "v" ) 'x' )`, want: tells(mqtt.MalformedPacket)},
	{id: "C24", run: payloadFormats},
	{id: "C25", run: longTopic},
	{id: "C26", after: mqtt.V5, raw: `82 ( 0001 00 [ 2f*65535 ] 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "C+26.publish", after: mqtt.V5, raw: `30 ( [ 2f*65535 ] 00 'x' )`, want: tells(mqtt.TopicNameInvalid)},
	{id: "C28", run: deepWildcards},
	{id: "C29", run: overlappingFilters},
	{id: "C30", after: mqtt.V5, raw: `30 ( "a" 00 61*2000000 )`, want: tells(mqtt.PacketTooLarge)},
	{id: "C+30.4", after: mqtt.V311, raw: `30 ( "a" 61*2000000 )`, want: ends()},
	{id: "C31", run: receiveMaximumExceeded},
	{
		id: "C33", after: mqtt.V5, raw: `62 02 0001`,
		want: says(&packet.Ack{Kind: packet.PUBCOMP, ID: 1, Code: mqtt.PacketIdentifierNotFound}),
	},
	{id: "C34", after: mqtt.V311, raw: `62 02 0001`, want: says(ack(packet.PUBCOMP, 1))},
	{id: "C+35", after: mqtt.V5, raw: `40 02 0001 c0 00`, want: says(&packet.Pingresp{})},
	{
		id: "C+36", after: mqtt.V5, raw: `50 02 0001`,
		want: says(&packet.Ack{Kind: packet.PUBREL, ID: 1, Code: mqtt.PacketIdentifierNotFound}),
	},
	{id: "C+37", after: mqtt.V5, raw: `70 02 0001 c0 00`, want: says(&packet.Pingresp{})},
	{id: "C38", after: mqtt.V5, raw: `40 01 00`, want: tells(mqtt.MalformedPacket)},
	{id: "C39", after: mqtt.V5, raw: `40 03 0001 02`, want: tells(mqtt.ProtocolError)},
	{id: "C40", run: dollarTopics},
	{id: "C41", run: publishToSys},
	{id: "C42", run: manyRetained},
}

// The format of payloads is the receiver's business, unless the broker is told
// to check it.
func payloadFormats(t *testing.T, b *brokertest.Broker) {
	m := say("format", "\xff", 1)
	m.Properties = &mqtt.Properties{HasPayloadFormat: true, PayloadIsUTF8: true}
	c := b.Connect("format")
	c.Subscribe(0, "format")
	b.Connect("format publisher").Publish(m, mqtt.Success)
	c.ExpectMessage("format", "\xff")
	strict := brokertest.Start(t, broker.Options{CheckPayloadFormat: true})
	strict.Connect("format").Publish(m, mqtt.PayloadFormatInvalid)
}

func longTopic(_ *testing.T, b *brokertest.Broker) {
	topic := strings.Repeat("a", 65_535)
	c := b.Connect("long topic")
	c.Subscribe(1, topic)
	b.Connect("long topic publisher").Publish(say(topic, "x", 1), mqtt.Success)
	c.ExpectMessage(topic, "x")
}

// What takes longer than this on any machine grows with more than its size.
const blowUp = 3 * time.Second

func deepWildcards(t *testing.T, b *brokertest.Broker) {
	begun := time.Now()
	c := b.Connect("deep")
	plus := func(n int) mqtt.Subscription { return mqtt.Subscription{Filter: strings.Repeat("+/", n-1) + "+"} }
	if codes := subscribe(t, c, plus(300)); codes[0] != mqtt.TopicFilterInvalid {
		t.Errorf("300 levels: %v", codes[0])
	}
	// All that a filter of 128 levels can be, at every level "+" or not.
	var subs []mqtt.Subscription
	for n := 1; n <= 128; n++ {
		subs = append(subs, plus(n), mqtt.Subscription{Filter: strings.Repeat("+/a/", n/2) + "#"})
	}
	subscribe(t, c, subs...)
	pub := b.Connect("deep publisher")
	topic := strings.Repeat("a/", 127) + "a"
	for range 100 {
		pub.Publish(say(topic, "x", 1), mqtt.Success)
		c.ExpectMessage(topic, "x")
	}
	if took := time.Since(begun); took > blowUp {
		t.Errorf("took %v", took)
	}
}

// A client whose subscriptions overlap gets one copy, with all their
// identifiers.
func overlappingFilters(t *testing.T, b *brokertest.Broker) {
	begun := time.Now()
	levels := strings.Split("a/b/c/d/e/f/g/h/i/j/k/l", "/")
	c := b.Connect("overlap")
	for i := range 60 {
		filter := append([]string(nil), levels...)
		for bit := range 6 {
			if (i+1)>>bit&1 == 1 {
				filter[2*bit] = "+"
			}
		}
		subscribeAs(t, c, uint32(i+1), mqtt.Subscription{Filter: strings.Join(filter, "/")})
	}
	b.Connect("overlap publisher").Publish(say(strings.Join(levels, "/"), "x", 1), mqtt.Success)
	if p := next(t, c); len(p.SubscriptionIDs) != 60 {
		t.Errorf("%d subscription identifiers", len(p.SubscriptionIDs))
	}
	c.ExpectNothing()
	if took := time.Since(begun); took > blowUp {
		t.Errorf("took %v", took)
	}
}

func receiveMaximumExceeded(t *testing.T, b *brokertest.Broker) {
	c, a := b.TryConnect("greedy")
	if a.ReceiveMaximum == 0 {
		t.Fatal("no receive maximum was advertised")
	}
	for i := range a.ReceiveMaximum {
		c.Send(&packet.Publish{ID: i + 1, Message: say("greedy", "x", 2)})
		expectAck(t, c, packet.PUBREC, i+1)
	}
	c.Send(&packet.Publish{ID: a.ReceiveMaximum + 1, Message: say("greedy", "x", 2)})
	tells(mqtt.ReceiveMaximumExceeded).check(t, c)
}

func dollarTopics(t *testing.T, b *brokertest.Broker) {
	c := b.Connect("dollar")
	all := b.Connect("all")
	all.Subscribe(1, "#", "+/#")
	for _, topic := range []string{"$foo/bar", "$", "$share/g/t", "$share", "$CONTROL/x/v1", "$queue/x"} {
		c.Publish(say(topic, "x", 1), mqtt.NoMatchingSubscribers)
	}
	nothing(all)
	all.Subscribe(1, "$foo/+")
	c.Publish(say("$foo/bar", "x", 1), mqtt.Success)
	all.ExpectMessage("$foo/bar", "x")
	if codes := subscribe(t, c, mqtt.Subscription{Filter: "$share/g"}); codes[0] != mqtt.TopicFilterInvalid {
		t.Errorf("a share without filter: %v", codes[0])
	}
}

func publishToSys(t *testing.T, b *brokertest.Broker) {
	reader := b.Connect("sys reader")
	reader.Subscribe(1, "$SYS/#")
	for _, v := range versions {
		c := b.Connect("sys writer", speaking(v))
		for _, q := range []mqtt.QoS{0, 1, 2} {
			send(t, c, retained("$SYS/broker/version", "mine", q))
			send(t, c, say("$SYS", "mine", q))
		}
	}
	nothing(reader)
}

func manyRetained(t *testing.T, b *brokertest.Broker) {
	const n = 3000
	payload := strings.Repeat("x", 1000)
	pub := b.Connect("retainer")
	topic := func(i int) string { return "retained/" + number(i) }
	for i := range n {
		pub.Send(&packet.Publish{Message: retained(topic(i), payload, 0)})
	}
	pub.ExpectNothing()
	reader := b.Connect("reader")
	reader.Subscribe(0, "#")
	seen := make(map[string]bool)
	for len(seen) < n {
		seen[next(t, reader).Message.Topic] = true
	}
	for i := range n {
		pub.Send(&packet.Publish{Message: retained(topic(i), "", 0)})
	}
	pub.ExpectNothing()
	again := b.Connect("reader again")
	again.Subscribe(0, "retained/#")
	nothing(again)
}
