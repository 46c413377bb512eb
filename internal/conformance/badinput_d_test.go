package conformance_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// badSubscribe is what is wrong with SUBSCRIBE and UNSUBSCRIBE. MQTT 3.1.1 has
// one code for all that is wrong with a filter.
var badSubscribe = []bad{
	{id: "D01.4", after: mqtt.V311, raw: `82 02 0001`, want: ends()},
	{id: "D01.5", after: mqtt.V5, raw: `82 03 0001 00`, want: tells(mqtt.ProtocolError)},
	{id: "D02.4", after: mqtt.V311, raw: `82 ( 0000 "a" 00 )`, want: ends()},
	{id: "D+02.5", after: mqtt.V5, raw: `82 ( 0000 00 "a" 00 )`, want: tells(mqtt.ProtocolError)},
	{id: "D03.4", after: mqtt.V311, raw: `82 ( 0001 "a" )`, want: ends()},
	{id: "D03.5", after: mqtt.V5, raw: `82 ( 0001 00 "a" )`, want: tells(mqtt.MalformedPacket)},
	{id: "D04.4", after: mqtt.V311, raw: `82 ( 0001 "a" 03 )`, want: ends()},
	{id: "D04.5", after: mqtt.V5, raw: `82 ( 0001 00 "a" 03 )`, want: tells(mqtt.ProtocolError)},
	{id: "D05.4", after: mqtt.V311, raw: `82 ( 0001 "a" c0 )`, want: ends()},
	{id: "D05.5", after: mqtt.V5, raw: `82 ( 0001 00 "a" c0 )`, want: tells(mqtt.MalformedPacket)},
	{id: "D06.4", after: mqtt.V311, raw: `a2 02 0001`, want: ends()},
	{id: "D06.5", after: mqtt.V5, raw: `a2 03 0001 00`, want: tells(mqtt.ProtocolError)},
	{id: "D07.4", after: mqtt.V311, raw: `a2 ( 0001 00ff 'a' )`, want: ends()},
	{id: "D+07.5", after: mqtt.V5, raw: `a2 ( 0001 00 00ff 'a' )`, want: tells(mqtt.MalformedPacket)},
	{id: "D08.5", after: mqtt.V5, raw: `a2 ( 0000 00 "a" )`, want: tells(mqtt.ProtocolError)},
	{id: "D09.4", after: mqtt.V311, raw: `82 01 00`, want: ends()},
	{id: "D10.4.plus-glued", after: mqtt.V311, raw: `82 ( 0001 "+a" 00 )`, want: rejects(mqtt.UnspecifiedError)},
	{id: "D10.4.plus-glued2", after: mqtt.V311, raw: `82 ( 0001 "a+/b" 00 )`, want: rejects(mqtt.UnspecifiedError)},
	{id: "D10.4.hash2", after: mqtt.V311, raw: `82 ( 0001 "##" 00 )`, want: rejects(mqtt.UnspecifiedError)},
	{id: "D+10.4.empty", after: mqtt.V311, raw: `82 ( 0001 "" 00 )`, want: rejects(mqtt.UnspecifiedError)},
	{id: "D10.5.hash-mid", after: mqtt.V5, raw: `82 ( 0001 00 "a/#/b" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D10.5.plus-glued", after: mqtt.V5, raw: `82 ( 0001 00 "+a" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D10.5.plus-glued2", after: mqtt.V5, raw: `82 ( 0001 00 "a+/b" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D10.5.hash2", after: mqtt.V5, raw: `82 ( 0001 00 "##" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D+10.5.empty", after: mqtt.V5, raw: `82 ( 0001 00 "" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D11.4.nul", after: mqtt.V311, raw: `82 ( 0001 [ 'a' 00 'b' ] 00 )`, want: ends()},
	{id: "D11.4.surrogate", after: mqtt.V311, raw: `82 ( 0001 [ eda080 ] 00 )`, want: ends()},
	{id: "D11.4.c328", after: mqtt.V311, raw: `82 ( 0001 [ c328 ] 00 )`, want: ends()},
	{id: "D11.5.c328", after: mqtt.V5, raw: `82 ( 0001 00 [ c328 ] 00 )`, want: tells(mqtt.MalformedPacket)},
	{id: "D12", after: mqtt.V5, raw: `82 ( 0001 00 "a" 30 )`, want: tells(mqtt.ProtocolError)},
	{id: "D13", after: mqtt.V5, raw: `82 ( 0001 00 "$share/g/a" 04 )`, want: tells(mqtt.ProtocolError)},
	{id: "D14.notopic", after: mqtt.V5, raw: `82 ( 0001 00 "$share/g" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D14.plus", after: mqtt.V5, raw: `82 ( 0001 00 "$share/g+/a" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D14.hash", after: mqtt.V5, raw: `82 ( 0001 00 "$share/#/a" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D14.bare", after: mqtt.V5, raw: `82 ( 0001 00 "$share/" 00 )`, want: rejects(mqtt.TopicFilterInvalid)},
	{id: "D15", after: mqtt.V5, raw: `82 ( 0001 ( 0b 00 ) "a" 00 )`, want: tells(mqtt.ProtocolError)},
	{id: "D16", after: mqtt.V5, raw: `82 ( 0001 ( 0b 8080808001 ) "a" 00 )`, want: tells(mqtt.MalformedPacket)},
	{id: "D+17", after: mqtt.V5, raw: `82 ( 0001 ( 0b 01 0b 02 ) "a" 00 )`, want: tells(mqtt.ProtocolError)},
	{id: "D18", after: mqtt.V5, raw: `82 ( 0001 ( 23 0001 ) "a" 00 )`, want: tells(mqtt.MalformedPacket)},
	{
		id: "D20", after: mqtt.V5, raw: `a2 ( 0001 00 "never" )`,
		want: says(&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NoSubscriptionExisted}}),
	},
	{id: "D21", run: wildcardsAndDollar},
	{id: "D22", run: subscribeAndUnsubscribe},
	{id: "D+retained", run: subscribeWithoutReading},
}

func wildcardsAndDollar(_ *testing.T, b *brokertest.Broker) {
	c := b.Connect("wild")
	c.Subscribe(1, "#", "+/x", "+/broker/version")
	b.Connect("wild publisher").Publish(retained("$test/x", "x", 1), mqtt.NoMatchingSubscribers)
	late := b.Connect("late")
	late.Subscribe(1, "#", "+/x", "+/+/#")
	nothing(c, late)
}

func subscribeAndUnsubscribe(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 32, func(b *brokertest.Broker) {
		const atOnce = 50
		c := b.Connect("fickle")
		both := []packet.Packet{
			&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "fickle/+/#"}}},
			&packet.Unsubscribe{ID: 2, Filters: []string{"fickle/+/#"}},
		}
		answers := []packet.Packet{
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}}, &packet.Unsuback{ID: 2, Codes: []mqtt.ReasonCode{0}},
		}
		for range 5000 / atOnce {
			c.Send(slices.Repeat(both, atOnce)...)
			c.Expect(slices.Repeat(answers, atOnce)...)
			c.Publish(say("fickle/a/b", "x", 1), mqtt.NoMatchingSubscribers)
		}
	})
}

// A client that subscribes to all retained messages again and again and reads
// none of them, once by one filter and once by many.
func subscribeWithoutReading(t *testing.T, _ *brokertest.Broker) {
	startProcess(t).staysWithin(t, 64, func(b *brokertest.Broker) {
		const topics, levels = 10_000, 11
		pub := b.Connect("retainer")
		prefix := strings.Repeat("a/", levels)
		for i := range topics {
			pub.Send(&packet.Publish{Message: retained(prefix+number(i), "0123456789", 0)})
		}
		pub.ExpectNothing()
		for _, distinct := range []bool{false, true} {
			c := b.Connect("greedy " + strconv.FormatBool(distinct))
			for i := range 1 << levels {
				filter := "#"
				for bit := range levels {
					if distinct && i>>bit&1 == 1 {
						filter = "+/" + filter
					} else {
						filter = "a/" + filter
					}
				}
				c.Send(&packet.Subscribe{ID: uint16(i + 1), Subscriptions: []mqtt.Subscription{{Filter: filter}}})
			}
		}
		b.Connect("other").ExpectNothing()
	})
}
