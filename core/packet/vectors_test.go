package packet_test

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// vector is one packet in both forms.
type vector struct {
	name string
	v    mqtt.Version
	wire string
	p    packet.Packet

	// server marks what only a server sends; the others go through the
	// broker's decoder, and those that both sides send through both.
	server bool

	// alias marks a legal form that is not the one our encoder writes.
	alias bool
}

// both says of a packet that either side may send it.
func (v *vector) both() bool {
	switch v.p.Type() {
	case packet.PUBLISH, packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP:
		return !v.server
	default:
		return false
	}
}

// plain is a CONNECT with what the decoder fills in for absent properties.
func plain(v mqtt.Version, change func(*packet.Connect)) *packet.Connect {
	p := &packet.Connect{Version: v, ReceiveMaximum: 65535, RequestProblemInfo: true}
	if change != nil {
		change(p)
	}
	return p
}

func publish(m mqtt.Message) *packet.Publish { return &packet.Publish{Message: m} }

var publishVectors = []vector{
	{
		name: "publish 3.1", v: mqtt.V31, wire: `30 ( "a/b" 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")}),
	},
	{
		name: "publish 3.1 QoS 0 with DUP, which means nothing", v: mqtt.V31, alias: true, wire: `38 ( "a/b" 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")}),
	},
	{
		name: "publish 3.1.1 empty payload retained", v: mqtt.V311, wire: `31 05 0003 'a/b'`,
		p: publish(mqtt.Message{Topic: "a/b", Retain: true}),
	},
	{
		name: "publish 3.1.1 QoS 1 duplicate", v: mqtt.V311, wire: `3a 09 0003 'a/b' 000a 'hi'`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("hi"), QoS: 1}, ID: 10, Dup: true,
		},
	},
	{
		name: "publish 3.1.1 QoS 2 retained", v: mqtt.V311, wire: `35 ( "a/b" ffff 'hi' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("hi"), QoS: 2, Retain: true}, ID: 65535,
		},
	},
	{
		name: "publish 3.1.1 of three bytes of length", v: mqtt.V311, wire: `30 83ca02 0001 'a' 78*42240`,
		p: publish(mqtt.Message{Topic: "a", Payload: []byte(strings.Repeat("x", 42240))}),
	},
	{
		name: "publish 3.1.1 topic of several scripts", v: mqtt.V311, wire: `30 ( "℃/Größe/😀" )`,
		p: publish(mqtt.Message{Topic: "℃/Größe/😀"}),
	},
	{
		name: "publish 3.1.1 topic of 65535 bytes", v: mqtt.V311, wire: `30 ( ffff 61*65535 )`,
		p: publish(mqtt.Message{Topic: strings.Repeat("a", 65535)}),
	},
	{
		name: "publish 5", v: mqtt.V5, wire: `30 ( "a/b" 00 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")}),
	},
	{
		name: "publish 5 by alias", v: mqtt.V5, wire: `32 ( 0000 0001 ( 23 0005 ) 'x' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Payload: []byte("x"), QoS: 1}, ID: 1, Alias: 5, HasAlias: true,
		},
	},
	{
		name: "publish 5 with all", v: mqtt.V5,
		wire: `34 ( "a/b" 0007 ( 23 ffff 01 00 02 00000000 03 "text" 08 "r" 09 0000 26 "" "" 26 "k" "v" ) 'x' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("x"), QoS: 2, Properties: &mqtt.Properties{
				HasPayloadFormat: true, HasExpiry: true, ContentType: "text", ResponseTopic: "r",
				CorrelationData: []byte{}, User: []mqtt.UserProperty{{}, {Key: "k", Value: "v"}},
			}}, ID: 7, Alias: 65535, HasAlias: true,
		},
	},
	{
		name: "publish 5 with properties in another order", v: mqtt.V5, alias: true,
		wire: `30 ( "a" ( 26 "k" "1" 03 "text" 26 "k" "2" 01 01 26 "j" "3" ) )`,
		p: publish(mqtt.Message{Topic: "a", Properties: &mqtt.Properties{
			HasPayloadFormat: true, PayloadIsUTF8: true, ContentType: "text",
			User: []mqtt.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}, {Key: "j", Value: "3"}},
		}}),
	},
	{
		name: "publish 5 with an empty content type", v: mqtt.V5, wire: `30 ( "a" ( 03 0000 ) )`,
		p: publish(mqtt.Message{Topic: "a", Properties: &mqtt.Properties{EmptyContentType: true}}),
	},
	{
		name: "publish 5 from a server", v: mqtt.V5, server: true, wire: `30 ( "a" ( 0b 01 0b ffffff7f 0b 8001 ) 'x' )`,
		p: &packet.Publish{
			Message:         mqtt.Message{Topic: "a", Payload: []byte("x")},
			SubscriptionIDs: []uint32{1, 268435455, 128},
		},
	},
}

