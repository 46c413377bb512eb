package pluginhost

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// replyFromProto is what reply.read has to come to.
func replyFromProto(p *pluginv1.InterceptStreamResponse) (r reply) {
	for _, s := range p.Passed {
		r.passed = append(r.passed, seqRange{s.FirstSeq, s.Count})
	}
	for _, v := range p.Verdicts {
		r.verdicts = append(r.verdicts, seqVerdict{v.Seq, &verdict{
			action: int32(v.Action), code: v.ReasonCode, reason: v.Reason, serverReference: v.ServerReference,
			user: userFromProto(v.UserProperties), change: changeFromProto(v.Message),
			subscription: subscriptionFromProto(v.Subscription),
		}})
	}
	return r
}

func changeFromProto(p *pluginv1.MessageChange) *messageChange {
	if p == nil {
		return nil
	}
	c := &messageChange{
		topic: p.GetTopic(), payload: p.Payload, qos: p.GetQos(), retain: p.GetRetain(),
		payloadIsUTF8: p.GetPayloadIsUtf8(), expiry: p.GetExpirySeconds(), contentType: p.GetContentType(),
		responseTopic: p.GetResponseTopic(), correlationData: p.CorrelationData,
		user: userFromProto(p.UserProperties.GetUserProperties()), clearExpiry: p.ClearExpiry, clearFormat: p.ClearPayloadFormat,
	}
	for field := 1; field <= 10; field++ {
		m := p.ProtoReflect()
		if m.Has(m.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(field))) {
			c.has |= 1 << field
		}
	}
	return c
}

func subscriptionFromProto(p *pluginv1.Subscription) *subscriptionChange {
	if p == nil {
		return nil
	}
	return &subscriptionChange{p.Filter, p.Qos, p.NoLocal, p.RetainAsPublished, p.RetainHandling, p.Identifier}
}

var equalReplies = cmp.Options{
	cmp.AllowUnexported(reply{}, seqRange{}, seqVerdict{}, verdict{}, messageChange{}, subscriptionChange{}),
	cmp.Comparer(func(a, b []byte) bool { return string(a) == string(b) }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".parts" }, cmp.Ignore()),
}

// FuzzReply: the hand-written decoder agrees with the generated one about what
// is well formed and what it means, UTF-8 apart, which it leaves to the check of
// the single call. It never panics.
func FuzzReply(f *testing.F) {
	full := &pluginv1.InterceptStreamResponse{
		Passed: []*pluginv1.SeqRange{{FirstSeq: 1, Count: 64}, {FirstSeq: math.MaxUint64, Count: math.MaxUint32}},
		Verdicts: []*pluginv1.Verdict{{
			Seq: 7, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS, ReasonCode: 0x87, Reason: "why", ServerReference: "s",
			UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}, {}},
			Message: &pluginv1.MessageChange{
				Topic: proto.String("t"), Payload: []byte("p"), Qos: proto.Uint32(1), Retain: proto.Bool(true),
				PayloadIsUtf8: proto.Bool(true), ExpirySeconds: proto.Uint32(9), ContentType: proto.String(""),
				ResponseTopic: proto.String("r"), CorrelationData: []byte{}, ClearExpiry: true, ClearPayloadFormat: true,
				UserProperties: &pluginv1.UserPropertyList{UserProperties: []*pluginv1.UserProperty{{Key: "k"}}},
			},
			Subscription: &pluginv1.Subscription{
				Filter: "a/#", Qos: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, Identifier: 5,
			},
		}, {Seq: 8, Message: &pluginv1.MessageChange{UserProperties: &pluginv1.UserPropertyList{}}}},
	}
	b, err := proto.Marshal(full)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{})
	f.Add([]byte{0x0a, 0x02, 0x08, 0x80})                   // cut short
	f.Add([]byte{0x0b, 0x0c, 0x12, 0x04, 0x0d, 0, 0, 0})    // groups and fixed widths
	f.Add([]byte("\xf0\xcc\xcc\xcc00"))                     // a field number that is none
	f.Add([]byte{0x12, 0x06, 0x32, 0x00, 0x32, 0x02, 8, 1}) // a message twice
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reply{passed: []seqRange{{9, 9}}, verdicts: []seqVerdict{{9, nil}}} // of an earlier answer
		got := r.read(b)
		p := new(pluginv1.InterceptStreamResponse)
		want := proto.Unmarshal(b, p)
		if want != nil && strings.Contains(want.Error(), "invalid UTF-8") {
			return
		}
		if (got == nil) != (want == nil) {
			t.Fatalf("read: %v, proto.Unmarshal: %v", got, want)
		}
		if got != nil {
			return
		}
		if diff := cmp.Diff(replyFromProto(p), reply{passed: r.passed, verdicts: r.verdicts}, equalReplies, cmpEmpty); diff != "" {
			t.Fatalf("-want +got\n%s", diff)
		}
		for _, v := range r.verdicts { // whatever it says: an outcome or an error
			for _, point := range []hook.Point{hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe, hook.PointDeliver} {
				c := &hook.Call{Message: message("t", "p")}
				if o, err := v.verdict.check(point, c); err == nil && o.message != nil && !o.message.QoS.Valid() {
					t.Fatalf("%+v became %+v", v.verdict, o.message)
				}
			}
		}
	})
}

