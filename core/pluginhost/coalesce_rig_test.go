package pluginhost

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type (
	streamRequest  = pluginv1.InterceptStreamRequest
	streamResponse = pluginv1.InterceptStreamResponse
	serverStream   = grpc.BidiStreamingServer[streamRequest, streamResponse]
)

// lockedStream may be sent on by many goroutines.
type lockedStream struct {
	serverStream
	mu sync.Mutex
}

func (s *lockedStream) Send(r *streamResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.serverStream.Send(r)
}

// deadline bounds what a test waits for and never expects to wait for.
func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func intercept(t testing.TB, r *rig, b *hook.Batch) error {
	t.Helper()
	return r.facades().interceptor().Intercept(deadline(t), b)
}

// going calls Intercept in a goroutine; the channel gives its error.
func going(ctx context.Context, r *rig, b *hook.Batch) <-chan error {
	done := make(chan error, 1)
	go func() { done <- r.facades().interceptor().Intercept(ctx, b) }()
	return done
}

// receive is a channel receive that fails the test rather than hang.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came in 20 s")
		panic("unreachable")
	}
}

// eventually polls what only another goroutine can bring about.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in 20 s: %s", what)
		}
	}
}

// wantErrors checks which of package hook's errors err wraps: these and no
// other.
func wantErrors(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, e := range []error{hook.ErrUnavailable, hook.ErrLost, hook.ErrTimeout, hook.ErrProtocol} {
		if errors.Is(err, e) != slices.Contains(want, e) {
			t.Errorf("errors.Is(%q, %q) = %v", err, e, errors.Is(err, e))
		}
	}
}

// streamFunc is one InterceptStream call of a fake plugin.
type streamFunc func(grpc.BidiStreamingServer[pluginv1.InterceptStreamRequest, pluginv1.InterceptStreamResponse]) error

// fakeInterceptor serves interception with functions.
type fakeInterceptor struct {
	pluginv1.UnimplementedMessageInterceptorServiceServer
	stream streamFunc
	unary  func(context.Context, *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error)
}

func (f *fakeInterceptor) InterceptStream(s grpc.BidiStreamingServer[pluginv1.InterceptStreamRequest, pluginv1.InterceptStreamResponse]) error {
	return f.stream(s)
}

func (f *fakeInterceptor) Intercept(ctx context.Context, r *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
	return f.unary(ctx, r)
}

// streaming is a plugin that intercepts on a stream.
func streaming(f streamFunc) fakePlugin {
	return fakePlugin{
		register: func(s *grpc.Server) {
			pluginv1.RegisterMessageInterceptorServiceServer(s, &fakeInterceptor{stream: f})
		},
		capabilities: &pluginv1.Capabilities{InterceptStream: true},
	}
}

// answering is a stream on which every frame is answered by f; nil is no answer.
func answering(f func(*pluginv1.InterceptStreamRequest) *pluginv1.InterceptStreamResponse) streamFunc {
	return func(s grpc.BidiStreamingServer[pluginv1.InterceptStreamRequest, pluginv1.InterceptStreamResponse]) error {
		for {
			request, err := s.Recv()
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			if response := f(request); response != nil {
				if err := s.Send(response); err != nil {
					return err
				}
			}
		}
	}
}

// passAll lets every call of a frame pass.
func passAll(r *pluginv1.InterceptStreamRequest) *pluginv1.InterceptStreamResponse {
	return &pluginv1.InterceptStreamResponse{Passed: passed(r.Calls)}
}

func passed(calls []*pluginv1.Call) []*pluginv1.SeqRange {
	if len(calls) == 0 {
		return nil
	}
	return []*pluginv1.SeqRange{{FirstSeq: calls[0].Seq, Count: uint32(len(calls))}}
}

// publish is a batch of messages of one client.
func publish(c *hook.Client, messages ...*mqtt.Message) *hook.Batch {
	b := &hook.Batch{Point: hook.PointPublish}
	for _, m := range messages {
		b.Calls = append(b.Calls, &hook.Call{Client: c, Message: m})
	}
	return b
}

func client(id uint64) *hook.Client {
	return &hook.Client{
		ConnectionID: id, ID: "sensor-in-the-garden-" + string(rune('a'+id%26)), Username: "garden",
		Version: mqtt.V5, PeerAddress: "192.0.2.17:40123", Listener: "tcp",
	}
}

func message(topic, payload string) *mqtt.Message {
	return &mqtt.Message{
		Topic: topic, Payload: []byte(payload), QoS: mqtt.AtLeastOnce,
		Publisher: "sensor-in-the-garden-a", Created: time.Unix(1_700_000_000, 0),
	}
}