var ackVectors = []vector{
	{name: "puback 3.1", v: mqtt.V31, wire: `40 02 0001`, p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{
		name: "pubrel 3.1 duplicate", v: mqtt.V31, alias: true, wire: `6a 02 0001`,
		p: &packet.Ack{Kind: packet.PUBREL, ID: 1},
	},
	{name: "puback 3.1.1", v: mqtt.V311, wire: `40 02 1234`, p: &packet.Ack{Kind: packet.PUBACK, ID: 0x1234}},
	{name: "pubrec 3.1.1", v: mqtt.V311, wire: `50 02 0001`, p: &packet.Ack{Kind: packet.PUBREC, ID: 1}},
	{name: "pubrel 3.1.1", v: mqtt.V311, wire: `62 02 0001`, p: &packet.Ack{Kind: packet.PUBREL, ID: 1}},
	{name: "pubcomp 3.1.1", v: mqtt.V311, wire: `70 02 ffff`, p: &packet.Ack{Kind: packet.PUBCOMP, ID: 65535}},
	{name: "puback 5", v: mqtt.V5, wire: `40 02 0001`, p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{
		name: "puback 5 with code", v: mqtt.V5, wire: `40 03 0001 10`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.NoMatchingSubscribers},
	},
	{
		name: "puback 5 with success written out", v: mqtt.V5, alias: true, wire: `40 03 0001 00`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1},
	},
	{
		name: "puback 5 with no properties written out", v: mqtt.V5, alias: true, wire: `40 04 0001 00 00`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1},
	},
	{
		name: "pubrec 5 with all", v: mqtt.V5, wire: `50 ( 0001 97 ( 1f "full" 26 "k" "v" ) )`,
		p: &packet.Ack{
			Kind: packet.PUBREC, ID: 1, Code: mqtt.QuotaExceeded, Reason: "full",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "pubrel 5 not found", v: mqtt.V5, wire: `62 03 0001 92`,
		p: &packet.Ack{Kind: packet.PUBREL, ID: 1, Code: mqtt.PacketIdentifierNotFound},
	},
	{
		name: "pubcomp 5 success with reason", v: mqtt.V5, wire: `70 ( 0001 00 ( 1f "done" ) )`,
		p: &packet.Ack{Kind: packet.PUBCOMP, ID: 1, Reason: "done"},
	},
}

