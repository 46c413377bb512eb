package pluginhost

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

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
}

var instanceIDs atomic.Uint64

// newRig starts the server and installs it as the instance of a new slot.
func newRig(t testing.TB, p fakePlugin) *rig {
	t.Helper()
	r := &rig{t: t, slot: newSlot("fake", slog.New(slog.DiscardHandler))}
	r.start(p)
	return r
}

// start puts another instance into the slot.
func (r *rig) start(p fakePlugin) {
	r.t.Helper()
	r.server = grpc.NewServer(p.options...)
	p.register(r.server)
	conn := serveUnix(r.t, r.server)
	r.in = newInstance(instanceIDs.Add(1), conn, &pluginv1.InitResponse{
		Name: "fake", Capabilities: p.capabilities, Interest: p.interest,
	})
	if err := r.slot.install(r.in); err != nil {
		r.t.Fatal(err)
	}
	in := r.in
	r.t.Cleanup(func() { r.slot.vacate(in, errStopping) })
}

func (r *rig) stop() { r.slot.vacate(r.in, errStopping) }

func (r *rig) facades() *facades { return r.slot.facades }

// serveUnix serves on a Unix socket, as a plugin does, and connects to it.
func serveUnix(t testing.TB, server *grpc.Server) *grpc.ClientConn {
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
	conn, err := connect("unix", path, nil)
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
