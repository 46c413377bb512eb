package admin

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Shadows is what the admin API does with second versions of plugins. Its methods
// are called from many goroutines at once. They return [ErrUnknown], wrapped, for a
// plugin, or a shadow, that there is not; any other error says why it can't be.
type Shadows interface {
	// StartShadow starts one and returns once it is asked.
	StartShadow(ctx context.Context, req *adminv1.StartShadowRequest) (*adminv1.Shadow, error)
	// Shadow tells of that of a plugin.
	Shadow(plugin string) (*adminv1.Shadow, error)
	// FollowShadow calls tell, from one goroutine, with decisions that differ, and
	// last with the counts; it returns when the shadow or ctx ends or tell returns
	// an error.
	FollowShadow(ctx context.Context, req *adminv1.FollowShadowRequest, tell func(*adminv1.FollowShadowResponse) error) error
	// StopShadow ends that of a plugin and returns when nothing of it runs.
	StopShadow(ctx context.Context, plugin string) (*adminv1.Shadow, error)
}

type shadowService struct {
	shadows Shadows
}

func (s *shadowService) StartShadow(ctx context.Context, req *connect.Request[adminv1.StartShadowRequest]) (*connect.Response[adminv1.StartShadowResponse], error) {
	if req.Msg.GetPath() == "" || req.Msg.GetForNanos() < 0 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("path is missing, or for is negative"))
	}
	out, err := s.shadows.StartShadow(ctx, req.Msg)
	if err != nil {
		return nil, refusal(ctx, err)
	}
	return connect.NewResponse(&adminv1.StartShadowResponse{Shadow: out}), nil
}

func (s *shadowService) GetShadow(ctx context.Context, req *connect.Request[adminv1.GetShadowRequest]) (*connect.Response[adminv1.GetShadowResponse], error) {
	out, err := s.shadows.Shadow(req.Msg.GetPlugin())
	if err != nil {
		return nil, refusal(ctx, err)
	}
	return connect.NewResponse(&adminv1.GetShadowResponse{Shadow: out}), nil
}

func (s *shadowService) FollowShadow(ctx context.Context, req *connect.Request[adminv1.FollowShadowRequest], stream *connect.ServerStream[adminv1.FollowShadowResponse]) error {
	return refusal(ctx, s.shadows.FollowShadow(ctx, req.Msg, stream.Send))
}

func (s *shadowService) StopShadow(ctx context.Context, req *connect.Request[adminv1.StopShadowRequest]) (*connect.Response[adminv1.StopShadowResponse], error) {
	out, err := s.shadows.StopShadow(ctx, req.Msg.GetPlugin())
	if err != nil {
		return nil, refusal(ctx, err)
	}
	return connect.NewResponse(&adminv1.StopShadowResponse{Shadow: out}), nil
}
