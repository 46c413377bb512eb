package pluginhost

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// rig is a slot with an instance whose plugin is a gRPC server in the test.
type rig struct {
	t      testing.TB
	slot   *slot
	in     *instance
	server *grpc.Server
}

// fakePlugin is what the server serves and claims to be able to.
type fakePlugin struct {
	register     func(*grpc.Server)
	capabilities *pluginv1.Capabilities
	interest     []*pluginv1.HookInterest
	options      []grpc.ServerOption
	dial         []grpc.DialOption
}

var instanceIDs atomic.Uint64

// newRig starts the server and installs it as the instance of a new slot.
func newRig(t testing.TB, p fakePlugin) *rig {
	t.Helper()
	r := &rig{t: t, slot: newSlot("fake", slog.New(slog.DiscardHandler))}
	r.start(p)
	t.Cleanup(r.stop)
	return r
}

// start puts another instance into the slot.
func (r *rig) start(p fakePlugin) {
	r.t.Helper()
	r.server = grpc.NewServer(p.options...)
	p.register(r.server)
	conn := serveUnix(r.t, r.server, p.dial...)
	r.in = newInstance(instanceIDs.Add(1), conn, &pluginv1.InitResponse{
		Name: "fake", Capabilities: p.capabilities, Interest: p.interest,
	})
	if err := r.slot.install(r.in); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) stop() { r.slot.vacate(r.in, errStopping) }

func (r *rig) facades() *facades { return r.slot.facades }

// serveUnix serves on a Unix socket, as a plugin does, and connects to it.
func serveUnix(t testing.TB, server *grpc.Server, dial ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") // short: a socket path is limited
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	options := append(dialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	conn, err := grpc.NewClient("unix:"+path, append(options, dial...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
		_ = os.RemoveAll(dir)
	})
	return conn
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
