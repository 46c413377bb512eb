package admin

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Debug is what the admin API does for whoever looks for causes. Its methods are
// called from many goroutines at once. They return [ErrUnknown], wrapped, for a
// plugin or a client that there is not; any other error says why it can't be.
type Debug interface {
	// WatchCalls calls tell, from one goroutine, with calls as they are decided,
	// first with none; it returns when ctx ends or tell returns an error.
	WatchCalls(ctx context.Context, req *adminv1.WatchCallsRequest, tell func(*adminv1.WatchCallsResponse) error) error
	// Explain says what would become of an action, and does nothing.
	Explain(ctx context.Context, req *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error)
}

type debugService struct {
	debug Debug
}

func (s *debugService) WatchCalls(ctx context.Context, req *connect.Request[adminv1.WatchCallsRequest], stream *connect.ServerStream[adminv1.WatchCallsResponse]) error {
	return refusal(ctx, s.debug.WatchCalls(ctx, req.Msg, stream.Send))
}

func (s *debugService) Explain(ctx context.Context, req *connect.Request[adminv1.ExplainRequest]) (*connect.Response[adminv1.ExplainResponse], error) {
	if req.Msg.GetAction() == adminv1.ExplainedAction_EXPLAINED_ACTION_UNSPECIFIED {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("say whether to publish or to subscribe"))
	}
	out, err := s.debug.Explain(ctx, req.Msg)
	if err != nil {
		return nil, refusal(ctx, err)
	}
	return connect.NewResponse(out), nil
}
