package admin

import (
	"context"
	"errors"
	"fmt"

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
	// ListRetained returns a page. The error is [ErrInvalid], wrapped, for what
	// is no filter.
	ListRetained(req *adminv1.ListRetainedRequest) (*adminv1.ListRetainedResponse, error)
	// GetRetained returns the message of a topic; false if there is none.
	GetRetained(topic string) (*adminv1.RetainedMessage, bool)
	// DeleteRetained removes messages, and waits for the store. The error is
	// [ErrInvalid], wrapped, for what is neither topic nor filter, the store's,
	// or ctx's.
	DeleteRetained(ctx context.Context, req *adminv1.DeleteRetainedRequest) (deleted uint64, err error)
}

// ErrInvalid says that what was given is not legal.
var ErrInvalid = errors.New("not valid")

// maxRetainedPage bounds a page.
const maxRetainedPage = 1000

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

// ListRetained returns a page.
func (s *retainedService) ListRetained(_ context.Context, req *connect.Request[adminv1.ListRetainedRequest]) (*connect.Response[adminv1.ListRetainedResponse], error) {
	if n := req.Msg.GetLimit(); n > maxRetainedPage {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("limit %d: a page has at most %d entries", n, maxRetainedPage))
	}
	page, err := s.retained.ListRetained(req.Msg)
	if err != nil {
		return nil, retainedError(err)
	}
	return connect.NewResponse(page), nil
}

// GetRetained returns one message.
func (s *retainedService) GetRetained(_ context.Context, req *connect.Request[adminv1.GetRetainedRequest]) (*connect.Response[adminv1.GetRetainedResponse], error) {
	m, ok := s.retained.GetRetained(req.Msg.GetTopic())
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no retained message of topic %q", req.Msg.GetTopic()))
	}
	return connect.NewResponse(&adminv1.GetRetainedResponse{Message: m}), nil
}

// DeleteRetained removes messages. Nobody removes all by leaving out the filter.
func (s *retainedService) DeleteRetained(ctx context.Context, req *connect.Request[adminv1.DeleteRetainedRequest]) (*connect.Response[adminv1.DeleteRetainedResponse], error) {
	if req.Msg.GetAll() == (req.Msg.GetFilter() != "") {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("name a topic or a filter, or say all"))
	}
	deleted, err := s.retained.DeleteRetained(ctx, req.Msg)
	if err != nil {
		return nil, retainedError(err)
	}
	return connect.NewResponse(&adminv1.DeleteRetainedResponse{Deleted: deleted}), nil
}

func retainedError(err error) error {
	if errors.Is(err, ErrInvalid) {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewError(connect.CodeUnavailable, err)
}
