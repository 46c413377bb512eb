package pluginhost

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Generators of everything that goes to plugins.
var (
	genText = rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"a/b", strings.Repeat("ä", 200)}))
	genUser = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mqtt.UserProperty {
		return mqtt.UserProperty{Key: genText.Draw(t, "key"), Value: genText.Draw(t, "value")}
	}), 0, 3)
	genBytes  = rapid.SliceOf(rapid.Byte())
	genOrigin = rapid.SampledFrom([]mqtt.Origin{mqtt.FromClient, mqtt.FromWill, mqtt.FromServer, mqtt.FromPlugin})
	genQoS    = rapid.Map(rapid.IntRange(0, 2), func(n int) mqtt.QoS { return mqtt.QoS(n) })

	genProperties = rapid.Custom(func(t *rapid.T) *mqtt.Properties {
		p := &mqtt.Properties{
			HasPayloadFormat: rapid.Bool().Draw(t, "has format"),
			HasExpiry:        rapid.Bool().Draw(t, "has expiry"),
			ContentType:      genText.Draw(t, "content type"),
			ResponseTopic:    genText.Draw(t, "response topic"),
			CorrelationData:  genBytes.Draw(t, "correlation"),
			User:             genUser.Draw(t, "user"),
		}
		if p.HasPayloadFormat {
			p.PayloadIsUTF8 = rapid.Bool().Draw(t, "format")
		}
		if p.HasExpiry {
			p.Expiry = rapid.Uint32().Draw(t, "expiry")
		}
		if rapid.Bool().Draw(t, "no correlation") {
			p.CorrelationData = nil
		}
		return p
	})
	genMessage = rapid.Custom(func(t *rapid.T) *mqtt.Message {
		m := &mqtt.Message{
			Topic:     genText.Draw(t, "topic"),
			Payload:   genBytes.Draw(t, "payload"),
			QoS:       genQoS.Draw(t, "qos"),
			Retain:    rapid.Bool().Draw(t, "retain"),
			Publisher: genText.Draw(t, "publisher"),
			Origin:    genOrigin.Draw(t, "origin"),
		}
		if rapid.Bool().Draw(t, "with properties") {
			m.Properties = genProperties.Draw(t, "properties")
		}
		if rapid.Bool().Draw(t, "stamped") {
			m.Created = time.Unix(0, rapid.Int64Min(1).Draw(t, "created"))
		}
		return m
	})
	genClient = rapid.Custom(func(t *rapid.T) *hook.Client {
		return &hook.Client{
			ConnectionID: rapid.Uint64().Draw(t, "connection"),
			ID:           genText.Draw(t, "id"),
			Username:     genText.Draw(t, "username"),
			Version:      rapid.SampledFrom([]mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5}).Draw(t, "version"),
			PeerAddress:  genText.Draw(t, "peer"),
			Listener:     genText.Draw(t, "listener"),
			Mountpoint:   genText.Draw(t, "mountpoint"),
			Items:        rapid.MapOfN(genText, genBytes, 0, 3).Draw(t, "items"),
		}
	})
	genSubscription = rapid.Custom(func(t *rapid.T) mqtt.Subscription {
		return mqtt.Subscription{
			Filter:            genText.Draw(t, "filter"),
			QoS:               genQoS.Draw(t, "qos"),
			NoLocal:           rapid.Bool().Draw(t, "no local"),
			RetainAsPublished: rapid.Bool().Draw(t, "as published"),
			RetainHandling:    mqtt.RetainHandling(rapid.IntRange(0, 2).Draw(t, "handling")),
			ID:                rapid.Uint32Max(maxSubscriptionID).Draw(t, "id"),
		}
	})
)

// The following functions say with generated code what the hand-written
// functions have to write.

func subscriptionToProto(s mqtt.Subscription) *pluginv1.Subscription {
	return &pluginv1.Subscription{
		Filter: s.Filter, Qos: uint32(s.QoS), NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
		RetainHandling: uint32(s.RetainHandling), Identifier: s.ID,
	}
}

func clientToProto(c *hook.Client) *pluginv1.ClientContext {
	return &pluginv1.ClientContext{
		ConnectionId: c.ConnectionID, ClientId: c.ID, Username: c.Username, ProtocolLevel: uint32(c.Version),
		PeerAddress: c.PeerAddress, Listener: c.Listener, Mountpoint: c.Mountpoint, Items: c.Items,
	}
}

