package admin

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Migrator moves retained messages between stores.
type Migrator interface {
	// Migrate moves them between the stores that the request names, and calls
	// tell now and then with how far it is, from one goroutine; an error of tell
	// does not end the move. What it returns is told last. ctx ends the move
	// before its end; the error says why nothing was moved.
	Migrate(ctx context.Context, req *adminv1.MigrateRequest, tell func(*adminv1.MigrateResponse)) (*adminv1.MigrateResponse, error)
}

type retainedService struct {
	retained broker.Retained
	migrator Migrator
}

// Migrate is FailedPrecondition for everything that is refused: the reason is
// for a person.
func (s *retainedService) Migrate(ctx context.Context, req *connect.Request[adminv1.MigrateRequest], stream *connect.ServerStream[adminv1.MigrateResponse]) error {
	if req.Msg.GetFrom() == "" || req.Msg.GetTo() == "" {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("name the store to move from and the one to move to"))
	}
	last, err := s.migrator.Migrate(ctx, req.Msg, func(m *adminv1.MigrateResponse) {
		_ = stream.Send(m) // who asked has gone: ctx ends as well
	})
	if err != nil {
		return connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return stream.Send(last)
}

// ListRetained returns a page.
func (s *retainedService) ListRetained(_ context.Context, req *connect.Request[adminv1.ListRetainedRequest]) (*connect.Response[adminv1.ListRetainedResponse], error) {
	limit, err := pageSize(req.Msg.GetLimit())
	if err != nil {
		return nil, err
	}
	list, err := s.retained.List(req.Msg.GetFilter(), req.Msg.GetCursor(), limit)
	if err != nil {
		return nil, err
	}
	out := new(adminv1.ListRetainedResponse)
	size := 0
	for _, m := range list {
		p := retainedProto(m, int(req.Msg.GetPayloadBytes()))
		out.Messages = append(out.Messages, p)
		if size += len(p.GetPayload()); size >= maxPageBytes {
			break
		}
	}
	if n := len(out.GetMessages()); n > 0 && (n == limit || n < len(list)) {
		out.NextCursor = out.GetMessages()[n-1].GetTopic()
	}
	return connect.NewResponse(out), nil
}

// GetRetained returns one message.
func (s *retainedService) GetRetained(_ context.Context, req *connect.Request[adminv1.GetRetainedRequest]) (*connect.Response[adminv1.GetRetainedResponse], error) {
	m, ok := s.retained.Get(req.Msg.GetTopic())
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no retained message of topic %q", req.Msg.GetTopic()))
	}
	return connect.NewResponse(&adminv1.GetRetainedResponse{Message: retainedProto(m, len(m.Payload))}), nil
}

// DeleteRetained removes messages. Nobody removes all by leaving out the filter.
func (s *retainedService) DeleteRetained(ctx context.Context, req *connect.Request[adminv1.DeleteRetainedRequest]) (*connect.Response[adminv1.DeleteRetainedResponse], error) {
	if req.Msg.GetAll() == (req.Msg.GetFilter() != "") {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("name a topic or a filter, or say all"))
	}
	var n int
	var err error
	if req.Msg.GetAll() {
		n, err = s.retained.Clear(ctx)
	} else {
		n, err = s.retained.Delete(ctx, req.Msg.GetFilter())
	}
	if err != nil {
		return nil, storeError(err)
	}
	return connect.NewResponse(&adminv1.DeleteRetainedResponse{Deleted: count(n)}), nil
}

// storeError makes an error that is not the caller's one of the store.
func storeError(err error) error {
	if errors.Is(err, ErrInvalid) || errors.Is(err, broker.ErrInvalid) || errors.Is(err, broker.ErrQuota) {
		return err
	}
	return connect.NewError(connect.CodeUnavailable, err)
}

// PutRetained stores one message.
func (s *retainedService) PutRetained(ctx context.Context, req *connect.Request[adminv1.PutRetainedRequest]) (*connect.Response[adminv1.PutRetainedResponse], error) {
	m, err := messageOf(req.Msg.GetMessage())
	if err != nil {
		return nil, err
	}
	revision, err := s.retained.Put(ctx, m)
	if err != nil {
		return nil, storeError(err)
	}
	return connect.NewResponse(&adminv1.PutRetainedResponse{Revision: revision}), nil
}

const (
	// exportBytes is about how large one part of an export is, and exportMessages
	// how many messages it has at most.
	exportBytes    = 256 << 10
	exportMessages = 1000
)

