package admin

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
)

// Errors that who stands behind the API returns, wrapped, for its callers to
// tell apart.
var (
	// ErrUnknown says that nothing has the name that was given.
	ErrUnknown = errors.New("unknown name")
	// ErrInvalid says that what was given is not legal.
	ErrInvalid = errors.New("not valid")
)

// codes are what callers are told for errors.
var codes = []struct {
	err  error
	code connect.Code
}{
	{ErrUnknown, connect.CodeNotFound},
	{broker.ErrUnknownClient, connect.CodeNotFound},
	{ErrInvalid, connect.CodeInvalidArgument},
	{broker.ErrInvalid, connect.CodeInvalidArgument},
	{ban.ErrInvalid, connect.CodeInvalidArgument},
	{ban.ErrFull, connect.CodeResourceExhausted},
	{ban.ErrNotKept, connect.CodeUnavailable},
	{broker.ErrQuota, connect.CodeResourceExhausted},
	{broker.ErrUnwritten, connect.CodeUnavailable},
}

// refusal gives an error the code that it has for callers; nil stays nil, and an
// error that has a code keeps it.
func refusal(ctx context.Context, err error) error {
	var coded *connect.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return connect.NewError(c.code, err)
		}
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case ctx.Err() != nil:
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	default:
		return connect.NewError(connect.CodeFailedPrecondition, err)
	}
}

// refusing is the [connect.Interceptor] that gives all errors of handlers their
// codes.
type refusing struct{}

// WrapUnary implements [connect.Interceptor].
func (refusing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		return res, refusal(ctx, err)
	}
}

// WrapStreamingClient implements [connect.Interceptor].
func (refusing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor].
func (refusing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return refusal(ctx, next(ctx, conn))
	}
}