func callToProto(point hook.Point, c *hook.Call) *pluginv1.Call {
	p := new(pluginv1.Call)
	if c.Client != nil {
		p.ConnectionId = c.Client.ConnectionID
	}
	switch point {
	case hook.PointPublish:
		p.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: messageToProto(c.Message)}}
	case hook.PointSubscribe:
		p.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{
			Subscription: subscriptionToProto(c.Subscription), UserProperties: userToProto(c.User),
		}}
	case hook.PointUnsubscribe:
		p.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{
			Filter: c.Subscription.Filter, UserProperties: userToProto(c.User),
		}}
	case hook.PointDeliver:
		p.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{
			Message: messageToProto(c.Message), Receiver: c.Receiver, Retained: c.Retained,
		}}
	}
	return p
}

func eventToProto(e *hook.Event) *pluginv1.Event {
	p := &pluginv1.Event{
		Kind: pluginv1.EventKind(e.Kind), TimeUnixNanos: e.Time.UnixNano(), ClientId: e.ClientID,
		ConnectionId: e.ConnectionID, Seq: e.Seq, ReasonCode: uint32(e.Code), Reason: e.Reason,
		Cause: string(e.Cause), Disconnect: pluginv1.DisconnectKind(e.Disconnect),
	}
	if e.Client != nil && aboutClient(e.Kind) {
		p.Client = clientToProto(e.Client)
	}
	if e.Message != nil {
		p.Message = messageToProto(e.Message)
	}
	if e.Kind == hook.Subscribed || e.Kind == hook.Unsubscribed {
		p.Subscription = subscriptionToProto(e.Subscription)
	}
	return p
}

// wantProto decodes b into a new message like want and compares.
func wantProto(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte, want proto.Message,
) {
	t.Helper()
	got := want.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Fatalf("-want +got\n%s", diff)
	}
}

func TestAppendMessage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage.Draw(t, "message")
		b := appendMessage(nil, m, m.Payload)
		if len(b) != sizeMessage(m, m.Payload) {
			t.Fatalf("%d bytes, announced %d", len(b), sizeMessage(m, m.Payload))
		}
		wantProto(t, b, messageToProto(m))
		cut := m.Payload[:len(m.Payload)/2]
		want := messageToProto(m)
		want.Payload = cut
		wantProto(t, appendMessage(nil, m, cut), want)
	})
}

func TestAppendClientAndSubscription(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genClient.Draw(t, "client")
		wantProto(t, appendClient(nil, c), clientToProto(c))
		s := genSubscription.Draw(t, "subscription")
		wantProto(t, appendSubscription(nil, &s), subscriptionToProto(s))
	})
}

func TestAppendCall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		point := rapid.SampledFrom([]hook.Point{
			hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe, hook.PointDeliver,
		}).Draw(t, "point")
		c := &hook.Call{
			Message: genMessage.Draw(t, "message"), Receiver: genText.Draw(t, "receiver"),
			Retained: rapid.Bool().Draw(t, "retained"), Subscription: genSubscription.Draw(t, "subscription"),
			User: genUser.Draw(t, "user"),
		}
		if rapid.Bool().Draw(t, "with client") {
			c.Client = genClient.Draw(t, "client")
		}
		if err := checkCall(point, c); err != nil {
			t.Fatal(err)
		}
		wantProto(t, appendCall(nil, point, c, c.Message.Payload), callToProto(point, c))
	})
}

func TestAppendEvent(t *testing.T) {
	full := newPayloadPlan(nil)
	rapid.Check(t, func(t *rapid.T) {
		e := &hook.Event{
			Kind:         hook.EventKind(rapid.IntRange(1, int(hook.NumEventKinds)-1).Draw(t, "kind")),
			Time:         time.Unix(0, rapid.Int64Min(1).Draw(t, "time")),
			ClientID:     genText.Draw(t, "client id"),
			ConnectionID: rapid.Uint64().Draw(t, "connection"),
			Seq:          rapid.Uint64().Draw(t, "seq"),
			Subscription: genSubscription.Draw(t, "subscription"),
			Code:         mqtt.ReasonCode(rapid.Byte().Draw(t, "code")),
			Reason:       genText.Draw(t, "reason"),
			Cause:        hook.Cause(genText.Draw(t, "cause")),
			Disconnect:   hook.DisconnectKind(rapid.IntRange(0, 4).Draw(t, "disconnect")),
		}
		if rapid.Bool().Draw(t, "with client") {
			e.Client = genClient.Draw(t, "client")
		}
		if rapid.Bool().Draw(t, "with message") {
			e.Message = genMessage.Draw(t, "message")
		}
		wantProto(t, appendEvent(nil, e, full), eventToProto(e))
	})
}

