package pluginapi_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func publishPlugin(f pluginapi.PublishFunc) pluginapi.Plugin {
	return pluginapi.Plugin{Name: "p", Hooks: f}
}

// fullMessage is a message that has everything.
func fullMessage() *pluginapi.Message {
	return plugintest.Message("a/b", "payload", func(m *pluginapi.Message) {
		m.PayloadIsUTF8, m.Expiry = new(true), new(uint32(60))
		m.ContentType, m.ResponseTopic, m.CorrelationData = "text", "re", []byte("id")
		m.UserProperties = []pluginapi.UserProperty{{Key: "k", Value: "v"}}
	})
}

// TestChanges wants every change of a message to arrive, and nothing else to be
// sent.
func TestChanges(t *testing.T) {
	cases := []struct {
		name   string
		change func(*pluginapi.Message)
		wire   *pluginv1.MessageChange // nil: passes unchanged
	}{
		{"nothing", func(*pluginapi.Message) {}, nil},
		{"the same again", func(m *pluginapi.Message) {
			m.Topic, m.Payload, m.Expiry = "a/b", []byte("payload"), new(uint32(60))
			m.UserProperties = []pluginapi.UserProperty{{Key: "k", Value: "v"}}
		}, nil},
		{"what cannot be changed", func(m *pluginapi.Message) { m.Publisher, m.Origin, m.PayloadSize = "x", 9, 3 }, nil},
		{"topic", func(m *pluginapi.Message) { m.Topic = "c" }, &pluginv1.MessageChange{Topic: new("c")}},
		{"payload", func(m *pluginapi.Message) { m.Payload = []byte("new") }, &pluginv1.MessageChange{Payload: []byte("new")}},
		{"payload in place", func(m *pluginapi.Message) { m.Payload[0] = 'P' }, &pluginv1.MessageChange{Payload: []byte("Payload")}},
		{"payload emptied", func(m *pluginapi.Message) { m.Payload = nil }, &pluginv1.MessageChange{Payload: []byte{}}},
		{"QoS", func(m *pluginapi.Message) { m.QoS = 0 }, &pluginv1.MessageChange{Qos: new(uint32(0))}},
		{"retain", func(m *pluginapi.Message) { m.Retain = true }, &pluginv1.MessageChange{Retain: new(true)}},
		{"payload format", func(m *pluginapi.Message) { *m.PayloadIsUTF8 = false }, &pluginv1.MessageChange{PayloadIsUtf8: new(false)}},
		{"no payload format", func(m *pluginapi.Message) { m.PayloadIsUTF8 = nil }, &pluginv1.MessageChange{ClearPayloadFormat: true}},
		{"expiry in place", func(m *pluginapi.Message) { *m.Expiry = 0 }, &pluginv1.MessageChange{ExpirySeconds: new(uint32(0))}},
		{"no expiry", func(m *pluginapi.Message) { m.Expiry = nil }, &pluginv1.MessageChange{ClearExpiry: true}},
		{"content type", func(m *pluginapi.Message) { m.ContentType = "" }, &pluginv1.MessageChange{ContentType: new("")}},
		{"response topic", func(m *pluginapi.Message) { m.ResponseTopic = "x" }, &pluginv1.MessageChange{ResponseTopic: new("x")}},
		{"correlation data in place", func(m *pluginapi.Message) { m.CorrelationData[0] = 'I' }, &pluginv1.MessageChange{CorrelationData: []byte("Id")}},
		{"no correlation data", func(m *pluginapi.Message) { m.CorrelationData = nil }, &pluginv1.MessageChange{CorrelationData: []byte{}}},
		{"user property in place", func(m *pluginapi.Message) { m.UserProperties[0].Value = "w" }, &pluginv1.MessageChange{
			UserProperties: &pluginv1.UserPropertyList{UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "w"}}},
		}},
		{"no user properties", func(m *pluginapi.Message) { m.UserProperties = nil }, &pluginv1.MessageChange{UserProperties: &pluginv1.UserPropertyList{}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			hook := func(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
				c.change(call.Message)
				return pluginapi.Pass(), nil
			}
			p := plugintest.Start(t, publishPlugin(hook))
			want := fullMessage()
			if c.wire != nil {
				c.change(want)
				want.PayloadSize = len(want.Payload)
			}
			call := &pluginapi.PublishCall{Message: fullMessage()}
			if v, err := p.InterceptPublish(t.Context(), call); err != nil || v.Action != pluginapi.ActionPass {
				t.Fatalf("verdict %v, %v", v, err)
			}
			if diff := cmp.Diff(want, call.Message, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			resp, err := pluginv1.NewMessageInterceptorServiceClient(p.Conn()).Intercept(t.Context(), &pluginv1.InterceptRequest{
				Calls: []*pluginv1.Call{{Seq: 7, Call: &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: wire(fullMessage())}}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			wantResp := &pluginv1.InterceptResponse{Passed: []*pluginv1.SeqRange{{FirstSeq: 7, Count: 1}}}
			if c.wire != nil {
				wantResp = &pluginv1.InterceptResponse{Verdicts: []*pluginv1.Verdict{
					{Seq: 7, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS, Message: c.wire},
				}}
			}
			if diff := cmp.Diff(wantResp, resp, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func wire(m *pluginapi.Message) *pluginv1.Message {
	return &pluginv1.Message{
		Topic: m.Topic, Payload: m.Payload, PayloadSize: uint64(m.PayloadSize), Qos: uint32(m.QoS), Retain: m.Retain,
		PayloadIsUtf8: m.PayloadIsUTF8, ExpirySeconds: m.Expiry, ContentType: m.ContentType, ResponseTopic: m.ResponseTopic,
		CorrelationData: m.CorrelationData, UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}}, Publisher: m.Publisher,
	}
}

// TestAPartOfAPayload: a hook that was shown less than all must not send back
// that part as if it were all.
func TestAPartOfAPayload(t *testing.T) {
	hook := func(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		if call.Message.PayloadSize != 1000 || string(call.Message.Payload) != "head" {
			return pluginapi.Refuse(0, "not what was sent"), nil
		}
		call.Message.QoS = 0
		return pluginapi.Pass(), nil
	}
	p := plugintest.Start(t, publishPlugin(hook))
	call := &pluginapi.PublishCall{Message: plugintest.Message("t", "head", func(m *pluginapi.Message) { m.PayloadSize = 1000 })}
	v, err := p.InterceptPublish(t.Context(), call)
	if err != nil || v.Action != pluginapi.ActionPass || call.Message.PayloadSize != 1000 || call.Message.QoS != 0 {
		t.Errorf("verdict %v, %v, message %+v", v, err, call.Message)
	}
}

func TestVerdicts(t *testing.T) {
	full := pluginapi.Verdict{
		Action: pluginapi.ActionDisconnect, Code: pluginapi.UseAnotherServer, Reason: "r", ServerReference: "s",
		UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}},
	}
	for _, want := range []pluginapi.Verdict{
		pluginapi.Pass(), pluginapi.Drop(), pluginapi.Refuse(0, ""), pluginapi.Refuse(pluginapi.QuotaExceeded, "enough"),
		pluginapi.DisconnectClient(pluginapi.Banned, "bye"), full,
		{UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "v"}}},
	} {
		p := plugintest.Start(t, publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return want, nil }))
		got, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Message: fullMessage()})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// TestIllegalVerdicts could not be decided: nothing illegal reaches the broker,
