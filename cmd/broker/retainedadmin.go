package main

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

const (
	defaultRetainedPage = 100

	// maxRetainedPageBytes is about how many bytes of payload a page has.
	maxRetainedPageBytes = 2 << 20
)

// ListRetained implements admin.Retained.
func (s *server) ListRetained(req *adminv1.ListRetainedRequest) (*adminv1.ListRetainedResponse, error) {
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultRetainedPage
	}
	list, err := s.broker.Retained().List(req.GetFilter(), req.GetCursor(), limit)
	if err != nil {
		return nil, retainedError(err)
	}
	out := new(adminv1.ListRetainedResponse)
	size := 0
	for _, m := range list {
		p := retainedMessage(m, int(req.GetPayloadBytes()))
		out.Messages = append(out.Messages, p)
		if size += len(p.GetPayload()); size >= maxRetainedPageBytes {
			break
		}
	}
	if n := len(out.GetMessages()); n > 0 && (n == limit || n < len(list)) {
		out.NextCursor = out.GetMessages()[n-1].GetTopic()
	}
	return out, nil
}

// GetRetained implements admin.Retained.
func (s *server) GetRetained(topic string) (*adminv1.RetainedMessage, bool) {
	m, ok := s.broker.Retained().Get(topic)
	if !ok {
		return nil, false
	}
	return retainedMessage(m, len(m.Payload)), true
}

// DeleteRetained implements admin.Retained.
func (s *server) DeleteRetained(ctx context.Context, req *adminv1.DeleteRetainedRequest) (uint64, error) {
	var n int
	var err error
	if req.GetAll() {
		n, err = s.broker.Retained().Clear(ctx)
	} else {
		n, err = s.broker.Retained().Delete(ctx, req.GetFilter())
	}
	return count(n), retainedError(err)
}

// retainedError puts the broker's errors into the words of the admin API.
func retainedError(err error) error {
	if errors.Is(err, broker.ErrInvalid) {
		return &invalidRequest{err}
	}
	return err
}

// invalidRequest reads as the broker's error and is the admin API's.
type invalidRequest struct{ error }

// Unwrap makes it admin.ErrInvalid.
func (*invalidRequest) Unwrap() error { return admin.ErrInvalid }

// retainedMessage converts a message, with so much of its payload.
func retainedMessage(m *mqtt.Message, payload int) *adminv1.RetainedMessage {
	p := &adminv1.RetainedMessage{
		Topic: m.Topic, Payload: m.Payload[:min(payload, len(m.Payload))], PayloadSize: count(len(m.Payload)), Qos: uint32(m.QoS),
		Publisher: m.Publisher, Origin: m.Origin.String(), CreatedUnixNanos: unixNanos(m.Created),
	}
	if q := m.Properties; q != nil {
		if q.HasExpiry {
			p.ExpiresUnixNanos = m.Created.Add(time.Duration(q.Expiry) * time.Second).UnixNano()
		}
		if q.HasPayloadFormat {
			p.PayloadIsUtf8 = &q.PayloadIsUTF8
		}
		p.ContentType, p.ResponseTopic, p.CorrelationData = q.ContentType, q.ResponseTopic, q.CorrelationData
		for _, u := range q.User {
			p.UserProperties = append(p.UserProperties, &adminv1.RetainedUserProperty{Key: u.Key, Value: u.Value})
		}
	}
	return p
}
