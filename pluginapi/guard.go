package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// serverOptions are the options of every gRPC server that serves a plugin.
func (c *core) serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newFrameCodec()),
		grpc.MaxRecvMsgSize(MaxMessageSize),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.InitialWindowSize(WindowSize),
		grpc.InitialConnWindowSize(WindowSize),
		grpc.ChainUnaryInterceptor(c.guardUnary),
		grpc.ChainStreamInterceptor(c.guardStream),
	}
}

// guardUnary turns a panic of a handler into a status.
func (c *core) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	defer c.recovered(info.FullMethod, &err)
	return next(ctx, req)
}

// guardStream does the same for streams.
func (c *core) guardStream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	defer c.recovered(info.FullMethod, &err)
	if _, ours := srv.(interface{ ownStream() }); !ours {
		// Streams of others (go-plugin's stdio, health watches) only end with
		// their client. They would hold up a graceful stop.
		ctx, cancel := context.WithCancel(s.Context())
		defer cancel()
		go func() {
			select {
			case <-c.stopped:
				cancel()
			case <-ctx.Done():
			}
		}()
		s = &endingStream{ServerStream: s, ctx: ctx}
	}
	return next(srv, s)
}

// endingStream is a stream whose context also ends when the plugin stops.
type endingStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context that ends earlier.
func (s *endingStream) Context() context.Context { return s.ctx }

// recovered is deferred around every call of the author's code. A panic becomes
// an error; its stack goes to the log, because the broker can do nothing with
// it. The process goes on: other clients' calls are in it.
func (c *core) recovered(where string, err *error) {
	if r := recover(); r != nil {
		c.log.Error("panic in the plugin",
			slog.String("where", where), slog.String("panic", fmt.Sprint(r)), slog.String("stack", string(debug.Stack())))
		*err = &panicError{where, r}
	}
}

// panicError is what became of a call whose code panicked.
type panicError struct {
	where string
	value any
}

// Error says where and why.
func (e *panicError) Error() string { return fmt.Sprintf("panic in %s: %v", e.where, e.value) }

// GRPCStatus makes it a status that the broker takes for a defect.
func (e *panicError) GRPCStatus() *status.Status { return status.New(codes.Internal, e.Error()) }

// toStatus makes a gRPC status of an author's error. A status stays what it is,
// a context's end gets its code, anything else is Unknown with its text.
func toStatus(what string, err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return status.Errorf(code, "%s: %v", what, err)
}