// and the stream goes on.
func TestIllegalVerdicts(t *testing.T) {
	change := func(f func(*pluginapi.Message)) pluginapi.PublishFunc {
		return func(_ context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
			f(call.Message)
			return pluginapi.Pass(), nil
		}
	}
	verdict := func(v pluginapi.Verdict) pluginapi.PublishFunc {
		return func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return v, nil }
	}
	cases := map[string]pluginapi.PublishFunc{
		"QoS 3":            change(func(m *pluginapi.Message) { m.QoS = 3 }),
		"topic":            change(func(m *pluginapi.Message) { m.Topic = "\xff" }),
		"content type":     change(func(m *pluginapi.Message) { m.ContentType = "\xff" }),
		"user property":    change(func(m *pluginapi.Message) { m.UserProperties = []pluginapi.UserProperty{{Value: "\xff"}} }),
		"unknown action 9": verdict(pluginapi.Verdict{Action: 9}),
		"passes with":      verdict(pluginapi.Verdict{Code: pluginapi.NotAuthorized}),
		"refusal with":     verdict(pluginapi.Refuse(pluginapi.GrantedQoS1, "")),
		"reason":           verdict(pluginapi.Refuse(0, "\xff")),
		"server reference": verdict(pluginapi.Verdict{Action: pluginapi.ActionDisconnect, ServerReference: "\xff"}),
		"set to nil": func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
			c.Message = nil
			return pluginapi.Pass(), nil
		},
		"the oracle is away": func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
			return pluginapi.Pass(), errors.New("the oracle is away")
		},
		"panic in intercept": func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { panic("oh") },
	}
	for want, hook := range cases {
		t.Run(want, func(t *testing.T) {
			p := plugintest.Start(t, publishPlugin(func(ctx context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
				if c.Message.Topic == "good" {
					return pluginapi.Drop(), nil
				}
				return hook(ctx, c)
			}))
			if _, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Message: fullMessage()}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("unary: %v, want %q", err, want)
			}
			bad := &pluginapi.Call{Publish: &pluginapi.PublishCall{Message: fullMessage()}}
			good := &pluginapi.Call{Publish: &pluginapi.PublishCall{Message: plugintest.Message("good", "")}}
			if err := p.InterceptFrames(t.Context(), []*pluginapi.Call{good}, []*pluginapi.Call{bad}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("stream: %v, want %q", err, want)
			}
		})
	}
}