func TestAppendEventMendsText(t *testing.T) {
	e := &hook.Event{
		Kind: hook.Subscribed, ClientID: "c\xff", Reason: "r\xff", Cause: "c\xff",
		Subscription: mqtt.Subscription{Filter: "f\xff"}, Message: message("t\xff", "p"),
	}
	var p pluginv1.Event
	if err := proto.Unmarshal(appendEvent(nil, e, newPayloadPlan(nil)), &p); err != nil {
		t.Fatal(err)
	}
	if p.ClientId != "c\uFFFD" || p.Reason != "r\uFFFD" || p.Subscription.Filter != "f\uFFFD" || p.Message != nil {
		t.Errorf("%v", &p)
	}
}

// TestRecordRoundTrip: what a store is told is what it gives back.
func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := genMessage.Draw(t, "message")
		m.Topic = "t" + m.Topic
		if m.Properties != nil {
			m.Properties.ContentType = strings.ReplaceAll(m.Properties.ContentType, "\x00", "")
			m.Properties.ResponseTopic = strings.ReplaceAll(m.Properties.ResponseTopic, "\x00", "")
			m.Properties.User = nil
		}
		c := &retain.Change{Op: retain.Put, Message: m, Revision: rapid.Uint64Range(1, math.MaxUint64-1).Draw(t, "revision")}
		if err := checkChange(c); err != nil {
			t.Fatal(err)
		}
		var p pluginv1.Change
		if err := proto.Unmarshal(appendChange(nil, c), &p); err != nil {
			t.Fatal(err)
		}
		if p.Op != pluginv1.ChangeOp_CHANGE_OP_PUT {
			t.Fatalf("operation %v", p.Op)
		}
		got, err := recordFromProto(&pluginv1.RetainedRecord{Message: p.Message, Revision: p.Revision})
		if err != nil {
			t.Fatal(err)
		}
		if p := m.Properties; p != nil && !p.HasExpiry && !p.HasPayloadFormat && p.CorrelationData == nil &&
			p.ContentType == "" && p.ResponseTopic == "" {
			m.Properties = nil // nothing in it, nothing on the wire
		}
		same := cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) })
		if diff := cmp.Diff(retain.Record{Message: m, Revision: c.Revision}, got, same); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
	})
}

func TestAppendChange(t *testing.T) {
	del := &retain.Change{Op: retain.Delete, Topic: "a/b", Revision: 7}
	wantProto(t, appendChange(nil, del), &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_DELETE, Topic: "a/b", Revision: 7})
	all := &retain.Change{Op: retain.Clear, Revision: 8}
	wantProto(t, appendChange(nil, all), &pluginv1.Change{Op: pluginv1.ChangeOp_CHANGE_OP_CLEAR, Revision: 8})
	for _, c := range []retain.Change{
		{}, {Op: 9}, {Op: retain.Put}, {Op: retain.Delete, Topic: "\xff"}, {Op: retain.Put, Message: message("\xff", "")},
	} {
		if checkChange(&c) == nil {
			t.Errorf("%+v passes", c)
		}
	}
}

func TestRecordFromProtoRefuses(t *testing.T) {
	long := strings.Repeat("x", maxString+1)
	for name, p := range map[string]*pluginv1.RetainedRecord{
		"the last revision": {Revision: math.MaxUint64},
		"QoS":               {Message: &pluginv1.Message{Qos: 3}},
		"a cut payload":     {Message: &pluginv1.Message{Payload: []byte("ab"), PayloadSize: 3}},
		"a content type":    {Message: &pluginv1.Message{ContentType: long}},
		"a response topic":  {Message: &pluginv1.Message{ResponseTopic: "a\x00"}},
		"correlation data":  {Message: &pluginv1.Message{CorrelationData: []byte(long)}},
		"a user property":   {Message: &pluginv1.Message{UserProperties: []*pluginv1.UserProperty{{Key: long}}}},
	} {
		_, err := recordFromProto(p)
		if err == nil {
			t.Errorf("%s passes", name)
			continue
		}
		wantErrors(t, err, hook.ErrProtocol)
	}
	if r, err := recordFromProto(&pluginv1.RetainedRecord{Revision: 5}); err != nil || r.Message != nil || r.Revision != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestToUTF8(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if s := toUTF8(string(genBytes.Draw(t, "bytes"))); !utf8.ValidString(s) {
			t.Fatalf("%q", s)
		}
	})
}
