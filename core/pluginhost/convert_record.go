package pluginhost

import (
	"fmt"
	"math"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// appendChange writes a Change of the retained messages.
func appendChange(dst []byte, c *retain.Change) []byte {
	dst = appendUint(dst, 1, uint64(c.Op)) // the numbers are those of pluginv1.ChangeOp
	switch c.Op {
	case retain.Put:
		dst = appendMessage(appendLength(dst, 3, sizeMessage(c.Message, c.Message.Payload)), c.Message, c.Message.Payload)
	case retain.Delete:
		dst = appendString(dst, 2, c.Topic)
	}
	return appendUint(dst, 4, c.Revision)
}

func checkChange(c *retain.Change) error {
	switch c.Op {
	case retain.Put:
		if c.Message == nil {
			return fmt.Errorf("revision %d: a put without a message", c.Revision)
		}
		return checkMessage(c.Message)
	case retain.Delete:
		return checkMessage(&mqtt.Message{Topic: c.Topic})
	case retain.Clear:
		return nil
	default:
		return fmt.Errorf("revision %d: unknown operation %d", c.Revision, c.Op)
	}
}

// recordFromProto converts what a store gives back. Whether the topic is valid
// is the index's question; what no message can be is an error.
func recordFromProto(p *pluginv1.RetainedRecord) (retain.Record, error) {
	if err := legalRevision(p.GetRevision()); err != nil {
		return retain.Record{}, err
	}
	if p.GetMessage() == nil {
		return retain.Record{Revision: p.GetRevision()}, nil
	}
	m, err := messageFromProto(p.Message)
	if err != nil {
		return retain.Record{}, fmt.Errorf("retained message of %.100q: %w", p.Message.Topic, err)
	}
	return retain.Record{Message: m, Revision: p.Revision}, nil
}

// messageFromProto checks and converts a message that came whole. The byte
// slices are p's.
func messageFromProto(p *pluginv1.Message) (*mqtt.Message, error) {
	q, err := legalQoS(p.Qos)
	if err != nil {
		return nil, err
	}
	if p.PayloadSize > uint64(len(p.Payload)) {
		return nil, illegal("%d bytes of a payload of %d", len(p.Payload), p.PayloadSize)
	}
	if len(p.Payload) > maxPayload {
		return nil, illegal("payload of %d bytes", len(p.Payload))
	}
	m := &mqtt.Message{
		Topic: p.Topic, Payload: p.Payload, QoS: q, Retain: p.Retain,
		Publisher: p.Publisher, Created: createdFromProto(p.CreatedUnixNanos),
	}
	if p.Origin > pluginv1.Origin_ORIGIN_UNSPECIFIED && p.Origin <= pluginv1.Origin_ORIGIN_PLUGIN {
		m.Origin = mqtt.Origin(p.Origin - pluginv1.Origin_ORIGIN_CLIENT)
	}
	m.Properties, err = propertiesFromProto(p)
	return m, err
}

func createdFromProto(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

func propertiesFromProto(p *pluginv1.Message) (*mqtt.Properties, error) {
	if p.PayloadIsUtf8 == nil && p.ExpirySeconds == nil && p.ContentType == "" && p.ResponseTopic == "" &&
		p.CorrelationData == nil && len(p.UserProperties) == 0 {
		return nil, nil
	}
	q := &mqtt.Properties{
		PayloadIsUTF8: p.GetPayloadIsUtf8(), HasPayloadFormat: p.PayloadIsUtf8 != nil,
		Expiry: p.GetExpirySeconds(), HasExpiry: p.ExpirySeconds != nil,
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic,
		CorrelationData: p.CorrelationData, User: userFromProto(p.UserProperties),
	}
	if err := legalString("content type", q.ContentType); err != nil {
		return nil, err
	}
	if err := legalString("response topic", q.ResponseTopic); err != nil {
		return nil, err
	}
	if err := legalBinary("correlation data", q.CorrelationData); err != nil {
		return nil, err
	}
	return q, legalUser(q.User)
}

// legalRevision refuses the revision after which there is no other.
func legalRevision(r uint64) error {
	if r == math.MaxUint64 {
		return illegal("revision %d", r)
	}
	return nil
}
