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

var connectVectors = []vector{
	{name: "connect 3.1", v: mqtt.V31, wire: `10 0f 0006 'MQIsdp' 03 02 003c 0001 'c'`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		})},
	{name: "connect 3.1 with will and credentials", v: mqtt.V31,
		wire: `10 ( "MQIsdp" 03 ee 0000 "c" "w/t" "gone" "u" "p" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.ClientID = true, "c"
			p.Will = &packet.Will{Topic: "w/t", Payload: []byte("gone"), QoS: 1, Retain: true}
			p.Username, p.HasUsername, p.Password, p.HasPassword = "u", true, []byte("p"), true
		})},
	{name: "connect 3.1 from a bridge", v: mqtt.V31, wire: `10 ( "MQIsdp" 83 00 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) { p.Bridge, p.KeepAlive, p.ClientID = true, 60, "c" })},
	{name: "connect 3.1 ends before the user name", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 c2 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		})},
	{name: "connect 3.1 ends before the password", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 c2 003c "c" "u" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID, p.Username, p.HasUsername = true, 60, "c", "u", true
		})},
	{name: "connect 3.1 with bits that mean nothing there", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 3b 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		})},
	{name: "connect 3.1.1", v: mqtt.V311, wire: `10 0d 0004 'MQTT' 04 02 003c 0001 'c'`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		})},
	{name: "connect 3.1.1 without client id", v: mqtt.V311, wire: `10 0c 0004 'MQTT' 04 02 0000 0000`,
		p: plain(mqtt.V311, func(p *packet.Connect) { p.CleanStart = true })},
	{name: "connect 3.1.1 with all", v: mqtt.V311, wire: `10 ( "MQTT" 04 f6 ffff "client" "w" 0000 "user" "pass" )`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 65535, "client"
			p.Will = &packet.Will{Topic: "w", QoS: 2, Retain: true}
			p.Username, p.HasUsername, p.Password, p.HasPassword = "user", true, []byte("pass"), true
		})},
	{name: "connect 3.1.1 with empty user name and password", v: mqtt.V311,
		wire: `10 ( "MQTT" 04 c0 0000 "c" 0000 0000 )`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.ClientID, p.HasUsername, p.HasPassword, p.Password = "c", true, true, []byte{}
		})},
	{name: "connect 3.1.1 from a bridge", v: mqtt.V311, wire: `10 ( "MQTT" 84 00 003c "c" )`,
		p: plain(mqtt.V311, func(p *packet.Connect) { p.Bridge, p.KeepAlive, p.ClientID = true, 60, "c" })},
	{name: "connect 3.1.1 with a remaining length of four bytes", v: mqtt.V311, alias: true,
		wire: `10 8d808000 0004 'MQTT' 04 02 003c 0001 'c'`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		})},
	{name: "connect 5", v: mqtt.V5, wire: `10 0d 0004 'MQTT' 05 00 0000 00 0000`, p: plain(mqtt.V5, nil)},
	{name: "connect 5 with password and no user name", v: mqtt.V5, wire: `10 ( "MQTT" 05 40 0000 00 0000 "secret" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) { p.Password, p.HasPassword = []byte("secret"), true })},
	{name: "connect 5 with all", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 f6 003c
			( 11 ffffffff 21 0014 27 00010000 22 000a 19 01 17 00 15 "scram" 16 "data" 26 "k" "v" 26 "k" "w" )
			"id"
			( 18 0000001e 01 01 02 0000003c 03 "text/plain" 08 "re/ply" 09 "corr" 26 "wk" "wv" )
			"will" "gone" "user" "pass" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "id"
			p.SessionExpiry, p.HasSessionExpiry = 0xFFFFFFFF, true
			p.ReceiveMaximum, p.MaximumPacketSize, p.TopicAliasMaximum = 20, 65536, 10
			p.RequestResponseInfo, p.RequestProblemInfo = true, false
			p.AuthMethod, p.HasAuthMethod, p.AuthData = "scram", true, []byte("data")
			p.User = []mqtt.UserProperty{{Key: "k", Value: "v"}, {Key: "k", Value: "w"}}
			p.Username, p.HasUsername, p.Password, p.HasPassword = "user", true, []byte("pass"), true
			p.Will = &packet.Will{Topic: "will", Payload: []byte("gone"), QoS: 2, Retain: true, Delay: 30,
				Properties: &mqtt.Properties{
					PayloadIsUTF8: true, HasPayloadFormat: true, Expiry: 60, HasExpiry: true,
					ContentType: "text/plain", ResponseTopic: "re/ply", CorrelationData: []byte("corr"),
					User: []mqtt.UserProperty{{Key: "wk", Value: "wv"}},
				}}
		})},
	{name: "connect 5 with defaults written out", v: mqtt.V5, alias: true,
		wire: `10 ( "MQTT" 05 02 003c ( 21 ffff 22 0000 19 00 17 01 ) "id" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "id"
		})},
	{name: "connect 5 with session expiry zero and an empty method", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 00 0000 ( 11 00000000 15 0000 ) "id" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.ClientID, p.HasSessionExpiry, p.HasAuthMethod = "id", true, true
		})},
	{name: "connect 5 with a will that has no properties", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 04 0000 00 "id" 00 "w" "x" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.ClientID, p.Will = "id", &packet.Will{Topic: "w", Payload: []byte("x")}
		})},
	{name: "connect 5 with a longest client id", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 00 0000 00 ffff 61*65535 )`,
		p:    plain(mqtt.V5, func(p *packet.Connect) { p.ClientID = strings.Repeat("a", 65535) })},
}

var connackVectors = []vector{
	{name: "connack 3.1", v: mqtt.V31, server: true, wire: `20 02 00 00`, p: &packet.Connack{}},
	{name: "connack 3.1 with a reserved byte", v: mqtt.V31, server: true, alias: true, wire: `20 02 ff 00`,
		p: &packet.Connack{}},
	{name: "connack 3.1.1 session present", v: mqtt.V311, server: true, wire: `20 02 01 00`,
		p: &packet.Connack{SessionPresent: true}},
	{name: "connack 3.1.1 version", v: mqtt.V311, server: true, wire: `20 02 00 01`,
		p: &packet.Connack{Code: mqtt.UnsupportedProtocolVersion}},
	{name: "connack 3.1.1 client id", v: mqtt.V311, server: true, wire: `20 02 00 02`,
		p: &packet.Connack{Code: mqtt.ClientIdentifierNotValid}},
	{name: "connack 3.1.1 unavailable", v: mqtt.V311, server: true, wire: `20 02 00 03`,
		p: &packet.Connack{Code: mqtt.ServerUnavailable}},
	{name: "connack 3.1.1 credentials", v: mqtt.V311, server: true, wire: `20 02 00 04`,
		p: &packet.Connack{Code: mqtt.BadUserNameOrPassword}},
	{name: "connack 3.1.1 not authorized", v: mqtt.V311, server: true, wire: `20 02 00 05`,
		p: &packet.Connack{Code: mqtt.NotAuthorized}},
	{name: "connack 5", v: mqtt.V5, server: true, wire: `20 03 00 00 00`, p: &packet.Connack{}},
	{name: "connack 5 refused", v: mqtt.V5, server: true, wire: `20 ( 00 87 ( 1f "no" ) )`,
		p: &packet.Connack{Code: mqtt.NotAuthorized, Reason: "no"}},
	{name: "connack 5 with all", v: mqtt.V5, server: true,
		wire: `20 ( 01 00 ( 11 0000000a 21 0014 24 01 25 00 27 00100000 12 "auto-1" 22 000a 28 00 29 00 2a 00
			13 001e 1a "resp/" 1c "other" 15 "scram" 16 "data" 1f "because" 26 "k" "v" ) )`,
		p: &packet.Connack{
			SessionPresent: true, SessionExpiry: 10, HasSessionExpiry: true, ReceiveMaximum: 20,
			MaximumQoS: 1, HasMaximumQoS: true, NoRetain: true, NoWildcard: true, NoSubscriptionIDs: true,
			NoShared: true, MaximumPacketSize: 1 << 20, AssignedClientID: "auto-1", TopicAliasMaximum: 10,
			ServerKeepAlive: 30, HasServerKeepAlive: true, ResponseInfo: "resp/", ServerReference: "other",
			AuthMethod: "scram", AuthData: []byte("data"), Reason: "because",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "connack 5 that says what is so anyway", v: mqtt.V5, server: true, alias: true,
		wire: `20 ( 00 00 ( 25 01 28 01 29 01 2a 01 22 0000 ) )`, p: &packet.Connack{}},
	{name: "connack 5 with keep alive and QoS zero", v: mqtt.V5, server: true,
		wire: `20 ( 00 00 ( 24 00 13 0000 ) )`,
		p:    &packet.Connack{HasMaximumQoS: true, HasServerKeepAlive: true}},
}

var publishVectors = []vector{
	{name: "publish 3.1", v: mqtt.V31, wire: `30 ( "a/b" 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")})},
	{name: "publish 3.1 QoS 0 with DUP, which means nothing", v: mqtt.V31, alias: true, wire: `38 ( "a/b" 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")})},
	{name: "publish 3.1.1 empty payload retained", v: mqtt.V311, wire: `31 05 0003 'a/b'`,
		p: publish(mqtt.Message{Topic: "a/b", Retain: true})},
	{name: "publish 3.1.1 QoS 1 duplicate", v: mqtt.V311, wire: `3a 09 0003 'a/b' 000a 'hi'`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("hi"), QoS: 1}, ID: 10, Dup: true,
		}},
	{name: "publish 3.1.1 QoS 2 retained", v: mqtt.V311, wire: `35 ( "a/b" ffff 'hi' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("hi"), QoS: 2, Retain: true}, ID: 65535,
		}},
	{name: "publish 3.1.1 of three bytes of length", v: mqtt.V311, wire: `30 83ca02 0001 'a' 78*42240`,
		p: publish(mqtt.Message{Topic: "a", Payload: []byte(strings.Repeat("x", 42240))})},
	{name: "publish 3.1.1 topic of several scripts", v: mqtt.V311, wire: `30 ( "℃/Größe/😀" )`,
		p: publish(mqtt.Message{Topic: "℃/Größe/😀"})},
	{name: "publish 3.1.1 topic of 65535 bytes", v: mqtt.V311, wire: `30 ( ffff 61*65535 )`,
		p: publish(mqtt.Message{Topic: strings.Repeat("a", 65535)})},
	{name: "publish 5", v: mqtt.V5, wire: `30 ( "a/b" 00 'hello' )`,
		p: publish(mqtt.Message{Topic: "a/b", Payload: []byte("hello")})},
	{name: "publish 5 by alias", v: mqtt.V5, wire: `32 ( 0000 0001 ( 23 0005 ) 'x' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Payload: []byte("x"), QoS: 1}, ID: 1, Alias: 5, HasAlias: true,
		}},
	{name: "publish 5 with all", v: mqtt.V5,
		wire: `34 ( "a/b" 0007 ( 23 ffff 01 00 02 00000000 03 "text" 08 "r" 09 0000 26 "" "" 26 "k" "v" ) 'x' )`,
		p: &packet.Publish{
			Message: mqtt.Message{Topic: "a/b", Payload: []byte("x"), QoS: 2, Properties: &mqtt.Properties{
				HasPayloadFormat: true, HasExpiry: true, ContentType: "text", ResponseTopic: "r",
				CorrelationData: []byte{}, User: []mqtt.UserProperty{{}, {Key: "k", Value: "v"}},
			}}, ID: 7, Alias: 65535, HasAlias: true,
		}},
	{name: "publish 5 with properties in another order", v: mqtt.V5, alias: true,
		wire: `30 ( "a" ( 26 "k" "1" 03 "text" 26 "k" "2" 01 01 26 "j" "3" ) )`,
		p: publish(mqtt.Message{Topic: "a", Properties: &mqtt.Properties{
			HasPayloadFormat: true, PayloadIsUTF8: true, ContentType: "text",
			User: []mqtt.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}, {Key: "j", Value: "3"}},
		}})},
	{name: "publish 5 with an empty content type, which is as good as none", v: mqtt.V5, alias: true,
		wire: `30 ( "a" ( 03 0000 ) )`, p: publish(mqtt.Message{Topic: "a"})},
	{name: "publish 5 from a server", v: mqtt.V5, server: true, wire: `30 ( "a" ( 0b 01 0b ffffff7f 0b 8001 ) 'x' )`,
		p: &packet.Publish{
			Message:         mqtt.Message{Topic: "a", Payload: []byte("x")},
			SubscriptionIDs: []uint32{1, 268435455, 128},
		}},
}

var ackVectors = []vector{
	{name: "puback 3.1", v: mqtt.V31, wire: `40 02 0001`, p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{name: "pubrel 3.1 duplicate", v: mqtt.V31, alias: true, wire: `6a 02 0001`,
		p: &packet.Ack{Kind: packet.PUBREL, ID: 1}},
	{name: "puback 3.1.1", v: mqtt.V311, wire: `40 02 1234`, p: &packet.Ack{Kind: packet.PUBACK, ID: 0x1234}},
	{name: "pubrec 3.1.1", v: mqtt.V311, wire: `50 02 0001`, p: &packet.Ack{Kind: packet.PUBREC, ID: 1}},
	{name: "pubrel 3.1.1", v: mqtt.V311, wire: `62 02 0001`, p: &packet.Ack{Kind: packet.PUBREL, ID: 1}},
	{name: "pubcomp 3.1.1", v: mqtt.V311, wire: `70 02 ffff`, p: &packet.Ack{Kind: packet.PUBCOMP, ID: 65535}},
	{name: "puback 5", v: mqtt.V5, wire: `40 02 0001`, p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{name: "puback 5 with code", v: mqtt.V5, wire: `40 03 0001 10`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.NoMatchingSubscribers}},
	{name: "puback 5 with success written out", v: mqtt.V5, alias: true, wire: `40 03 0001 00`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{name: "puback 5 with no properties written out", v: mqtt.V5, alias: true, wire: `40 04 0001 00 00`,
		p: &packet.Ack{Kind: packet.PUBACK, ID: 1}},
	{name: "pubrec 5 with all", v: mqtt.V5, wire: `50 ( 0001 97 ( 1f "full" 26 "k" "v" ) )`,
		p: &packet.Ack{
			Kind: packet.PUBREC, ID: 1, Code: mqtt.QuotaExceeded, Reason: "full",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "pubrel 5 not found", v: mqtt.V5, wire: `62 03 0001 92`,
		p: &packet.Ack{Kind: packet.PUBREL, ID: 1, Code: mqtt.PacketIdentifierNotFound}},
	{name: "pubcomp 5 success with reason", v: mqtt.V5, wire: `70 ( 0001 00 ( 1f "done" ) )`,
		p: &packet.Ack{Kind: packet.PUBCOMP, ID: 1, Reason: "done"}},
}

var subscribeVectors = []vector{
	{name: "subscribe 3.1", v: mqtt.V31, wire: `82 ( 0001 "a/b" 01 )`,
		p: &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}}}},
	{name: "subscribe 3.1 duplicate, with bits that mean nothing there", v: mqtt.V31, alias: true,
		wire: `8a ( 0001 "a/b" fd )`,
		p:    &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}}}},
	{name: "subscribe 3.1.1", v: mqtt.V311, wire: `82 0e 000a 0003 'a/b' 01 0003 'c/#' 02`,
		p: &packet.Subscribe{
			ID: 10, Subscriptions: []mqtt.Subscription{{Filter: "a/b", QoS: 1}, {Filter: "c/#", QoS: 2}},
		}},
	{name: "subscribe 5", v: mqtt.V5, wire: `82 ( 0001 00 "$share/g/a" 2a "b" 0d "" 10 )`,
		p: &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{
			{Filter: "$share/g/a", QoS: 2, RetainAsPublished: true, RetainHandling: mqtt.RetainDoNotSend},
			{Filter: "b", QoS: 1, NoLocal: true, RetainAsPublished: true},
			{Filter: "", RetainHandling: mqtt.RetainSendIfNew},
		}}},
	{name: "subscribe 5 with all", v: mqtt.V5, wire: `82 ( ffff ( 0b ffffff7f 26 "k" "v" ) "a" 00 )`,
		p: &packet.Subscribe{
			ID: 65535, SubscriptionID: 268435455, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
			Subscriptions: []mqtt.Subscription{{Filter: "a", ID: 268435455}},
		}},
	{name: "suback 3.1", v: mqtt.V31, server: true, wire: `90 04 0001 02 80`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS2, mqtt.UnspecifiedError}}},
	{name: "suback 3.1.1", v: mqtt.V311, server: true, wire: `90 06 0001 00 01 02 80`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0, 1, 2, mqtt.UnspecifiedError}}},
	{name: "suback 5", v: mqtt.V5, server: true, wire: `90 05 0001 00 02 8f`,
		p: &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.GrantedQoS2, mqtt.TopicFilterInvalid}}},
	{name: "suback 5 with all", v: mqtt.V5, server: true, wire: `90 ( 0001 ( 1f "no" 26 "k" "v" ) 87 )`,
		p: &packet.Suback{
			ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}, Reason: "no",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "unsubscribe 3.1", v: mqtt.V31, wire: `a2 ( 0001 "a/b" )`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b"}}},
	{name: "unsubscribe 3.1 duplicate", v: mqtt.V31, alias: true, wire: `aa ( 0001 "a/b" )`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b"}}},
	{name: "unsubscribe 3.1.1", v: mqtt.V311, wire: `a2 0c 0001 0003 'a/b' 0003 'c/d'`,
		p: &packet.Unsubscribe{ID: 1, Filters: []string{"a/b", "c/d"}}},
	{name: "unsubscribe 5", v: mqtt.V5, wire: `a2 ( 0001 ( 26 "k" "v" ) "a" )`,
		p: &packet.Unsubscribe{
			ID: 1, Filters: []string{"a"}, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "unsuback 3.1", v: mqtt.V31, server: true, wire: `b0 02 0001`, p: &packet.Unsuback{ID: 1}},
	{name: "unsuback 3.1.1", v: mqtt.V311, server: true, wire: `b0 02 0001`, p: &packet.Unsuback{ID: 1}},
	{name: "unsuback 5", v: mqtt.V5, server: true, wire: `b0 ( 0001 ( 1f "gone" 26 "k" "v" ) 00 11 )`,
		p: &packet.Unsuback{
			ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success, mqtt.NoSubscriptionExisted}, Reason: "gone",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
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
	{name: "disconnect 5 with no properties written out", v: mqtt.V5, alias: true, wire: `e0 02 04 00`,
		p: &packet.Disconnect{Code: mqtt.DisconnectWithWill}},
	{name: "disconnect 5 with will", v: mqtt.V5, wire: `e0 01 04`, p: &packet.Disconnect{Code: mqtt.DisconnectWithWill}},
	{name: "disconnect 5 with new session expiry", v: mqtt.V5, wire: `e0 ( 00 ( 11 00000000 ) )`,
		p: &packet.Disconnect{HasSessionExpiry: true}},
	{name: "disconnect 5 with all", v: mqtt.V5, wire: `e0 ( 98 ( 11 00000e10 1c "other" 1f "bye" 26 "k" "v" ) )`,
		p: &packet.Disconnect{
			Code: mqtt.AdministrativeAction, SessionExpiry: 3600, HasSessionExpiry: true, ServerReference: "other",
			Reason: "bye", User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "disconnect 5 from a server", v: mqtt.V5, server: true, wire: `e0 01 8e`,
		p: &packet.Disconnect{Code: mqtt.SessionTakenOver}},
	{name: "disconnect 5 from a server with all", v: mqtt.V5, server: true,
		wire: `e0 ( 9d ( 1c "b:1883" 1f "moved" 26 "k" "v" ) )`,
		p: &packet.Disconnect{
			Code: mqtt.ServerMoved, ServerReference: "b:1883", Reason: "moved",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "auth continue", v: mqtt.V5, wire: `f0 ( 18 ( 15 "m" 16 "d" ) )`,
		p: &packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m", Data: []byte("d")}},
	{name: "auth again with all", v: mqtt.V5, wire: `f0 ( 19 ( 15 "m" 16 0000 1f "r" 26 "k" "v" ) )`,
		p: &packet.Auth{
			Code: mqtt.ReAuthenticate, Method: "m", Data: []byte{}, Reason: "r",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		}},
	{name: "auth success from a server", v: mqtt.V5, server: true, wire: `f0 ( 00 ( 15 "m" ) )`,
		p: &packet.Auth{Method: "m"}},
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
