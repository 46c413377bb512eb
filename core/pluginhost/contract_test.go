package pluginhost

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// What is recorded of a CONNECT is what a hook can be asked again.
func TestConnectRoundTrip(t *testing.T) {
	for _, c := range []*hook.Connect{
		{Version: mqtt.V31},
		{
			ConnectionID: 7, ClientID: "id", Username: "u", HasUsername: true, Password: []byte("p"), HasPassword: true, Version: mqtt.V5,
			CleanStart: true, KeepAlive: 90 * time.Second, Will: &hook.Will{Message: message("will", "gone"), Delay: 5 * time.Second},
			HasSessionExpiry: true, ReceiveMaximum: 10, MaximumPacketSize: 1000, TopicAliasMaximum: 3,
			RequestResponseInfo: true, RequestProblemInfo: true, User: []mqtt.UserProperty{{Key: "k", Value: "v"}},
			AuthMethod: "SCRAM", AuthData: []byte{1}, PeerAddress: "peer", LocalAddress: "local", Listener: "tls", Transport: "wss",
			TLS: &hook.TLS{Version: "TLS 1.3", CipherSuite: "c", ServerName: "n", ALPN: "mqtt", Certificate: &hook.Certificate{
				DER: []byte{2}, Subject: "CN=a", Issuer: "CN=b", CommonName: "a", DNSNames: []string{"d"}, EmailAddresses: []string{"e"},
				URIs: []string{"u"}, IPAddresses: []string{"::1"}, SHA256: [32]byte{9}, Serial: "0a", Verified: true,
			}},
			WebSocket: &hook.WebSocket{Path: "/mqtt", Host: "h", Origin: "o", Headers: []mqtt.UserProperty{{Key: "Cookie", Value: "c"}}},
			Proxy:     &hook.Proxy{Address: "proxy", TLVs: map[byte][]byte{5: {6}}},
		},
	} {
		got, err := ConnectFromProto(ConnectProto(c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	bad := &hook.Connect{
		ClientID: "\xff", Username: "\xff", HasUsername: true, AuthMethod: "\xff",
		User: []mqtt.UserProperty{{Key: "\xff"}}, Will: &hook.Will{Message: message("\xff", "")},
	}
	if p := ConnectProto(bad); p.GetClientId() != "\uFFFD" || p.GetWill().GetMessage().GetTopic() != "\uFFFD" {
		t.Errorf("what is not UTF-8 is shown as %v", p)
	}
}

func TestDecisionRoundTrip(t *testing.T) {
	for _, p := range []*pluginv1.Decision{
		{Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN},
		{Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 0x87, Reason: "no", ServerReference: "there"},
		{
			Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW, AssignedClientId: "c", Username: proto.String("u"), Mountpoint: "m/",
			UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}}, ValidSeconds: 5, CacheSeconds: 6,
			Items: map[string][]byte{"i": {1}}, AuthenticationData: []byte{2},
			Durability: pluginv1.Durability_DURABILITY_NONE,
			Limits: &pluginv1.SessionLimits{
				KeepAliveSeconds: proto.Uint32(1), SessionExpirySeconds: proto.Uint32(2), ReceiveMaximum: proto.Uint32(3),
				MaximumPacketSize: proto.Uint32(4), MaximumQos: proto.Uint32(1), TopicAliasMaximum: proto.Uint32(5),
				QueueMessages: proto.Uint32(6), QueueBytes: proto.Uint64(7), PublishMessagesPerSecond: proto.Float64(8),
				PublishBytesPerSecond: proto.Float64(9), Subscriptions: proto.Uint32(10),
			},
			Quota: &pluginv1.Quota{
				Account: "a", TimeZone: "Europe/Berlin", Actions: []pluginv1.GrantAction{
					pluginv1.GrantAction_GRANT_ACTION_PUBLISH, pluginv1.GrantAction_GRANT_ACTION_RECEIVE,
				},
				BytesPerDay: proto.Uint64(0), BytesPerMonth: proto.Uint64(11), MessagesPerDay: proto.Uint64(12), MessagesPerMonth: proto.Uint64(13),
			},
			Grants: &pluginv1.GrantList{Grants: []*pluginv1.Grant{
				{Effect: pluginv1.GrantEffect_GRANT_EFFECT_ALLOW, Filter: "#", MaximumQos: proto.Uint32(1)},
				{Effect: pluginv1.GrantEffect_GRANT_EFFECT_DENY, Filter: "a", Retain: proto.Bool(true), Actions: []pluginv1.GrantAction{
					pluginv1.GrantAction_GRANT_ACTION_PUBLISH, pluginv1.GrantAction_GRANT_ACTION_RECEIVE,
				}},
			}},
		},
		{Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW, Grants: &pluginv1.GrantList{}},
	} {
		d, err := decisionFromProto(p)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, DecisionProto(d), protocmp.Transform()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
	if DecisionProto(nil) != nil {
		t.Error("no decision is shown as one")
	}
}

// The change that is told makes of what was asked what came of it.
func TestVerdictTellsTheChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := genMessage.Draw(t, "before"), genMessage.Draw(t, "after")
		before.Topic, after.Topic = "t", "t/x" // names that are legal
		after.Publisher, after.Origin, after.Hops, after.Created = before.Publisher, before.Origin, before.Hops, before.Created
		for _, m := range []*mqtt.Message{before, after} {
			if p := m.Properties; p != nil {
				p.ResponseTopic, p.ContentType, p.User = "", "c", nil
				if len(p.CorrelationData) == 0 {
					p.CorrelationData = nil
				}
			}
		}
		report := &hook.CallReport{Asked: hook.Call{Message: before}, Message: after}
		wire, err := proto.Marshal(&pluginv1.InterceptResponse{Verdicts: []*pluginv1.Verdict{VerdictProto(report)}})
		if err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := r.read(wire); err != nil {
			t.Fatal(err)
		}
		o, err := r.verdicts[0].verdict.check(hook.PointPublish, &hook.Call{Message: before})
		if err != nil {
			t.Fatal(err)
		}
		if left := hook.Changed(o.message, after); left != 0 {
			t.Fatalf("fields %b differ: %+v %+v", left, o.message, after)
		}
	})
}

