package packet_test

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

var connectVectors = []vector{
	{
		name: "connect 3.1", v: mqtt.V31, wire: `10 0f 0006 'MQIsdp' 03 02 003c 0001 'c'`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		}),
	},
	{
		name: "connect 3.1 with will and credentials", v: mqtt.V31,
		wire: `10 ( "MQIsdp" 03 ee 0000 "c" "w/t" "gone" "u" "p" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.ClientID = true, "c"
			p.Will = &packet.Will{Topic: "w/t", Payload: []byte("gone"), QoS: 1, Retain: true}
			p.Username, p.HasUsername, p.Password, p.HasPassword = "u", true, []byte("p"), true
		}),
	},
	{
		name: "connect 3.1 from a bridge", v: mqtt.V31, wire: `10 ( "MQIsdp" 83 00 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) { p.Bridge, p.KeepAlive, p.ClientID = true, 60, "c" }),
	},
	{
		name: "connect 3.1 ends before the user name", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 c2 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		}),
	},
	{
		name: "connect 3.1 ends before the password", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 c2 003c "c" "u" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID, p.Username, p.HasUsername = true, 60, "c", "u", true
		}),
	},
	{
		name: "connect 3.1 with bits that mean nothing there", v: mqtt.V31, alias: true,
		wire: `10 ( "MQIsdp" 03 3b 003c "c" )`,
		p: plain(mqtt.V31, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		}),
	},
	{
		name: "connect 3.1.1", v: mqtt.V311, wire: `10 0d 0004 'MQTT' 04 02 003c 0001 'c'`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		}),
	},
	{
		name: "connect 3.1.1 without client id", v: mqtt.V311, wire: `10 0c 0004 'MQTT' 04 02 0000 0000`,
		p: plain(mqtt.V311, func(p *packet.Connect) { p.CleanStart = true }),
	},
	{
		name: "connect 3.1.1 with all", v: mqtt.V311, wire: `10 ( "MQTT" 04 f6 ffff "client" "w" 0000 "user" "pass" )`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 65535, "client"
			p.Will = &packet.Will{Topic: "w", QoS: 2, Retain: true}
			p.Username, p.HasUsername, p.Password, p.HasPassword = "user", true, []byte("pass"), true
		}),
	},
	{
		name: "connect 3.1.1 with empty user name and password", v: mqtt.V311,
		wire: `10 ( "MQTT" 04 c0 0000 "c" 0000 0000 )`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.ClientID, p.HasUsername, p.HasPassword, p.Password = "c", true, true, []byte{}
		}),
	},
	{
		name: "connect 3.1.1 from a bridge", v: mqtt.V311, wire: `10 ( "MQTT" 84 00 003c "c" )`,
		p: plain(mqtt.V311, func(p *packet.Connect) { p.Bridge, p.KeepAlive, p.ClientID = true, 60, "c" }),
	},
	{
		name: "connect 3.1.1 with a remaining length of four bytes", v: mqtt.V311, alias: true,
		wire: `10 8d808000 0004 'MQTT' 04 02 003c 0001 'c'`,
		p: plain(mqtt.V311, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "c"
		}),
	},
	{name: "connect 5", v: mqtt.V5, wire: `10 0d 0004 'MQTT' 05 00 0000 00 0000`, p: plain(mqtt.V5, nil)},
	{
		name: "connect 5 with password and no user name", v: mqtt.V5, wire: `10 ( "MQTT" 05 40 0000 00 0000 "secret" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) { p.Password, p.HasPassword = []byte("secret"), true }),
	},
	{
		name: "connect 5 with all", v: mqtt.V5,
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
			p.Will = &packet.Will{
				Topic: "will", Payload: []byte("gone"), QoS: 2, Retain: true, Delay: 30,
				Properties: &mqtt.Properties{
					PayloadIsUTF8: true, HasPayloadFormat: true, Expiry: 60, HasExpiry: true,
					ContentType: "text/plain", ResponseTopic: "re/ply", CorrelationData: []byte("corr"),
					User: []mqtt.UserProperty{{Key: "wk", Value: "wv"}},
				},
			}
		}),
	},
	{
		name: "connect 5 with defaults written out", v: mqtt.V5, alias: true,
		wire: `10 ( "MQTT" 05 02 003c ( 21 ffff 22 0000 19 00 17 01 ) "id" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.CleanStart, p.KeepAlive, p.ClientID = true, 60, "id"
		}),
	},
	{
		name: "connect 5 with session expiry zero and an empty method", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 00 0000 ( 11 00000000 15 0000 ) "id" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.ClientID, p.HasSessionExpiry, p.HasAuthMethod = "id", true, true
		}),
	},
	{
		name: "connect 5 with a will that has no properties", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 04 0000 00 "id" 00 "w" "x" )`,
		p: plain(mqtt.V5, func(p *packet.Connect) {
			p.ClientID, p.Will = "id", &packet.Will{Topic: "w", Payload: []byte("x")}
		}),
	},
	{
		name: "connect 5 with a longest client id", v: mqtt.V5,
		wire: `10 ( "MQTT" 05 00 0000 00 ffff 61*65535 )`,
		p:    plain(mqtt.V5, func(p *packet.Connect) { p.ClientID = strings.Repeat("a", 65535) }),
	},
}

var connackVectors = []vector{
	{name: "connack 3.1", v: mqtt.V31, server: true, wire: `20 02 00 00`, p: &packet.Connack{}},
	{
		name: "connack 3.1 with a reserved byte", v: mqtt.V31, server: true, alias: true, wire: `20 02 ff 00`,
		p: &packet.Connack{},
	},
	{
		name: "connack 3.1.1 session present", v: mqtt.V311, server: true, wire: `20 02 01 00`,
		p: &packet.Connack{SessionPresent: true},
	},
	{
		name: "connack 3.1.1 version", v: mqtt.V311, server: true, wire: `20 02 00 01`,
		p: &packet.Connack{Code: mqtt.UnsupportedProtocolVersion},
	},
	{
		name: "connack 3.1.1 client id", v: mqtt.V311, server: true, wire: `20 02 00 02`,
		p: &packet.Connack{Code: mqtt.ClientIdentifierNotValid},
	},
	{
		name: "connack 3.1.1 unavailable", v: mqtt.V311, server: true, wire: `20 02 00 03`,
		p: &packet.Connack{Code: mqtt.ServerUnavailable},
	},
	{
		name: "connack 3.1.1 credentials", v: mqtt.V311, server: true, wire: `20 02 00 04`,
		p: &packet.Connack{Code: mqtt.BadUserNameOrPassword},
	},
	{
		name: "connack 3.1.1 not authorized", v: mqtt.V311, server: true, wire: `20 02 00 05`,
		p: &packet.Connack{Code: mqtt.NotAuthorized},
	},
	{name: "connack 5", v: mqtt.V5, server: true, wire: `20 03 00 00 00`, p: &packet.Connack{}},
	{
		name: "connack 5 refused", v: mqtt.V5, server: true, wire: `20 ( 00 87 ( 1f "no" ) )`,
		p: &packet.Connack{Code: mqtt.NotAuthorized, Reason: "no"},
	},
	{
		name: "connack 5 with all", v: mqtt.V5, server: true,
		wire: `20 ( 01 00 ( 11 0000000a 21 0014 24 01 25 00 27 00100000 12 "auto-1" 22 000a 28 00 29 00 2a 00
			13 001e 1a "resp/" 1c "other" 15 "scram" 16 "data" 1f "because" 26 "k" "v" ) )`,
		p: &packet.Connack{
			SessionPresent: true, SessionExpiry: 10, HasSessionExpiry: true, ReceiveMaximum: 20,
			MaximumQoS: 1, HasMaximumQoS: true, NoRetain: true, NoWildcard: true, NoSubscriptionIDs: true,
			NoShared: true, MaximumPacketSize: 1 << 20, AssignedClientID: "auto-1", TopicAliasMaximum: 10,
			ServerKeepAlive: 30, HasServerKeepAlive: true, ResponseInfo: "resp/", ServerReference: "other",
			AuthMethod: "scram", AuthData: []byte("data"), Reason: "because",
			User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		},
	},
	{
		name: "connack 5 that says what is so anyway", v: mqtt.V5, server: true, alias: true,
		wire: `20 ( 00 00 ( 25 01 28 01 29 01 2a 01 22 0000 ) )`, p: &packet.Connack{},
	},
	{
		name: "connack 5 with keep alive and QoS zero", v: mqtt.V5, server: true,
		wire: `20 ( 00 00 ( 24 00 13 0000 ) )`,
		p:    &packet.Connack{HasMaximumQoS: true, HasServerKeepAlive: true},
	},
}
