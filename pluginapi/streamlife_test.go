package pluginapi_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// TestManyOpenCalls has more calls open than a stream may have: it is not read,
// and goes on when they are decided.
func TestManyOpenCalls(t *testing.T) {
	release := make(chan struct{})
	var entered atomic.Int32
	p := plugintest.Start(t, publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		entered.Add(1)
		<-release
		return pluginapi.Pass(), nil
	}))
	const n = 10000
	done := make(chan error, 1)
	var calls []*pluginapi.Call
	for range n {
		calls = append(calls, &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: plugintest.Client("c"), Message: plugintest.Message("t", "p")}})
	}
	go func() { done <- p.InterceptFrames(t.Context(), calls) }()
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if entered.Load() != n {
		t.Errorf("%d calls decided, want %d", entered.Load(), n)
	}
}

// TestLargeChanges: answers that fit no single message are several.
func TestLargeChanges(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 3<<20)
	p := plugintest.Start(t, publishPlugin(func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		c.Message.Payload = large
		return pluginapi.Pass(), nil
	}))
	var calls []*pluginapi.Call
	for range 16 {
		calls = append(calls, &pluginapi.Call{Publish: &pluginapi.PublishCall{Message: plugintest.Message("t", "p")}})
	}
	if err := p.InterceptFrames(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	for _, c := range calls {
		if len(c.Publish.Message.Payload) != len(large) {
			t.Fatalf("payload of %d bytes", len(c.Publish.Message.Payload))
		}
	}
}

// TestStreamEnds: what was sent is answered after the broker has closed its side,
// and a stream that is open when the plugin stops ends then.
func TestStreamEnds(t *testing.T) {
	release := make(chan struct{})
	p := plugintest.Start(t, publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		<-release
		return pluginapi.Drop(), nil
	}))
	s, open := stream(t, p), stream(t, p)
	if err := s.Send(&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(1, 0, "t")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	close(release)
	if got := decided(t, s, 1); got[1] != "DROP " {
		t.Errorf("decided %v", got)
	}
	if resp, err := s.Recv(); err == nil {
		t.Errorf("another answer %v", resp)
	}
	if err := open.Send(&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(1, 0, "t")}}); err != nil {
		t.Fatal(err)
	}
	decided(t, open, 1)
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Recv(); status.Code(err) == codes.DeadlineExceeded || err == nil {
		t.Errorf("the open stream ended with %v", err)
	}
}

// TestStreamIsCutOff: the broker goes away while calls run.
func TestStreamIsCutOff(t *testing.T) {
	called := make(chan struct{})
	ended := make(chan error, 1)
	p := plugintest.Start(t, publishPlugin(func(ctx context.Context, _ *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		close(called)
		<-ctx.Done()
		ended <- ctx.Err()
		return pluginapi.Pass(), nil
	}))
	ctx, cancel := context.WithCancel(t.Context())
	s, err := pluginv1.NewMessageInterceptorServiceClient(p.Conn()).InterceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(1, 0, "t")}}); err != nil {
		t.Fatal(err)
	}
	<-called
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the hook's context ended with %v", err)
	}
}
