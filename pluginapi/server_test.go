package pluginapi_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestServerEndsByRPC(t *testing.T) {
	s, err := pluginapi.NewServer(validatorPlugin(abstain), nil)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient("unix://"+socket, pluginapi.DialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := pluginv1.NewPluginServiceClient(conn).Stop(t.Context(), &pluginv1.StopRequest{}); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve = %v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop after the end = %v", err)
	}
}

func TestServerThatNeverServes(t *testing.T) {
	s, err := pluginapi.NewServer(validatorPlugin(abstain), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop = %v", err)
	}
}

// TestStopIsBounded: a call that does not end holds Stop only as long as its
// context allows.
func TestStopIsBounded(t *testing.T) {
	called, release := make(chan struct{}), make(chan struct{})
	p := plugintest.Start(t, validatorPlugin(func(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
		close(called)
		<-release
		return pluginapi.NoOpinion(), nil
	}))
	ended := make(chan error, 1)
	go func() {
		_, err := p.ValidateConnection(t.Context(), plugintest.Connect("c"))
		ended <- err
	}()
	<-called
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil {
		t.Error("Stop returned although a call is running")
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the running call ended with %v", err)
	}
}

// TestReflection is what grpcurl needs.
func TestReflection(t *testing.T) {
	p := plugintest.Start(t, gatePlugin())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(p.Conn()).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range resp.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"gatehouse.plugin.v1.PluginService", "gatehouse.plugin.v1.ConnectionValidatorService", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("services %q, want %s among them", names, want)
		}
	}
	if slices.Contains(names, "gatehouse.plugin.v1.RetainedStoreService") {
		t.Errorf("services %q: one that the plugin does not have", names)
	}
}

// TestLargeMessages sends more than gRPC takes by default.
func TestLargeMessages(t *testing.T) {
	p := plugintest.Start(t, validatorPlugin(func(_ context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
		if len(c.Password) != 32<<20 {
			return nil, errors.New("not what was sent")
		}
		return &pluginapi.Decision{Items: map[string][]byte{"p": c.Password}}, nil
	}))
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("c", func(c *pluginapi.Connect) {
		c.HasPassword, c.Password = true, make([]byte, 32<<20)
	}))
	if err != nil || len(d.Items["p"]) != 32<<20 {
		t.Errorf("error %v", err)
	}
}
