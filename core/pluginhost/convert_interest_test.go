package pluginhost

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestInterestsFromProto(t *testing.T) {
	got, err := interestsFromProto([]*pluginv1.HookInterest{
		{Hook: pluginv1.Hook_HOOK_CONNECT},
		{
			Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{"a/#", "+"}, Payload: pluginv1.PayloadMode_PAYLOAD_MODE_HEAD,
			PayloadHeadBytes: 16, BeforeAuthorization: true, ExemptChanges: true,
			MayChange: []pluginv1.Field{pluginv1.Field_FIELD_TOPIC, pluginv1.Field_FIELD_SUBSCRIPTION, 99, 0},
			Origins:   []pluginv1.Origin{pluginv1.Origin_ORIGIN_CLIENT, pluginv1.Origin_ORIGIN_PLUGIN, 99},
		},
		{Hook: 0},
		{Hook: 99},
		nil,
		{
			Hook: pluginv1.Hook_HOOK_EVENT, Payload: pluginv1.PayloadMode_PAYLOAD_MODE_NONE,
			Events: []pluginv1.EventKind{pluginv1.EventKind_EVENT_KIND_CONNECTED, pluginv1.EventKind_EVENT_KIND_REFUSED, 99, 0},
		},
		{Hook: pluginv1.Hook_HOOK_RETAIN, Payload: pluginv1.PayloadMode_PAYLOAD_MODE_FULL},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []hook.Interest{
		{Point: hook.PointConnect},
		{
			Point: hook.PointPublish, Filters: []string{"a/#", "+"}, Payload: hook.PayloadHead, HeadSize: 16,
			BeforeAuthorization: true, ExemptChanges: true, MayChange: hook.FieldTopic | hook.FieldSubscription,
			Origins: []mqtt.Origin{mqtt.FromClient, mqtt.FromPlugin},
		},
		{Point: hook.PointEvent, Payload: hook.PayloadNone, Events: []hook.EventKind{hook.Connected, hook.Refused}},
		{Point: hook.PointRetain},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestEnumsAgree: points, fields, kinds and origins are converted by arithmetic.
func TestEnumsAgree(t *testing.T) {
	points := []hook.Point{
		hook.PointConnect, hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe,
		hook.PointDeliver, hook.PointEvent, hook.PointRetain,
	}
	for i, p := range points {
		name := strings.TrimPrefix(pluginv1.Hook(i+1).String(), "HOOK_")
		if got, ok := pointFromProto(pluginv1.Hook(i + 1)); !ok || got != p || strings.ToLower(name) != p.String() {
			t.Errorf("%v is %v", pluginv1.Hook(i+1), got)
		}
	}
	for field, want := range map[pluginv1.Field]hook.Field{
		pluginv1.Field_FIELD_TOPIC: hook.FieldTopic, pluginv1.Field_FIELD_PAYLOAD: hook.FieldPayload,
		pluginv1.Field_FIELD_QOS: hook.FieldQoS, pluginv1.Field_FIELD_RETAIN: hook.FieldRetain,
		pluginv1.Field_FIELD_USER_PROPERTIES: hook.FieldUser, pluginv1.Field_FIELD_EXPIRY: hook.FieldExpiry,
		pluginv1.Field_FIELD_CONTENT_TYPE: hook.FieldContentType, pluginv1.Field_FIELD_RESPONSE: hook.FieldResponse,
		pluginv1.Field_FIELD_SUBSCRIPTION: hook.FieldSubscription,
	} {
		in, err := interestsFromProto([]*pluginv1.HookInterest{{Hook: pluginv1.Hook_HOOK_PUBLISH, MayChange: []pluginv1.Field{field}}})
		if err != nil || in[0].MayChange != want {
			t.Errorf("%v: %v, %v", field, in, err)
		}
	}
	if int(hook.NumEventKinds) != len(pluginv1.EventKind_name) || hook.WillSent != hook.EventKind(pluginv1.EventKind_EVENT_KIND_WILL_SENT) {
		t.Error("kinds of events differ")
	}
	for o := mqtt.FromClient; o <= mqtt.FromPlugin; o++ {
		if name := pluginv1.Origin(originToWire(o)).String(); name != "ORIGIN_"+strings.ToUpper(o.String()) {
			t.Errorf("%v is %s", o, name)
		}
	}
	if pluginv1.DisconnectKind(hook.ByServer) != pluginv1.DisconnectKind_DISCONNECT_KIND_SERVER {
		t.Error("kinds of disconnections differ")
	}
}

func TestInterestsFromProtoRefuses(t *testing.T) {
	for want, p := range map[string]*pluginv1.HookInterest{
		"topic filter":           {Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{"a", "#/a"}},
		"payload mode 7":         {Hook: pluginv1.Hook_HOOK_PUBLISH, Payload: 7},
		"nothing in it is known": {Hook: pluginv1.Hook_HOOK_EVENT, Events: []pluginv1.EventKind{99}},
		"nothing in it":          {Hook: pluginv1.Hook_HOOK_PUBLISH, Origins: []pluginv1.Origin{99}},
	} {
		_, err := interestsFromProto([]*pluginv1.HookInterest{p})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", p, err)
			continue
		}
		wantErrors(t, err, hook.ErrProtocol)
	}
}

func TestPayloadPlan(t *testing.T) {
	m := message("a/b", "0123456789")
	other := message("c", "0123456789")
	in := func(mode hook.PayloadMode, head int, filters ...string) hook.Interest {
		return hook.Interest{Point: hook.PointPublish, Payload: mode, HeadSize: head, Filters: filters}
	}
	tests := []struct {
		name           string
		interests      []hook.Interest
		want, forOther string
	}{
		{"nothing said", nil, "0123456789", "0123456789"},
		{"elsewhere", []hook.Interest{{Point: hook.PointDeliver, Payload: hook.PayloadNone}}, "0123456789", "0123456789"},
		{"full", []hook.Interest{in(hook.PayloadFull, 0)}, "0123456789", "0123456789"},
		{"none", []hook.Interest{in(hook.PayloadNone, 0)}, "", ""},
		{"head", []hook.Interest{in(hook.PayloadHead, 3)}, "012", "012"},
		{"long head", []hook.Interest{in(hook.PayloadHead, 30)}, "0123456789", "0123456789"},
		{"by topic", []hook.Interest{in(hook.PayloadHead, 3, "a/#"), in(hook.PayloadNone, 0, "c")}, "012", ""},
		{"the most", []hook.Interest{in(hook.PayloadHead, 3, "a/#"), in(hook.PayloadHead, 5), in(hook.PayloadNone, 0)}, "01234", "01234"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPayloadPlan(tt.interests)
			if got := p.cut(hook.PointPublish, 0, m); string(got) != tt.want {
				t.Errorf("%q", got)
			}
			if got := p.cut(hook.PointPublish, 0, other); string(got) != tt.forOther {
				t.Errorf("of the other: %q", got)
			}
		})
	}
	events := newPayloadPlan([]hook.Interest{
		{Point: hook.PointEvent, Events: []hook.EventKind{hook.Published}, Payload: hook.PayloadHead, HeadSize: 2},
		{Point: hook.PointEvent, Payload: hook.PayloadNone},
	})
	if got := events.cut(hook.PointEvent, hook.Published, m); string(got) != "01" {
		t.Errorf("%q", got)
	}
	if got := events.cut(hook.PointEvent, hook.Dropped, m); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