// cmpEmpty: nil and empty slices are one.
var cmpEmpty = cmp.FilterValues(func(a, b any) bool {
	switch a := a.(type) {
	case []seqRange:
		b, ok := b.([]seqRange)
		return ok && len(a) == 0 && len(b) == 0
	case []seqVerdict:
		b, ok := b.([]seqVerdict)
		return ok && len(a) == 0 && len(b) == 0
	}
	return false
}, cmp.Ignore())

// TestReplyIsBounded: a small answer must not become a large one in memory.
func TestReplyIsBounded(t *testing.T) {
	ranges := []byte(strings.Repeat("\x0a\x00", maxReplyParts+1))
	if err := new(reply).read(ranges); err == nil {
		t.Error("too many ranges pass")
	}
	users := []byte(strings.Repeat("\x2a\x00", maxReplyParts))
	verdicts := append(appendLength(nil, 2, len(users)), users...)
	if err := new(reply).read(verdicts); err == nil {
		t.Error("too many user properties pass")
	}
	if err := new(reply).read(ranges[2:]); err != nil {
		t.Error(err)
	}
}

// TestReplyOwnsItsMemory: the buffer of an answer is reused while its verdicts
// live on.
func TestReplyOwnsItsMemory(t *testing.T) {
	b, err := proto.Marshal(&pluginv1.InterceptStreamResponse{Verdicts: []*pluginv1.Verdict{{
		Reason: "reason", Message: &pluginv1.MessageChange{Payload: []byte("payload"), CorrelationData: []byte("data")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	var r reply
	if err := r.read(b); err != nil {
		t.Fatal(err)
	}
	clear(b)
	v := r.verdicts[0].verdict
	if v.reason != "reason" || string(v.change.payload) != "payload" || string(v.change.correlationData) != "data" {
		t.Errorf("%+v", v.change)
	}
}

func TestVerdictCheck(t *testing.T) {
	const (
		pass       = int32(pluginv1.VerdictAction_VERDICT_ACTION_PASS)
		drop       = int32(pluginv1.VerdictAction_VERDICT_ACTION_DROP)
		refuse     = int32(pluginv1.VerdictAction_VERDICT_ACTION_REFUSE)
		disconnect = int32(pluginv1.VerdictAction_VERDICT_ACTION_DISCONNECT)
	)
	long := strings.Repeat("x", maxString+1)
	change := func(c messageChange) verdict { return verdict{action: pass, change: &c} }
	subscribe := func(s subscriptionChange) verdict { return verdict{action: pass, subscription: &s} }
	tests := []struct {
		name    string
		point   hook.Point
		verdict verdict
		want    string // "" if legal
	}{
		{"unspecified", hook.PointPublish, verdict{}, "a verdict without an action"},
		{"unknown", hook.PointPublish, verdict{action: 5}, "verdict action 5"},
		{"pass", hook.PointPublish, verdict{action: pass}, ""},
		{"pass with a reason code", hook.PointPublish, verdict{action: pass, code: 0x87}, "reason code 0x87 together with pass"},
		{"drop with a reason code", hook.PointPublish, verdict{action: drop, code: 0x10}, "together with drop"},
		{"refuse by default", hook.PointPublish, verdict{action: refuse}, ""},
		{"refuse with success", hook.PointPublish, verdict{action: refuse, code: 0x10}, "not one of PUBACK"},
		{"refuse with 256", hook.PointPublish, verdict{action: refuse, code: 0x187}, "not one of PUBACK"},
		{"refuse a publish", hook.PointPublish, verdict{action: refuse, code: 0x99}, ""},
		{"refuse a delivery", hook.PointDeliver, verdict{action: refuse, code: 0x99}, ""},
		{"refuse a subscribe", hook.PointSubscribe, verdict{action: refuse, code: 0x9e}, ""},
		{"refuse a publish like a subscribe", hook.PointPublish, verdict{action: refuse, code: 0x9e}, "not one of PUBACK"},
		{"refuse a subscribe like a publish", hook.PointSubscribe, verdict{action: refuse, code: 0x99}, "not one of SUBACK"},
		{"refuse an unsubscribe", hook.PointUnsubscribe, verdict{action: refuse, code: 0x8f}, ""},
		{"refuse an unsubscribe like a subscribe", hook.PointUnsubscribe, verdict{action: refuse, code: 0x9e}, "not one of UNSUBACK"},
		{"disconnect by default", hook.PointPublish, verdict{action: disconnect}, ""},
		{"disconnect", hook.PointPublish, verdict{action: disconnect, code: 0x9c, serverReference: "other:1883"}, ""},
		{"disconnect like a CONNACK", hook.PointPublish, verdict{action: disconnect, code: 0x86}, "not one of DISCONNECT"},
		{"long reason", hook.PointPublish, verdict{action: refuse, reason: long}, "reason of 65536 bytes"},
		{"reason with U+0000", hook.PointPublish, verdict{action: refuse, reason: "a\x00"}, "reason contains U+0000"},
		{"reason that is not UTF-8", hook.PointPublish, verdict{action: refuse, reason: "\xff"}, "reason is not valid UTF-8"},
		{"server reference", hook.PointPublish, verdict{action: disconnect, serverReference: "\xff"}, "server reference is not"},
		{"user property", hook.PointPublish, verdict{action: refuse, user: []mqtt.UserProperty{{Key: long}}}, "user property name of"},
		{"user property value", hook.PointPublish, verdict{action: refuse, user: []mqtt.UserProperty{{Value: "\x00"}}}, "user property value"},
		{"user properties", hook.PointPublish, verdict{action: refuse, user: make([]mqtt.UserProperty, maxUserProperties+1)}, "4097 user properties"},

		{"change and drop", hook.PointPublish, verdict{action: drop, change: &messageChange{}}, "a change together with drop"},
		{"change a subscribe's message", hook.PointSubscribe, change(messageChange{}), "a changed message for subscribe"},
		{"no change", hook.PointPublish, change(messageChange{}), ""},
		{"topic", hook.PointDeliver, change(messageChange{has: changeTopic, topic: "a/b"}), ""},
		{"no topic", hook.PointPublish, change(messageChange{has: changeTopic}), "topic is empty"},
		{"topic with a wildcard", hook.PointPublish, change(messageChange{has: changeTopic, topic: "a/+"}), "wildcard"},
		{"long topic", hook.PointPublish, change(messageChange{has: changeTopic, topic: long}), "topic of 65536 bytes"},
		{"QoS", hook.PointPublish, change(messageChange{has: changeQoS, qos: 3}), "QoS 3"},
		{"expiry twice", hook.PointPublish, change(messageChange{has: changeExpiry, clearExpiry: true}), "an expiry to set and to clear"},
		{"format twice", hook.PointPublish, change(messageChange{has: changePayloadIsUTF8, clearFormat: true}), "to set and to clear"},
		{"content type", hook.PointPublish, change(messageChange{has: changeContentType, contentType: "\xff"}), "content type is not"},
		{"response topic", hook.PointPublish, change(messageChange{has: changeResponseTopic, responseTopic: "#"}), "response topic"},
		{"no response topic", hook.PointPublish, change(messageChange{has: changeResponseTopic}), ""},
		{"correlation data", hook.PointPublish, change(messageChange{has: changeCorrelationData, correlationData: []byte(long)}), "correlation data of"},
		{"changed user property", hook.PointPublish, change(messageChange{has: changeUser, user: []mqtt.UserProperty{{Key: "\xff"}}}), "user property name"},

		{"change a publish's subscription", hook.PointPublish, subscribe(subscriptionChange{filter: "a"}), "a changed subscription for publish"},
		{"change an unsubscribe", hook.PointUnsubscribe, subscribe(subscriptionChange{filter: "a"}), "a changed subscription for unsubscribe"},
		{"subscription", hook.PointSubscribe, subscribe(subscriptionChange{filter: "$share/g/a/#", qos: 1}), ""},
		{"no filter", hook.PointSubscribe, subscribe(subscriptionChange{}), "topic filter"},
		{"filter", hook.PointSubscribe, subscribe(subscriptionChange{filter: "a/#/b"}), "topic filter"},
		{"granted QoS", hook.PointSubscribe, subscribe(subscriptionChange{filter: "a", qos: 3}), "QoS 3"},
		{"retain handling", hook.PointSubscribe, subscribe(subscriptionChange{filter: "a", retainHandling: 3}), "retain handling 3"},
		{"identifier", hook.PointSubscribe, subscribe(subscriptionChange{filter: "a", identifier: maxSubscriptionID + 1}), "identifier"},
		{"no local for a share", hook.PointSubscribe, subscribe(subscriptionChange{filter: "$share/g/a", noLocal: true}), "no local"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.verdict.check(tt.point, &hook.Call{Message: message("t", "p")})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			wantErrors(t, err, hook.ErrProtocol)
		})
	}
}

// TestVerdictUndecided: the plugin's own error is none of the protocol.
func TestVerdictUndecided(t *testing.T) {
	_, err := (&verdict{reason: "no database"}).check(hook.PointPublish, &hook.Call{Message: message("t", "p")})
	if err == nil || !strings.Contains(err.Error(), "no database") {
		t.Error(err)
	}
	wantErrors(t, err)
}

func TestMessageChangeApply(t *testing.T) {
	original := message("t", "p")
	original.Properties = &mqtt.Properties{
		HasExpiry: true, Expiry: 60, HasPayloadFormat: true, PayloadIsUTF8: true, ContentType: "text/plain",
		ResponseTopic: "r", CorrelationData: []byte("c"), User: []mqtt.UserProperty{{Key: "k"}},
	}
	snapshot := *original.Clone()
	tests := []struct {
		name   string
		from   *mqtt.Message
		change messageChange
		edit   func(*mqtt.Message) // of a clone: what should come out
	}{
		{"everything", original, messageChange{
			has: 0x7fe, topic: "u", payload: []byte("q"), qos: 2, retain: true, payloadIsUTF8: false, expiry: 5,
			contentType: "x", responseTopic: "s", correlationData: []byte("d"), user: []mqtt.UserProperty{{Key: "l"}},
		}, func(m *mqtt.Message) {
			m.Topic, m.Payload, m.QoS, m.Retain = "u", []byte("q"), 2, true
			m.Properties = &mqtt.Properties{
				HasExpiry: true, Expiry: 5, HasPayloadFormat: true, ContentType: "x", ResponseTopic: "s",
				CorrelationData: []byte("d"), User: []mqtt.UserProperty{{Key: "l"}},
			}
		}},
		{"removed", original, messageChange{
			has:         changeContentType | changeResponseTopic | changeCorrelationData | changeUser,
			clearExpiry: true, clearFormat: true,
		}, func(m *mqtt.Message) { m.Properties = &mqtt.Properties{} }},
		{"set where there was nothing", message("t", "p"), messageChange{has: changeExpiry, expiry: 5}, func(m *mqtt.Message) {
			m.Properties = &mqtt.Properties{HasExpiry: true, Expiry: 5}
		}},
		{"cleared where there was nothing", message("t", "p"), messageChange{clearExpiry: true}, func(*mqtt.Message) {}},
		{"payload alone", original, messageChange{has: changePayload, payload: []byte{}}, func(m *mqtt.Message) { m.Payload = []byte{} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.change.apply(tt.from)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.from.Clone()
			tt.edit(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if diff := cmp.Diff(&snapshot, original); diff != "" {
				t.Errorf("the original was changed\n%s", diff)
			}
		})
	}
	if m, err := (&messageChange{}).apply(original); err != nil || m != original {
		t.Error("a change of nothing made another message")
	}
}

func TestEachFieldSkipsWhatItDoesNotKnow(t *testing.T) {
	var b []byte
	b = protowire.AppendTag(b, 1, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, 1)
	b = protowire.AppendTag(b, 2, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, 1)
	b = protowire.AppendTag(b, 3, protowire.StartGroupType)
	b = protowire.AppendTag(b, 3, protowire.EndGroupType)
	b = protowire.AppendTag(b, 4, protowire.VarintType)
	b = protowire.AppendVarint(b, 77)
	seen := 0
	err := eachField(b, func(field protowire.Number, _ byte, v uint64, _ []byte) error {
		if seen++; field != 4 || v != 77 {
			t.Errorf("field %d: %d", field, v)
		}
		return nil
	})
	if err != nil || seen != 1 {
		t.Errorf("%d fields, %v", seen, err)
	}
	for _, bad := range []string{"\x80", "\x08", "\x0a\x05a", "\x0c", "\x00\x00", "\x0b\x08"} {
		if eachField([]byte(bad), func(protowire.Number, byte, uint64, []byte) error { return nil }) == nil {
			t.Errorf("%x passes", bad)
		}
	}
}
