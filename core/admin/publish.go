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
	return s.publish(ctx, req.GetMessage(), req.GetPublisher())
}

func (s *publishService) publish(ctx context.Context, p *adminv1.Message, publisher string) (*adminv1.PublishResponse, error) {
	m, err := messageOf(p)
	if err != nil {
		return nil, err
	}
	m.Publisher = publisher
	out, err := s.broker.Publish(ctx, m)
	var refused *broker.Refusal
	if errors.As(err, &refused) {
		return &adminv1.PublishResponse{Refused: true, ReasonCode: uint32(refused.Code), Reason: refused.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return &adminv1.PublishResponse{Receivers: uint32(count(out.Receivers))}, nil
}

// PublishBatch publishes until the caller ends the stream.
func (s *publishService) PublishBatch(ctx context.Context, stream *connect.ClientStream[adminv1.PublishBatchRequest]) (*adminv1.PublishBatchResponse, error) {
	out := new(adminv1.PublishBatchResponse)
	for stream.Receive() {
		for _, p := range stream.Msg().GetMessages() {
			one, err := s.publish(ctx, p, stream.Msg().GetPublisher())
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
	return out, stream.Err()
}