var subscribeVectors = []vector{
	{
		name: "subscribe 3.1", v: mqtt.V31, wire: `82 ( 0001 "a/b" 01 )`,
		p: &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}}},
	},
	{
		name: "subscribe 3.1 duplicate, with bits that mean nothing there", v: mqtt.V31, alias: true,
		wire: `8a ( 0001 "a/b" fd )`,
		p:    &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}}},
	},
	{
		name: "subscribe 3.1.1", v: mqtt.V311, wire: `82 0e 000a 0003 'a/b' 01 0003 'c/#' 02`,
		p: &packet.Subscribe{
			ID: 10, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}, {Filter: "c/#", QoS: 2}},
		},
	},
	{
		name: "subscribe 5", v: mqtt.V5, wire: `82 ( 0001 00 "$share/g/a" 2a "b" 0d "" 10 )`,
		p: &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{
			{Filter: "$share/g/a", QoS: 2, RetainAsPublished: true, RetainHandling: mqtt.RetainDoNotSend},
			{Filter: "b", QoS: 1, NoLocal: true, RetainAsPublished: true},
			{Filter: "", RetainHandling: mqtt.RetainSendIfNew},
		}},
	},
	{
		name: "subscribe 5 with all", v: mqtt.V5, wire: `82 ( ffff ( 0b ffffff7f 26 "k" "v" ) "a" 00 )`,
		p: &packet.Subscribe{
			ID: 65535, SubscriptionID: 268435455, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
			Subscriptions: []mqtt.Subscription{{Filter: "a", ID: 268435455}},
		},
	},
	{
		name: "suback 3.1", v: mqtt.V31, server: true, wire: `90 04 0001 02 80`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS2, mqtt.UnspecifiedError}},
	},
	{
		name: "suback 3.1.1", v: mqtt.V311, server: true, wire: `90 06 0001 00 01 02 80`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0, 1, 2, mqtt.UnspecifiedError}},
	},
	{
		name: "suback 5", v: mqtt.V5, server: true, wire: `90 05 0001 00 02 8f`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS2, mqtt.TopicFilterInvalid}},
	},
	{
		name: "suback 5 with all", v: mqtt.V5, server: true, wire: `90 ( 0001 ( 1f "no" 26 "k" "v" ) 87 )`,
		p: &packet.Suback{
			ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}, Reason: "no",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "unsubscribe 3.1", v: mqtt.V31, wire: `a2 ( 0001 "a/b" )`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b"}},
	},
	{
		name: "unsubscribe 3.1 duplicate", v: mqtt.V31, alias: true, wire: `aa ( 0001 "a/b" )`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b"}},
	},
	{
		name: "unsubscribe 3.1.1", v: mqtt.V311, wire: `a2 0c 0001 0003 'a/b' 0003 'c/d'`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b", "c/d"}},
	},
	{
		name: "unsubscribe 5", v: mqtt.V5, wire: `a2 ( 0001 ( 26 "k" "v" ) "a" )`,
		p: &packet.Unsubscribe{
			ID: 1, Filters: []string{"a"}, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{name: "unsuback 3.1", v: mqtt.V31, server: true, wire: `b0 02 0001`, p: &packet.Unsuback{ID: 1}},
	{name: "unsuback 3.1.1", v: mqtt.V311, server: true, wire: `b0 02 0001`, p: &packet.Unsuback{ID: 1}},
	{
		name: "unsuback 5", v: mqtt.V5, server: true, wire: `b0 ( 0001 ( 1f "gone" 26 "k" "v" ) 00 11 )`,
		p: &packet.Unsuback{
			ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success, mqtt.NoSubscriptionExisted}, Reason: "gone",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
}

var otherVectors = []vector{
	{name: "pingreq 3.1", v: mqtt.V31, wire: `c0 00`, p: &packet.Pingreq{}},
	{name: "pingreq 3.1.1", v: mqtt.V311, wire: `c0 00`, p: &packet.Pingreq{}},
	{name: "pingreq 5", v: mqtt.V5, wire: `c0 00`, p: &packet.Pingreq{}},
	{name: "pingresp 3.1", v: mqtt.V31, server: true, wire: `d0 00`, p: &packet.Pingresp{}},
	{name: "pingresp 3.1.1", v: mqtt.V311, server: true, wire: `d0 00`, p: &packet.Pingresp{}},
	{name: "pingresp 5", v: mqtt.V5, server: true, wire: `d0 00`, p: &packet.Pingresp{}},
	{name: "disconnect 3.1", v: mqtt.V31, wire: `e0 00`, p: &packet.Disconnect{}},
	{name: "disconnect 3.1.1", v: mqtt.V311, wire: `e0 00`, p: &packet.Disconnect{}},
	{name: "disconnect 5", v: mqtt.V5, wire: `e0 00`, p: &packet.Disconnect{}},
	{name: "disconnect 5 with zero written out", v: mqtt.V5, alias: true, wire: `e0 01 00`, p: &packet.Disconnect{}},
	{
		name: "disconnect 5 with no properties written out", v: mqtt.V5, alias: true, wire: `e0 02 04 00`,
		p: &packet.Disconnect{Code: mqtt.DisconnectWithWill},
	},
	{name: "disconnect 5 with will", v: mqtt.V5, wire: `e0 01 04`, p: &packet.Disconnect{Code: mqtt.DisconnectWithWill}},
	{
		name: "disconnect 5 with new session expiry", v: mqtt.V5, wire: `e0 ( 00 ( 11 00000000 ) )`,
		p: &packet.Disconnect{HasSessionExpiry: true},
	},
	{
		name: "disconnect 5 with all", v: mqtt.V5, wire: `e0 ( 98 ( 11 00000e10 1c "other" 1f "bye" 26 "k" "v" ) )`,
		p: &packet.Disconnect{
			Code: mqtt.AdministrativeAction, SessionExpiry: 3600, HasSessionExpiry: true, ServerReference: "other",
			Reason: "bye", User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "disconnect 5 from a server", v: mqtt.V5, server: true, wire: `e0 01 8e`,
		p: &packet.Disconnect{Code: mqtt.SessionTakenOver},
	},
	{
		name: "disconnect 5 from a server with all", v: mqtt.V5, server: true,
		wire: `e0 ( 9d ( 1c "b:1883" 1f "moved" 26 "k" "v" ) )`,
		p: &packet.Disconnect{
			Code: mqtt.ServerMoved, ServerReference: "b:1883", Reason: "moved",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "auth continue", v: mqtt.V5, wire: `f0 ( 18 ( 15 "m" 16 "d" ) )`,
		p: &packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m", Data: []byte("d")},
	},
	{
		name: "auth again with all", v: mqtt.V5, wire: `f0 ( 19 ( 15 "m" 16 0000 1f "r" 26 "k" "v" ) )`,
		p: &packet.Auth{
			Code: mqtt.ReAuthenticate, Method: "m", Data: []byte{}, Reason: "r",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "auth success from a server", v: mqtt.V5, server: true, wire: `f0 ( 00 ( 15 "m" ) )`,
		p: &packet.Auth{Method: "m"},
	},
	{name: "auth success from a server, short", v: mqtt.V5, server: true, wire: `f0 00`, p: &packet.Auth{}},
}

func allVectors() []vector {
	var all []vector
	for _, part := range [][]vector{
		connectVectors, connackVectors, publishVectors, ackVectors, subscribeVectors, otherVectors,
	} {
		all = append(all, part...)
	}
	return all
}