// ExportRetained tells all.
func (s *retainedService) ExportRetained(_ context.Context, req *connect.Request[adminv1.ExportRetainedRequest], stream *connect.ServerStream[adminv1.ExportRetainedResponse]) error {
	all, err := s.retained.List(req.Msg.GetFilter(), "", math.MaxInt)
	if err != nil {
		return err
	}
	part, size := &adminv1.ExportRetainedResponse{Total: count(len(all))}, 0
	for i, m := range all {
		p := retainedProto(m, len(m.Payload))
		all[i] = nil
		part.Messages = append(part.Messages, p)
		if size += proto.Size(p); size < exportBytes && len(part.GetMessages()) < exportMessages {
			continue
		}
		if err := stream.Send(part); err != nil {
			return err
		}
		part, size = &adminv1.ExportRetainedResponse{Total: count(len(all))}, 0
	}
	return stream.Send(part)
}

// ImportRetained stores until the caller ends the stream.
func (s *retainedService) ImportRetained(ctx context.Context, stream *connect.ClientStream[adminv1.ImportRetainedRequest]) (*connect.Response[adminv1.ImportRetainedResponse], error) {
	in := importing{stream: stream}
	n, err := s.retained.Import(ctx, in.messages())
	if err == nil {
		err = in.err
	}
	if err != nil {
		return nil, storeError(fmt.Errorf("after %d messages: %w", count(n)+in.expired, err))
	}
	return connect.NewResponse(&adminv1.ImportRetainedResponse{Imported: count(n), Expired: in.expired}), nil
}

// importing are the messages of a stream.
type importing struct {
	stream  *connect.ClientStream[adminv1.ImportRetainedRequest]
	expired uint64
	err     error
}

func (in *importing) messages() iter.Seq[*mqtt.Message] {
	return func(yield func(*mqtt.Message) bool) {
		for in.stream.Receive() {
			for _, p := range in.stream.Msg().GetMessages() {
				m, err := retainedOf(p)
				switch {
				case err != nil:
					in.err = err
					return
				case m.Expired(time.Now()):
					in.expired++
				case !yield(m):
					return
				}
			}
		}
		in.err = in.stream.Err()
	}
}

// retainedOf is a message that was exported.
func retainedOf(p *adminv1.RetainedMessage) (*mqtt.Message, error) {
	if size := p.GetPayloadSize(); size != 0 && size != count(len(p.GetPayload())) {
		return nil, fmt.Errorf("%w: topic %q: the payload has %d bytes of %d", ErrInvalid, p.GetTopic(), len(p.GetPayload()), size)
	}
	m, err := messageOf(&adminv1.Message{
		Topic: p.GetTopic(), Payload: p.GetPayload(), Qos: p.GetQos(), Retain: true, ContentType: p.GetContentType(),
		PayloadIsUtf8: p.PayloadIsUtf8, ResponseTopic: p.GetResponseTopic(), CorrelationData: p.GetCorrelationData(),
	})
	if err != nil {
		return nil, fmt.Errorf("topic %q: %w", p.GetTopic(), err)
	}
	m.Publisher = p.GetPublisher()
	if at := p.GetCreatedUnixNanos(); at != 0 {
		m.Created = time.Unix(0, at)
	}
	for _, u := range p.GetUserProperties() {
		properties(m).User = append(properties(m).User, mqtt.UserProperty{Key: u.GetKey(), Value: u.GetValue()})
	}
	if at := p.GetExpiresUnixNanos(); at != 0 {
		if m.Created.IsZero() {
			m.Created = time.Now()
		}
		left := time.Unix(0, at).Sub(m.Created)
		properties(m).HasExpiry = true
		properties(m).Expiry = uint32(min(max(0, (left+time.Second-1)/time.Second), math.MaxUint32))
	}
	return m, nil
}

// properties are those of m, which has some from now on.
func properties(m *mqtt.Message) *mqtt.Properties {
	if m.Properties == nil {
		m.Properties = new(mqtt.Properties)
	}
	return m.Properties
}

// retainedProto is a retained message as callers are told of it, with so much of
// its payload.
func retainedProto(m *mqtt.Message, payload int) *adminv1.RetainedMessage {
	p := &adminv1.RetainedMessage{
		Topic: m.Topic, Payload: m.Payload[:min(payload, len(m.Payload))], PayloadSize: count(len(m.Payload)), Qos: uint32(m.QoS),
		Publisher: m.Publisher, Origin: m.Origin.String(), CreatedUnixNanos: unixNanos(m.Created),
	}
	if q := m.Properties; q != nil {
		if at, expires := m.ExpiresAt(); expires {
			p.ExpiresUnixNanos = at.UnixNano()
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
