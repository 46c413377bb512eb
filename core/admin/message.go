package admin

import (
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// messageOf is a caller's message as the broker has it.
func messageOf(p *adminv1.Message) (*mqtt.Message, error) {
	if p == nil {
		return nil, fmt.Errorf("%w: there is no message", ErrInvalid)
	}
	if len(p.GetPayload()) > 0 && p.GetText() != "" {
		return nil, fmt.Errorf("%w: give the payload as bytes or as text, not both", ErrInvalid)
	}
	qos, err := qosOf(p.GetQos())
	if err != nil {
		return nil, err
	}
	m := &mqtt.Message{
		Topic: p.GetTopic(), Payload: p.GetPayload(), QoS: qos, Retain: p.GetRetain(), Origin: mqtt.FromServer,
		Properties: &mqtt.Properties{
			ContentType: p.GetContentType(), ResponseTopic: p.GetResponseTopic(), CorrelationData: p.GetCorrelationData(),
			Expiry: p.GetExpirySeconds(), HasExpiry: p.ExpirySeconds != nil,
			PayloadIsUTF8: p.GetPayloadIsUtf8(), HasPayloadFormat: p.PayloadIsUtf8 != nil,
			User: userOf(p.GetUserProperties()),
		},
	}
	if p.GetText() != "" {
		m.Payload = []byte(p.GetText())
	}
	if bare(m.Properties) {
		m.Properties = nil
	}
	return m, nil
}

// bare reports whether the properties say nothing.
func bare(p *mqtt.Properties) bool {
	return !p.HasExpiry && !p.HasPayloadFormat && p.ContentType == "" && p.ResponseTopic == "" &&
		len(p.CorrelationData) == 0 && len(p.User) == 0
}

func qosOf(n uint32) (mqtt.QoS, error) {
	if n > uint32(mqtt.ExactlyOnce) {
		return 0, fmt.Errorf("%w: QoS %d: it is 0, 1 or 2", ErrInvalid, n)
	}
	return mqtt.QoS(n), nil
}

func userOf(list []*adminv1.UserProperty) []mqtt.UserProperty {
	var out []mqtt.UserProperty
	for _, u := range list {
		out = append(out, mqtt.UserProperty{Key: u.GetKey(), Value: u.GetValue()})
	}
	return out
}

// messageProto is a message as callers are told of it, with so much of its
// payload.
func messageProto(m *mqtt.Message, payload int) *adminv1.Message {
	p := &adminv1.Message{
		Topic: m.Topic, Payload: m.Payload[:min(payload, len(m.Payload))], Qos: uint32(m.QoS), Retain: m.Retain,
	}
	q := m.Properties
	if q == nil {
		return p
	}
	if q.HasExpiry {
		p.ExpirySeconds = &q.Expiry
	}
	if q.HasPayloadFormat {
		p.PayloadIsUtf8 = &q.PayloadIsUTF8
	}
	p.ContentType, p.ResponseTopic, p.CorrelationData = q.ContentType, q.ResponseTopic, q.CorrelationData
	for _, u := range q.User {
		p.UserProperties = append(p.UserProperties, &adminv1.UserProperty{Key: u.Key, Value: u.Value})
	}
	return p
}

// subscriptionOf is a caller's subscription as the broker has it.
func subscriptionOf(p *adminv1.Subscription) (mqtt.Subscription, error) {
	qos, err := qosOf(p.GetQos())
	if err != nil {
		return mqtt.Subscription{}, err
	}
	if h := p.GetRetainHandling(); h > uint32(mqtt.RetainDoNotSend) {
		return mqtt.Subscription{}, fmt.Errorf("%w: retain handling %d: it is 0, 1 or 2", ErrInvalid, h)
	}
	return mqtt.Subscription{
		Filter: p.GetFilter(), QoS: qos, NoLocal: p.GetNoLocal(), RetainAsPublished: p.GetRetainAsPublished(),
		RetainHandling: mqtt.RetainHandling(p.GetRetainHandling()), ID: p.GetIdentifier(),
	}, nil
}

func subscriptionProto(clientID string, s *mqtt.Subscription) *adminv1.Subscription {
	return &adminv1.Subscription{
		ClientId: clientID, Filter: s.Filter, Qos: uint32(s.QoS), NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
		RetainHandling: uint32(s.RetainHandling), Identifier: s.ID,
	}
}

func codesProto(codes []mqtt.ReasonCode) []uint32 {
	out := make([]uint32, len(codes))
	for i, c := range codes {
		out[i] = uint32(c)
	}
	return out
}

func unixNanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
