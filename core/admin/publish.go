package admin

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type publishService struct {
	broker *broker.Broker
}

// Publish publishes one message.
func (s *publishService) Publish(ctx context.Context, req *adminv1.PublishRequest) (*adminv1.PublishResponse, error) {
	answer, out, err := s.publish(ctx, req.GetMessage(), req.GetPublisher())
	if err == nil {
		err = s.broker.Written(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// publish publishes a message that is yet to be written.
func (s *publishService) publish(ctx context.Context, p *adminv1.Message, publisher string) (*adminv1.PublishResponse, broker.Published, error) {
	m, err := messageOf(p)
	if err != nil {
		return nil, broker.Published{}, err
	}
	m.Publisher = publisher
	out, err := s.broker.PublishAhead(ctx, m)
	var refused *broker.Refusal
	if errors.As(err, &refused) {
		return &adminv1.PublishResponse{Refused: true, ReasonCode: uint32(refused.Code), Reason: refused.Error()}, out, nil
	}
	return &adminv1.PublishResponse{Receivers: uint32(count(out.Receivers))}, out, err
}

// publishAhead is how many messages are published before the first is written.
const publishAhead = 256

// PublishBatch publishes until the caller ends the stream.
func (s *publishService) PublishBatch(ctx context.Context, stream *connect.ClientStream[adminv1.PublishBatchRequest]) (*adminv1.PublishBatchResponse, error) {
	out := new(adminv1.PublishBatchResponse)
	unwritten := make([]broker.Published, 0, publishAhead)
	for stream.Receive() {
		for _, p := range stream.Msg().GetMessages() {
			one, published, err := s.publish(ctx, p, stream.Msg().GetPublisher())
			if unwritten = append(unwritten, published); err == nil && len(unwritten) == publishAhead {
				err = s.broker.Written(ctx, unwritten...)
				unwritten = unwritten[:0]
			}
			switch {
			case err != nil:
				return nil, fmt.Errorf("message %d: %w", out.GetPublished()+out.GetRefused()+1, err)
			case one.GetRefused():
				if out.Refused++; out.GetRefused() == 1 {
					out.FirstRefusal = one.GetReason()
				}
			default:
				out.Published++
				out.Receivers += uint64(one.GetReceivers())
			}
		}
	}
	if err := s.broker.Written(ctx, unwritten...); err != nil {
		return nil, err
	}
	return out, stream.Err()
}
