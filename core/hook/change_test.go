package hook_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// changes are all that an interceptor could do to a call, with what it has to
// declare for it; none is enough if that is zero.
var changes = []struct {
	name   string
	field  hook.Field
	points []hook.Point
	do     func(*hook.Call)
}{
	{"topic", hook.FieldTopic, messages, inMessage(func(m *mqtt.Message) { m.Topic = "u" })},
	{"payload", hook.FieldPayload, messages, inMessage(func(m *mqtt.Message) { m.Payload = []byte("other") })},
	{"no payload", hook.FieldPayload, messages, inMessage(func(m *mqtt.Message) { m.Payload = nil })},
	{"QoS", hook.FieldQoS, messages, inMessage(func(m *mqtt.Message) { m.QoS = 2 })},
	{"retain", hook.FieldRetain, messages, inMessage(func(m *mqtt.Message) { m.Retain = true })},
	{"user properties", hook.FieldUser, messages, inProperties(func(p *mqtt.Properties) { p.User = []mqtt.UserProperty{{Key: "k"}} })},
	{"expiry", hook.FieldExpiry, messages, inProperties(func(p *mqtt.Properties) { p.HasExpiry, p.Expiry = true, 60 })},
	{"content type", hook.FieldContentType, messages, inProperties(func(p *mqtt.Properties) { p.ContentType = "c" })},
	{"payload format", hook.FieldContentType, messages, inProperties(func(p *mqtt.Properties) { p.HasPayloadFormat = true })},
	{"response topic", hook.FieldResponse, messages, inProperties(func(p *mqtt.Properties) { p.ResponseTopic = "r" })},
	{"correlation data", hook.FieldResponse, messages, inProperties(func(p *mqtt.Properties) { p.CorrelationData = []byte{1} })},
	{"publisher", 0, messages, inMessage(func(m *mqtt.Message) { m.Publisher = "another" })},
	{"origin", 0, messages, inMessage(func(m *mqtt.Message) { m.Origin = mqtt.FromPlugin })},
	{"hops", 0, messages, inMessage(func(m *mqtt.Message) { m.Hops = 1 })},
	{"no message", 0, messages, func(c *hook.Call) { c.Message = nil }},
	{"filter", hook.FieldSubscription, subscribing, func(c *hook.Call) { c.Subscription.Filter = "u" }},
	{"granted QoS", hook.FieldQoS, subscribing, func(c *hook.Call) { c.Subscription.QoS = 0 }},
	{"no local", hook.FieldSubscription, subscribing, func(c *hook.Call) { c.Subscription.NoLocal = true }},
	{"retain as published", hook.FieldSubscription, subscribing, func(c *hook.Call) { c.Subscription.RetainAsPublished = true }},
	{"retain handling", hook.FieldSubscription, subscribing, func(c *hook.Call) { c.Subscription.RetainHandling = mqtt.RetainDoNotSend }},
	{"identifier", hook.FieldSubscription, subscribing, func(c *hook.Call) { c.Subscription.ID = 7 }},
	{"filter to unsubscribe", 0, []hook.Point{hook.PointUnsubscribe}, func(c *hook.Call) { c.Subscription.Filter = "u" }},
}

var (
	messages    = []hook.Point{hook.PointPublish, hook.PointDeliver}
	subscribing = []hook.Point{hook.PointSubscribe}
)

func inMessage(do func(*mqtt.Message)) func(*hook.Call) {
	return func(c *hook.Call) {
		c.Message = c.Message.Clone()
		do(c.Message)
	}
}

func inProperties(do func(*mqtt.Properties)) func(*hook.Call) {
	return inMessage(func(m *mqtt.Message) {
		m.Properties = new(mqtt.Properties)
		do(m.Properties)
	})
}

