package pluginapi

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// messageFromProto makes a message. It shares the payload and the correlation
// data with m.
func messageFromProto(m *pluginv1.Message) *Message {
	if m == nil {
		return new(Message)
	}
	out := &Message{
		Topic:           m.GetTopic(),
		Payload:         m.GetPayload(),
		PayloadSize:     max(int(m.GetPayloadSize()), len(m.GetPayload())),
		QoS:             QoS(m.GetQos()),
		Retain:          m.GetRetain(),
		PayloadIsUTF8:   copyOf(m.PayloadIsUtf8),
		Expiry:          copyOf(m.ExpirySeconds),
		ContentType:     m.GetContentType(),
		ResponseTopic:   m.GetResponseTopic(),
		CorrelationData: m.GetCorrelationData(),
		UserProperties:  userPropertiesFromProto(m.GetUserProperties()),
		Publisher:       m.GetPublisher(),
		Origin:          Origin(m.GetOrigin()),
		Hops:            uint8(min(m.GetHops(), 255)), //nolint:gosec // bounded
	}
	if n := m.GetCreatedUnixNanos(); n != 0 {
		out.Created = time.Unix(0, n)
	}
	return out
}

// copyTo makes a copy of which nothing but strings is shared with m.
func (m *Message) copyTo(out *Message) {
	*out = *m
	out.Payload = bytes.Clone(m.Payload)
	out.PayloadIsUTF8 = copyOf(m.PayloadIsUTF8)
	out.Expiry = copyOf(m.Expiry)
	out.CorrelationData = bytes.Clone(m.CorrelationData)
	out.UserProperties = slices.Clone(m.UserProperties)
}

// messageToProto is the way back. The result shares the bytes of m.
func messageToProto(m *Message) (*pluginv1.Message, error) {
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	out := &pluginv1.Message{
		Topic:           m.Topic,
		Payload:         m.Payload,
		PayloadSize:     uint64(max(m.PayloadSize, len(m.Payload))),
		Qos:             uint32(m.QoS),
		Retain:          m.Retain,
		PayloadIsUtf8:   m.PayloadIsUTF8,
		ExpirySeconds:   m.Expiry,
		ContentType:     m.ContentType,
		ResponseTopic:   m.ResponseTopic,
		CorrelationData: m.CorrelationData,
		UserProperties:  userPropertiesToProto(m.UserProperties),
		Publisher:       m.Publisher,
		Origin:          pluginv1.Origin(m.Origin),
	}
	if !m.Created.IsZero() {
		out.CreatedUnixNanos = m.Created.UnixNano()
	}
	return out, nil
}

// checkMessage refuses what the contract has no form for. A string that is not
// UTF-8 could not be sent at all and would end a stream.
func checkMessage(m *Message) error {
	if m == nil {
		return fmt.Errorf("there is no message")
	}
	if m.QoS > 2 {
		return fmt.Errorf("QoS %d does not exist", m.QoS)
	}
	if err := checkTexts("topic", m.Topic, "content type", m.ContentType, "response topic", m.ResponseTopic, "publisher", m.Publisher); err != nil {
		return err
	}
	return checkUserProperties(m.UserProperties)
}

// checkTexts checks pairs of a name and a string.
func checkTexts(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if !utf8.ValidString(pairs[i+1]) {
			return fmt.Errorf("%s %q is not UTF-8", pairs[i], pairs[i+1])
		}
	}
	return nil
}

func checkUserProperties(ps []UserProperty) error {
	for _, p := range ps {
		if err := checkTexts("user property", p.Key, "user property", p.Value); err != nil {
			return err
		}
	}
	return nil
}

func userPropertiesFromProto(ps []*pluginv1.UserProperty) []UserProperty {
	if len(ps) == 0 {
		return nil
	}
	out := make([]UserProperty, len(ps))
	for i, p := range ps {
		out[i] = UserProperty{Key: p.GetKey(), Value: p.GetValue()}
	}
	return out
}

func userPropertiesToProto(ps []UserProperty) []*pluginv1.UserProperty {
	if len(ps) == 0 {
		return nil
	}
	out := make([]*pluginv1.UserProperty, len(ps))
	for i, p := range ps {
		out[i] = &pluginv1.UserProperty{Key: p.Key, Value: p.Value}
	}
	return out
}

func subscriptionFromProto(s *pluginv1.Subscription) Subscription {
	return Subscription{
		Filter:            s.GetFilter(),
		QoS:               QoS(s.GetQos()),
		NoLocal:           s.GetNoLocal(),
		RetainAsPublished: s.GetRetainAsPublished(),
		RetainHandling:    uint8(s.GetRetainHandling()),
		Identifier:        s.GetIdentifier(),
	}
}

func subscriptionToProto(s Subscription) (*pluginv1.Subscription, error) {
	if s.QoS > 2 || s.RetainHandling > 2 {
		return nil, fmt.Errorf("QoS %d or retain handling %d of filter %q does not exist", s.QoS, s.RetainHandling, s.Filter)
	}
	if err := checkTexts("filter", s.Filter); err != nil {
		return nil, err
	}
	return &pluginv1.Subscription{
		Filter:            s.Filter,
		Qos:               uint32(s.QoS),
		NoLocal:           s.NoLocal,
		RetainAsPublished: s.RetainAsPublished,
		RetainHandling:    uint32(s.RetainHandling),
		Identifier:        s.Identifier,
	}, nil
}

// clientFromProto returns nil for nil.
func clientFromProto(c *pluginv1.ClientContext) *Client {
	if c == nil {
		return nil
	}
	return &Client{
		ConnectionID: c.GetConnectionId(),
		ID:           c.GetClientId(),
		Username:     c.GetUsername(),
		Protocol:     Protocol(c.GetProtocolLevel()),
		PeerAddress:  c.GetPeerAddress(),
		Listener:     c.GetListener(),
		Mountpoint:   c.GetMountpoint(),
		Items:        c.GetItems(),
	}
}

// copyOf returns a pointer to a copy, nil for nil.
func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// toValidUTF8 makes a text for people fit for a string field.
func toValidUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// callFromProto reads a call of a unary request.
func callFromProto(pb *pluginv1.Call, o *openCall) {
	o.place = place{connection: pb.GetConnectionId(), seq: pb.GetSeq()}
	var m *pluginv1.Message
	switch c := pb.GetCall().(type) {
	case *pluginv1.Call_Publish:
		o.kind, m = HookPublish, c.Publish.GetMessage()
	case *pluginv1.Call_Deliver:
		o.kind, m = HookDeliver, c.Deliver.GetMessage()
		o.receiver, o.retained = c.Deliver.GetReceiver(), c.Deliver.GetRetained()
	case *pluginv1.Call_Subscribe:
		o.kind, o.subscription = HookSubscribe, subscriptionFromProto(c.Subscribe.GetSubscription())
		o.user = userPropertiesFromProto(c.Subscribe.GetUserProperties())
	case *pluginv1.Call_Unsubscribe:
		o.kind, o.subscription.Filter = HookUnsubscribe, c.Unsubscribe.GetFilter()
		o.user = userPropertiesFromProto(c.Unsubscribe.GetUserProperties())
	}
	if m != nil {
		o.hasMessage, o.was = true, *messageFromProto(m)
		o.place.hops = o.was.Hops
	}
}
