package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

func fullMessage() *mqtt.Message {
	return &mqtt.Message{
		Topic: "a/b", Payload: []byte("payload"), QoS: 2, Retain: true, Publisher: "p", Origin: mqtt.FromPlugin, Hops: 3,
		Created: time.Unix(1_700_000_000, 123),
		Properties: &mqtt.Properties{
			PayloadIsUTF8: true, HasPayloadFormat: true, Expiry: 7, HasExpiry: true, ContentType: "c", ResponseTopic: "r",
			CorrelationData: []byte{}, User: []mqtt.UserProperty{{Key: "k", Value: "v"}, {Key: "k", Value: ""}},
		},
	}
}

func TestValues(t *testing.T) {
	small := &mqtt.Message{Topic: "t", Payload: []byte{}, Properties: &mqtt.Properties{EmptyContentType: true}}
	for _, m := range []*mqtt.Message{fullMessage(), small} {
		for _, d := range []mqtt.Delivery{
			{Message: m, QoS: 2, Retain: true, Direct: true, Screened: true},
			{Message: m, QoS: 1, Via: &mqtt.Via{SubscriptionIDs: []uint32{1, 268435455}, Group: "g/a/#"}},
		} {
			r := reader{b: appendDelivery(nil, &d)}
			got := r.delivery()
			if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" || r.end() != nil {
				t.Errorf("%v: %s", r.end(), diff)
			}
			if p := got.Message.Properties; (p.CorrelationData == nil) != (m.Properties.CorrelationData == nil) {
				t.Error("no correlation data and an empty one are not the same")
			}
		}
	}
	d := mqtt.Delivery{Message: small, QoS: 1, Shared: 9}
	r := reader{b: appendDelivery(nil, &d)}
	if got := r.delivery(); got.Shared != 9 || got.Message != nil || r.end() != nil {
		t.Errorf("a shared message is read as %+v, %v", got, r.end())
	}
	p := session.Profile{
		ClientID: "c", Principal: "u", Mountpoint: "m/", Created: time.Unix(1, 2), Expiry: 1<<32 - 1, Since: time.Unix(3, 4),
		Durability: session.DurabilityNone, Will: fullMessage(), WillDelay: 5 * time.Second,
		Items: map[string][]byte{"a": {1}, "b": {}}, ByServer: []string{"x/#"},
	}
	r = reader{b: appendProfile(nil, &p)}
	if diff := cmp.Diff(p, r.profile(), cmpopts.EquateEmpty()); diff != "" || r.end() != nil {
		t.Errorf("%v: %s", r.end(), diff)
	}
	s := mqtt.Subscription{Filter: "f", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, ID: 8}
	r = reader{b: appendSubscription(nil, &s)}
	if got := r.subscription([]byte("f")); got != s || r.end() != nil {
		t.Errorf("%+v, %v", got, r.end())
	}
}

// FuzzValues holds that no bytes upset the reader, and that what it accepts is
// what it would write.
func FuzzValues(f *testing.F) {
	d := mqtt.Delivery{Message: fullMessage(), QoS: 2, Via: &mqtt.Via{SubscriptionIDs: []uint32{1}, Group: "g/t"}}
	f.Add(appendDelivery(nil, &d))
	f.Add(appendProfile(nil, &session.Profile{ClientID: "c", Will: fullMessage(), Items: map[string][]byte{"a": nil}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{b: b}
		if got := r.delivery(); r.end() == nil && got.Message != nil {
			again := reader{b: appendDelivery(nil, &got)}
			if diff := cmp.Diff(got, again.delivery(), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		}
		r = reader{b: b}
		r.profile()
		_ = r.end()
		r = reader{b: b}
		r.subscription(nil)
		_ = r.end()
	})
}
