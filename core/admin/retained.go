package admin

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Retained is what the admin API does with retained messages.
type Retained interface {
	// Migrate moves them between the stores that the request names, and calls
	// tell now and then with how far it is, from one goroutine; an error of tell
	// does not end the move. What it returns is told last. ctx ends the move
	// before its end; the error says why nothing was moved.
	Migrate(ctx context.Context, req *adminv1.MigrateRequest, tell func(*adminv1.MigrateResponse)) (*adminv1.MigrateResponse, error)
}

type retainedService struct {
	retained Retained
}

// Migrate is FailedPrecondition for everything that is refused: the reason is
// for a person.
func (s *retainedService) Migrate(ctx context.Context, req *connect.Request[adminv1.MigrateRequest], stream *connect.ServerStream[adminv1.MigrateResponse]) error {
	if req.Msg.GetFrom() == "" || req.Msg.GetTo() == "" {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("name the store to move from and the one to move to"))
	}
	last, err := s.retained.Migrate(ctx, req.Msg, func(m *adminv1.MigrateResponse) {
		_ = stream.Send(m) // who asked has gone: ctx ends as well
	})
	if err != nil {
		return connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return stream.Send(last)
}
