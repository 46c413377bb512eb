package pluginhost

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestDecisionFromProto(t *testing.T) {
	got, err := decisionFromProto(&pluginv1.Decision{
		Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW, Reason: "welcome", ServerReference: "s",
		AssignedClientId: "id", UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}},
		Username: proto.String(""), Mountpoint: "tenant/1", ValidSeconds: 60, CacheSeconds: 5,
		Items: map[string][]byte{"role": []byte("admin")}, AuthenticationData: []byte{}, Durability: pluginv1.Durability_DURABILITY_INTERVAL,
		Limits: &pluginv1.SessionLimits{
			KeepAliveSeconds: proto.Uint32(0), SessionExpirySeconds: proto.Uint32(math.MaxUint32),
			ReceiveMaximum: proto.Uint32(65535), MaximumPacketSize: proto.Uint32(1), MaximumQos: proto.Uint32(1),
			TopicAliasMaximum: proto.Uint32(0), QueueMessages: proto.Uint32(7), QueueBytes: proto.Uint64(8),
			PublishMessagesPerSecond: proto.Float64(0), PublishBytesPerSecond: proto.Float64(1.5), Subscriptions: proto.Uint32(9),
		},
		Grants: &pluginv1.GrantList{Grants: []*pluginv1.Grant{
			{Effect: pluginv1.GrantEffect_GRANT_EFFECT_ALLOW, Filter: "a/%c/#"},
			{
				Effect: pluginv1.GrantEffect_GRANT_EFFECT_DENY, Filter: "$SYS/#", MaximumQos: proto.Uint32(0), Retain: proto.Bool(false),
				Actions: []pluginv1.GrantAction{
					pluginv1.GrantAction_GRANT_ACTION_PUBLISH, pluginv1.GrantAction_GRANT_ACTION_RECEIVE,
				},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &hook.Decision{
		Verdict: hook.Allow, Reason: "welcome", ServerReference: "s", AssignedClientID: "id",
		User: []mqtt.UserProperty{{Key: "k", Value: "v"}}, Username: new(""), Mountpoint: "tenant/1",
		ValidFor: time.Minute, CacheFor: 5 * time.Second, Items: map[string][]byte{"role": []byte("admin")}, AuthData: []byte{},
		Durability: hook.DurabilityInterval,
		Limits: hook.Limits{
			KeepAlive: new(uint16(0)), SessionExpiry: new(uint32(math.MaxUint32)), ReceiveMaximum: new(uint16(65535)),
			MaximumPacketSize: new(uint32(1)), MaximumQoS: new(mqtt.AtLeastOnce), TopicAliasMaximum: new(uint16(0)),
			QueueMessages: new(7), QueueBytes: new(8), MessagesPerSecond: new(0.0), BytesPerSecond: new(1.5), SubscriptionsCount: new(9),
		},
		Grants: &hook.Grants{List: []hook.Grant{
			{Actions: hook.ActionAll, Filter: "a/%c/#"},
			{
				Deny: true, Actions: hook.ActionPublish | hook.ActionReceive, Filter: "$SYS/#",
				MaxQoS: new(mqtt.AtMostOnce), Retain: new(false),
			},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestDecisionVerdicts(t *testing.T) {
	for _, v := range []pluginv1.DecisionVerdict{
		pluginv1.DecisionVerdict_DECISION_VERDICT_UNSPECIFIED, pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN,
	} {
		d, err := decisionFromProto(&pluginv1.Decision{Verdict: v})
		if err != nil || d.Verdict != hook.Abstain || d.Grants != nil {
			t.Errorf("%v: %+v, %v", v, d, err)
		}
	}
	d, err := decisionFromProto(&pluginv1.Decision{
		Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 0x86, Grants: &pluginv1.GrantList{},
	})
	if err != nil || d.Verdict != hook.Deny || d.Code != mqtt.BadUserNameOrPassword || d.Grants == nil || len(d.Grants.List) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestDecisionFromProtoRefuses(t *testing.T) {
	long := strings.Repeat("x", maxString+1)
	allow := func(edit func(*pluginv1.Decision)) *pluginv1.Decision {
		d := &pluginv1.Decision{Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW}
		edit(d)
		return d
	}
	limits := func(edit func(*pluginv1.SessionLimits)) *pluginv1.Decision {
		return allow(func(d *pluginv1.Decision) { d.Limits = new(pluginv1.SessionLimits); edit(d.Limits) })
	}
	grant := func(edit func(*pluginv1.Grant)) *pluginv1.Decision {
		return allow(func(d *pluginv1.Decision) {
			g := &pluginv1.Grant{Effect: pluginv1.GrantEffect_GRANT_EFFECT_ALLOW, Filter: "#"}
			edit(g)
			d.Grants = &pluginv1.GrantList{Grants: []*pluginv1.Grant{g}}
		})
	}
	quota := func(q *pluginv1.Quota) *pluginv1.Decision {
		return allow(func(d *pluginv1.Decision) { d.Quota = q })
	}
	for want, p := range map[string]*pluginv1.Decision{
		"account of a quota of 65536 bytes":  quota(&pluginv1.Quota{Account: long}),
		"time zone \"Mars/Olympus\"":         quota(&pluginv1.Quota{TimeZone: "Mars/Olympus"}),
		"time zone \"../x\"":                 quota(&pluginv1.Quota{TimeZone: "../x"}),
		"quota of action 2":                  quota(&pluginv1.Quota{Actions: []pluginv1.GrantAction{1, 2}}),
		"no decision":                        nil,
		"verdict 4":                          {Verdict: 4},
		"verdict -1":                         {Verdict: -1},
		"durability 4":                       allow(func(d *pluginv1.Decision) { d.Durability = 4 }),
		"durability -1":                      allow(func(d *pluginv1.Decision) { d.Durability = -1 }),
		"reason code 0x87 without a denial":  allow(func(d *pluginv1.Decision) { d.ReasonCode = 0x87 }),
		"reason code 0x8b is not":            {Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 0x8b},
		"reason code 0x01 is not":            {Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 1},
		"reason code 0x100":                  {Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 0x100},
		"reason of 65536 bytes":              allow(func(d *pluginv1.Decision) { d.Reason = long }),
		"server reference contains U+0000":   allow(func(d *pluginv1.Decision) { d.ServerReference = "\x00" }),
		"assigned client identifier of":      allow(func(d *pluginv1.Decision) { d.AssignedClientId = long }),
		"user name contains U+0000":          allow(func(d *pluginv1.Decision) { d.Username = proto.String("\x00") }),
		"mountpoint":                         allow(func(d *pluginv1.Decision) { d.Mountpoint = "a/#" }),
		"authentication data of 65536 bytes": allow(func(d *pluginv1.Decision) { d.AuthenticationData = []byte(long) }),
		"user property value of":             allow(func(d *pluginv1.Decision) { d.UserProperties = []*pluginv1.UserProperty{{Value: long}} }),
		"keep alive 65536":                   limits(func(l *pluginv1.SessionLimits) { l.KeepAliveSeconds = proto.Uint32(65536) }),
		"receive maximum 0":                  limits(func(l *pluginv1.SessionLimits) { l.ReceiveMaximum = proto.Uint32(0) }),
		"receive maximum 65536":              limits(func(l *pluginv1.SessionLimits) { l.ReceiveMaximum = proto.Uint32(65536) }),
		"maximum packet size 0":              limits(func(l *pluginv1.SessionLimits) { l.MaximumPacketSize = proto.Uint32(0) }),
		"QoS 3":                              limits(func(l *pluginv1.SessionLimits) { l.MaximumQos = proto.Uint32(3) }),
		"topic alias maximum 65536":          limits(func(l *pluginv1.SessionLimits) { l.TopicAliasMaximum = proto.Uint32(65536) }),
		"queue length":                       limits(func(l *pluginv1.SessionLimits) { l.QueueMessages = proto.Uint32(math.MaxUint32) }),
		"number of subscriptions":            limits(func(l *pluginv1.SessionLimits) { l.Subscriptions = proto.Uint32(math.MaxUint32) }),
		"message rate NaN":                   limits(func(l *pluginv1.SessionLimits) { l.PublishMessagesPerSecond = proto.Float64(math.NaN()) }),
		"byte rate +Inf":                     limits(func(l *pluginv1.SessionLimits) { l.PublishBytesPerSecond = proto.Float64(math.Inf(1)) }),
		"byte rate -1":                       limits(func(l *pluginv1.SessionLimits) { l.PublishBytesPerSecond = proto.Float64(-1) }),
		"grant effect 0":                     grant(func(g *pluginv1.Grant) { g.Effect = 0 }),
		"grant effect 3":                     grant(func(g *pluginv1.Grant) { g.Effect = 3 }),
		"grant action 0":                     grant(func(g *pluginv1.Grant) { g.Actions = []pluginv1.GrantAction{0} }),
		"grant action 4":                     grant(func(g *pluginv1.Grant) { g.Actions = []pluginv1.GrantAction{1, 4} }),
		"topic filter \"a/#/b\"":             grant(func(g *pluginv1.Grant) { g.Filter = "a/#/b" }),
		"topic filter \"\"":                  grant(func(g *pluginv1.Grant) { g.Filter = "" }),
		"QoS 4":                              grant(func(g *pluginv1.Grant) { g.MaximumQos = proto.Uint32(4) }),
		"grant effect 0 ":                    allow(func(d *pluginv1.Decision) { d.Grants = &pluginv1.GrantList{Grants: []*pluginv1.Grant{nil}} }),
	} {
		d, err := decisionFromProto(p)
		if err == nil || d != nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("%s: %+v, %v", want, d, err)
			continue
		}
		wantErrors(t, err, hook.ErrProtocol)
	}
}

func TestConnectToProto(t *testing.T) {
	will := message("will", "gone")
	c := &hook.Connect{
		ConnectionID: 7, ClientID: "id", Username: "u", HasUsername: true, HasPassword: true, Version: mqtt.V5,
		CleanStart: true, KeepAlive: 90 * time.Second, Will: &hook.Will{Message: will, Delay: 5 * time.Second},
		SessionExpiry: 0, HasSessionExpiry: true, ReceiveMaximum: 10, MaximumPacketSize: 1000, TopicAliasMaximum: 3,
		RequestResponseInfo: true, RequestProblemInfo: true, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
		AuthMethod: "SCRAM", AuthData: []byte{1}, PeerAddress: "peer", LocalAddress: "local", Listener: "tls", Transport: "wss",
		TLS: &hook.TLS{Version: "TLS 1.3", CipherSuite: "c", ServerName: "n", ALPN: "mqtt", Certificate: &hook.Certificate{
			DER: []byte{2}, Subject: "CN=a\xff", Issuer: "CN=b", CommonName: "a", DNSNames: []string{"d\xff"},
			EmailAddresses: []string{"e"}, URIs: []string{"u"}, IPAddresses: []string{"::1"}, SHA256: [32]byte{9}, Serial: "0a", Verified: true,
		}},
		WebSocket: &hook.WebSocket{Path: "/mqtt", Host: "h", Origin: "o", Headers: []mqtt.UserProperty{{Key: "Cookie", Value: "\xe9"}}},
		Proxy:     &hook.Proxy{Address: "proxy", TLVs: map[byte][]byte{5: {6}}},
	}
	got, err := connectToProto(c)
	if err != nil {
		t.Fatal(err)
	}
	want := &pluginv1.Connect{
		ConnectionId: 7, ClientId: "id", Username: proto.String("u"), Password: []byte{}, ProtocolLevel: 5, CleanStart: true,
		KeepAliveSeconds: 90, Will: &pluginv1.Will{Message: messageToProto(will), DelaySeconds: 5},
		SessionExpirySeconds: proto.Uint32(0), ReceiveMaximum: proto.Uint32(10), MaximumPacketSize: proto.Uint32(1000),
		TopicAliasMaximum: 3, RequestResponseInformation: true, RequestProblemInformation: true,
		UserProperties:       []*pluginv1.UserProperty{{Key: "k", Value: "v"}},
		AuthenticationMethod: "SCRAM", AuthenticationData: []byte{1}, PeerAddress: "peer", LocalAddress: "local",
		Listener: "tls", Transport: "wss",
		Tls: &pluginv1.TlsInfo{Version: "TLS 1.3", CipherSuite: "c", ServerName: "n", Alpn: "mqtt", Certificate: &pluginv1.ClientCertificate{
			Der: []byte{2}, Subject: "CN=a\uFFFD", Issuer: "CN=b", CommonName: "a", DnsNames: []string{"d\uFFFD"},
			EmailAddresses: []string{"e"}, Uris: []string{"u"}, IpAddresses: []string{"::1"},
			Sha256: append([]byte{9}, make([]byte, 31)...), Serial: "0a", Verified: true,
		}},
		Websocket: &pluginv1.WebSocketInfo{
			Path: "/mqtt", Host: "h", Origin: "o", Headers: []*pluginv1.UserProperty{{Key: "Cookie", Value: "\uFFFD"}},
		},
		Proxy: &pluginv1.ProxyInfo{ProxyAddress: "proxy", Tlvs: map[uint32][]byte{5: {6}}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := proto.Marshal(got); err != nil {
		t.Error(err)
	}

	got, err = connectToProto(&hook.Connect{Version: mqtt.V31})
	if diff := cmp.Diff(&pluginv1.Connect{ProtocolLevel: 3}, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("%v, -want +got\n%s", err, diff)
	}
}

func TestConnectToProtoRefusesInvalidUTF8(t *testing.T) {
	for _, c := range []*hook.Connect{
		{ClientID: "\xff"},
		{Username: "\xff"},
		{AuthMethod: "\xff"},
		{User: []mqtt.UserProperty{{Key: "\xff"}}},
		{Will: &hook.Will{Message: message("\xff", "")}},
	} {
		if _, err := connectToProto(c); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestCodeSets compares with the tables of MQTT 5 by what they have in common.
func TestCodeSets(t *testing.T) {
	for name, s := range map[string]*codeSet{
		"CONNACK": &connackCodes, "PUBACK": &pubackCodes, "SUBACK": &subackCodes,
		"UNSUBACK": &unsubackCodes, "DISCONNECT": &disconnectCodes,
	} {
		for code := range 256 {
			legal := s.has(mqtt.ReasonCode(code))
			if code == 0 || code == 0x80 || code == 0x83 || code == 0x87 {
				if !legal {
					t.Errorf("%s lacks 0x%02x", name, code)
				}
			} else if legal && (code < 0x80 || code > 0xA2) {
				t.Errorf("%s has 0x%02x", name, code)
			}
		}
	}
}