// What is recorded of a call is what an interceptor can be asked again.
func TestCallRoundTrip(t *testing.T) {
	client := &hook.Client{ConnectionID: 3, ID: "c", Username: "u", Version: mqtt.V5, Items: map[string][]byte{"k": {1}}}
	m := message("a/b", "payload")
	m.Properties = &mqtt.Properties{ContentType: "t", HasExpiry: true, Expiry: 7, User: []mqtt.UserProperty{{Key: "k"}}}
	user := []mqtt.UserProperty{{Key: "a", Value: "b"}}
	for point, c := range map[hook.Point]*hook.Call{
		hook.PointPublish:     {Client: client, Message: m},
		hook.PointDeliver:     {Client: client, Message: m, Receiver: "r", Retained: true},
		hook.PointSubscribe:   {Client: client, Subscription: mqtt.Subscription{Filter: "$share/g/a/#", QoS: 1, ID: 5}, User: user},
		hook.PointUnsubscribe: {Client: client, Subscription: mqtt.Subscription{Filter: "a/#"}, User: user},
	} {
		gotPoint, got, err := CallFromProto(CallProto(point, c), ClientFromProto(ClientProto(client)))
		if err != nil || gotPoint != point {
			t.Fatalf("%v: %v, %v", point, gotPoint, err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Errorf("%v: -want +got\n%s", point, diff)
		}
	}
	for _, p := range []*pluginv1.Call{
		nil,
		{},
		{Call: &pluginv1.Call_Publish{}},
		{Call: &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: &pluginv1.Message{PayloadSize: 3}}}},
		{Call: &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{Subscription: &pluginv1.Subscription{Filter: "a#"}}}},
	} {
		if _, _, err := CallFromProto(p, nil); err == nil {
			t.Errorf("%v can be asked", p)
		}
	}
}

func TestEventProto(t *testing.T) {
	e := &hook.Event{Kind: hook.Published, ClientID: "c", Message: message("t\xff", "p"), Code: 7}
	p := EventProto(e)
	if p.GetKind() != pluginv1.EventKind_EVENT_KIND_PUBLISHED || p.GetMessage().GetTopic() != "t\uFFFD" || string(p.GetMessage().GetPayload()) != "p" {
		t.Errorf("%v", p)
	}
}