// subscriber changes filters.
type subscriber struct {
	pluginapi.SubscribeFunc
	pluginapi.UnsubscribeFunc
	pluginapi.DeliverFunc
}

func TestSubscriptionsAndDeliveries(t *testing.T) {
	client := plugintest.Client("c", func(c *pluginapi.Client) {
		c.Username, c.Mountpoint, c.Items = "u", "m/", map[string][]byte{"k": {0}}
	})
	props := []pluginapi.UserProperty{{Key: "a", Value: "b"}}
	full := pluginapi.Subscription{Filter: "$share/g/a/#", QoS: 2, RetainAsPublished: true, RetainHandling: 2, Identifier: 268435455}
	hooks := &subscriber{
		func(_ context.Context, c *pluginapi.SubscribeCall) (pluginapi.Verdict, error) {
			if diff := cmp.Diff(&pluginapi.SubscribeCall{Client: client, Subscription: full, UserProperties: props}, c); diff != "" {
				t.Error(diff)
			}
			c.Subscription.QoS = 0
			c.Subscription.NoLocal = true
			return pluginapi.Pass(), nil
		},
		func(_ context.Context, c *pluginapi.UnsubscribeCall) (pluginapi.Verdict, error) {
			if diff := cmp.Diff(&pluginapi.UnsubscribeCall{Client: client, Filter: "f", UserProperties: props}, c); diff != "" {
				t.Error(diff)
			}
			return pluginapi.Refuse(pluginapi.NotAuthorized, ""), nil
		},
		func(_ context.Context, c *pluginapi.DeliverCall) (pluginapi.Verdict, error) {
			if c.Client != nil || c.Receiver != "offline" || !c.Retained || c.Message.Topic != "t" {
				t.Errorf("deliver call %+v", c)
			}
			c.Message.Payload = []byte("other")
			return pluginapi.Pass(), nil
		},
	}
	p := plugintest.Start(t, pluginapi.Plugin{Name: "s", Hooks: hooks})
	sub := &pluginapi.SubscribeCall{Client: client, Subscription: full, UserProperties: props}
	if v, err := p.InterceptSubscribe(t.Context(), sub); err != nil || v.Action != pluginapi.ActionPass {
		t.Errorf("subscribe: %v, %v", v, err)
	}
	want := full
	want.QoS, want.NoLocal = 0, true
	if sub.Subscription != want {
		t.Errorf("subscription %+v, want %+v", sub.Subscription, want)
	}
	unsub := &pluginapi.UnsubscribeCall{Client: client, Filter: "f", UserProperties: props}
	if v, err := p.InterceptUnsubscribe(t.Context(), unsub); err != nil || v.Action != pluginapi.ActionRefuse {
		t.Errorf("unsubscribe: %v, %v", v, err)
	}
	del := &pluginapi.DeliverCall{Receiver: "offline", Retained: true, Message: plugintest.Message("t", "p")}
	if v, err := p.InterceptDeliver(t.Context(), del); err != nil || v.Action != pluginapi.ActionPass || string(del.Message.Payload) != "other" {
		t.Errorf("deliver: %v, %v, %q", v, err, del.Message.Payload)
	}
	// A hook that the plugin does not have lets everything pass.
	if v, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Message: fullMessage()}); err != nil || v.Action != pluginapi.ActionPass {
		t.Errorf("publish: %v, %v", v, err)
	}
}

