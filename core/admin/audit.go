package admin

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

// Audit is told of every call that may have changed something, after it has
// ended. It is called from many goroutines at once, and the caller of the API
// waits for it.
type Audit interface {
	Audited(Action)
}

// Action is one call that may have changed something.
type Action struct {
	Time      time.Time // when it began
	Took      time.Duration
	Caller    Caller
	Procedure string // "/gatehouse.admin.v1.ClientService/DisconnectClient"
	Request   string // the request, or the first of a stream, as [Summary] has it
	Requests  int    // how many there were
	Result    string // "ok" or the code of the error, as "not_found"
	Error     string // "" if there was none
}

// Caller is who called.
type Caller struct {
	Kind    string // "unix", "token", "certificate"; "" if nothing is known
	Name    string // what is known of him: "uid=1000 pid=4242", a token's name, a subject
	Address string // of the network; "" for a Unix socket
}

type callerKey struct{}

// WithCaller returns a context that says who calls; the server that accepts
// connections makes it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who calls, nobody if that was not said.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// reading are the verbs of calls that change nothing. Whatever begins with
// another one is told of: a new call rather once too often than not at all.
var reading = []string{"Check", "Explain", "Export", "Get", "List", "Watch"}

// mutates reports whether a procedure may change something.
func mutates(procedure string) bool {
	_, method, _ := strings.Cut(strings.TrimPrefix(procedure, "/"), "/")
	for _, verb := range reading {
		if rest, ok := strings.CutPrefix(method, verb); ok && (rest == "" || rest[0] >= 'A' && rest[0] <= 'Z') {
			return false
		}
	}
	return true
}

// auditing is the [connect.Interceptor] that tells an [Audit]. It stands before
// the one that gives errors their codes.
type auditing struct{ to Audit }

// WrapUnary implements [connect.Interceptor].
func (a auditing) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if !mutates(req.Spec().Procedure) {
			return next(ctx, req)
		}
		began := time.Now()
		asked := Summary(req.Any()) // now: who is called may change it
		res, err := next(ctx, req)
		a.tell(ctx, began, req.Spec().Procedure, asked, 1, err)
		return res, err
	}
}

// WrapStreamingClient implements [connect.Interceptor].
func (a auditing) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [connect.Interceptor].
func (a auditing) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if !mutates(conn.Spec().Procedure) {
			return next(ctx, conn)
		}
		began := time.Now()
		seen := &seeing{StreamingHandlerConn: conn}
		err := next(ctx, seen)
		a.tell(ctx, began, conn.Spec().Procedure, seen.first, seen.n, err)
		return err
	}
}

func (a auditing) tell(ctx context.Context, began time.Time, procedure, asked string, n int, err error) {
	act := Action{
		Time: began, Took: time.Since(began), Caller: CallerOf(ctx), Procedure: procedure, Request: asked, Requests: n, Result: "ok",
	}
	if err != nil && !errors.Is(err, io.EOF) {
		act.Result, act.Error = connect.CodeOf(err).String(), err.Error()
	}
	a.to.Audited(act)
}

// seeing looks at what a stream brings. One goroutine receives.
type seeing struct {
	connect.StreamingHandlerConn

	first string
	n     int
}

// Receive implements [connect.StreamingHandlerConn].
func (s *seeing) Receive(m any) error {
	err := s.StreamingHandlerConn.Receive(m)
	if err == nil {
		if s.n++; s.n == 1 {
			s.first = Summary(m)
		}
	}
	return err
}

// Summary is a message as an audit shows it: JSON of at most about 2 KiB, without
// the contents of bytes (payloads, passwords) and without strings in fields whose
// names say that they are secret.
func Summary(m any) string {
	pm, ok := m.(proto.Message)
	if !ok {
		return ""
	}
	return summaryOf(pm.ProtoReflect())
}