// A plugin changes what it declared; anything else is undone, the call refused
// and counted, whatever else it may change.
func TestUndeclaredChange(t *testing.T) {
	for _, tt := range changes {
		for _, point := range tt.points {
			t.Run(tt.name+" of "+point.String(), func(t *testing.T) {
				intercept := func(may hook.Field) (call, before hook.Call, violations uint64) {
					h, counters := hook.NewHooks(nil), new(hook.Counters)
					h.SetInterceptors([]hook.InterceptorEntry{{
						Name: "sly", Counters: counters, Interests: []hook.Interest{{Point: point, MayChange: may}},
						Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
							tt.do(b.Calls[0])
							return nil
						}),
					}})
					if point == hook.PointPublish || point == hook.PointDeliver {
						call.Message = &mqtt.Message{Topic: "t", Payload: []byte("p"), QoS: 1, Publisher: "c"}
					} else {
						call.Subscription = mqtt.Subscription{Filter: "t", QoS: 1}
					}
					before = call
					h.Intercept(t.Context(), hook.AfterAuthorization, &hook.Batch{Point: point, Calls: []*hook.Call{&call}})
					return call, before, counters.Read()[0].Violations
				}
				call, before, violations := intercept(hook.FieldAll &^ tt.field)
				if v := call.Verdict; v.Action != hook.Refuse || !v.Failed || v.By != "sly" || violations != 1 {
					t.Errorf("undeclared: verdict %+v, %d violations", v, violations)
				}
				if call.Message != before.Message || call.Subscription != before.Subscription {
					t.Error("the change was not undone")
				}
				if tt.field == 0 {
					return
				}
				call, before, violations = intercept(tt.field)
				if call.Verdict.Action != hook.Pass || violations != 0 {
					t.Errorf("declared: verdict %+v, %d violations", call.Verdict, violations)
				}
				if call.Message == before.Message && call.Subscription == before.Subscription {
					t.Error("the change was undone")
				}
			})
		}
	}
}

func TestChanged(t *testing.T) {
	base := func() *mqtt.Message {
		return &mqtt.Message{Topic: "t", Payload: []byte("p"), Properties: &mqtt.Properties{ContentType: "c"}}
	}
	for _, tt := range []struct {
		want hook.Field
		mod  func(*mqtt.Message)
	}{
		{0, func(*mqtt.Message) {}},
		{1 << 15, func(m *mqtt.Message) { m.Publisher = "other" }},
		{1 << 15, func(m *mqtt.Message) { m.Origin = mqtt.FromServer }},
		{1 << 15, func(m *mqtt.Message) { m.Hops = 1 }},
		{0, func(m *mqtt.Message) { m.Created = time.Unix(1, 0) }},
		{hook.FieldTopic, func(m *mqtt.Message) { m.Topic = "u" }},
		{hook.FieldPayload, func(m *mqtt.Message) { m.Payload = nil }},
		{hook.FieldQoS, func(m *mqtt.Message) { m.QoS = 1 }},
		{hook.FieldRetain, func(m *mqtt.Message) { m.Retain = true }},
		{hook.FieldUser, func(m *mqtt.Message) { m.Properties.User = []mqtt.UserProperty{{Key: "k"}} }},
		{hook.FieldExpiry, func(m *mqtt.Message) { m.Properties.HasExpiry = true }},
		{hook.FieldContentType, func(m *mqtt.Message) { m.Properties = nil }},
		{hook.FieldResponse, func(m *mqtt.Message) { m.Properties.CorrelationData = []byte{} }},
	} {
		m := base()
		tt.mod(m)
		if got := hook.Changed(base(), m); got != tt.want {
			t.Errorf("got %b, want %b", got, tt.want)
		}
	}
}

// An interceptor whose interests have changed on the way is held against those
// by which it decided, and only for that batch.
func TestDecidedByNewerInterests(t *testing.T) {
	newer := []hook.Interest{{Point: hook.PointSubscribe, MayChange: hook.FieldAll}, {Point: hook.PointPublish, MayChange: hook.FieldTopic}}
	changed := true
	h := hook.NewHooks(nil)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "swapped", Interests: []hook.Interest{{Point: hook.PointPublish, MayChange: hook.FieldPayload}},
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			if changed {
				b.DecidedBy = newer
			}
			c := b.Calls[0]
			c.Message = c.Message.Clone()
			c.Message.Topic += "!"
			return nil
		}),
	}})
	b := publish("t")
	h.Intercept(t.Context(), hook.AfterAuthorization, b)
	if topics(b) != "t!" || b.Calls[0].Verdict.Action != hook.Pass {
		t.Errorf("topic %s, verdict %+v", topics(b), b.Calls[0].Verdict)
	}
	changed = false
	h.Intercept(t.Context(), hook.AfterAuthorization, b)
	if topics(b) != "t!" || b.Calls[0].Verdict.Action != hook.Refuse {
		t.Errorf("topic %s, verdict %+v", topics(b), b.Calls[0].Verdict)
	}
}