func TestUndeclaredChangesAreFound(t *testing.T) {
	p := plugintest.Start(t, pluginapi.Plugin{Name: "u", Hooks: undeclared{}})
	_, err := p.InterceptPublish(t.Context(), &pluginapi.PublishCall{Message: fullMessage()})
	if err == nil || !strings.Contains(err.Error(), "FIELD_TOPIC, which its interest in the hook publish does not declare") || strings.Contains(err.Error(), "FIELD_QOS") {
		t.Errorf("error %v, want one about the topic", err)
	}
	if diff := cmp.Diff([]pluginapi.Hook{pluginapi.HookPublish}, p.Hooks()); diff != "" {
		t.Error(diff)
	}
}

type undeclared struct{}

func (undeclared) InterceptPublish(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	c.Message.Topic, c.Message.QoS = "x", 0
	return pluginapi.Pass(), nil
}

func (undeclared) Interest() []pluginapi.Interest {
	return []pluginapi.Interest{{Hook: pluginapi.HookPublish, Payload: pluginapi.PayloadNone, MayChange: []pluginapi.Field{pluginapi.FieldQoS}}}
}

func TestCallsThatMakeNoSense(t *testing.T) {
	p := plugintest.Start(t, publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return pluginapi.Pass(), nil }))
	api := pluginv1.NewMessageInterceptorServiceClient(p.Conn())
	publish := &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{}}
	for want, call := range map[string]*pluginv1.Call{
		"not told of":   {ConnectionId: 9, Call: publish},
		"does not know": {},
		"without one":   {Call: publish},
		"a message":     {Call: &pluginv1.Call_Deliver{}},
	} {
		_, err := api.Intercept(t.Context(), &pluginv1.InterceptRequest{Calls: []*pluginv1.Call{call}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if resp, err := api.Intercept(t.Context(), &pluginv1.InterceptRequest{}); err != nil || len(resp.GetPassed())+len(resp.GetVerdicts()) > 0 {
		t.Errorf("no calls: %v, %v", resp, err)
	}
}

func TestInterceptBeforeInit(t *testing.T) {
	p := plugintest.Start(t, publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return pluginapi.Pass(), nil }), plugintest.NoInit())
	call := []*pluginapi.Call{{Publish: &pluginapi.PublishCall{Message: fullMessage()}}}
	if err := p.InterceptBatch(t.Context(), call); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("unary: %v, want FailedPrecondition", err)
	}
	if err := p.InterceptFrames(t.Context(), call); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("stream: %v, want FailedPrecondition", err)
	}
}
