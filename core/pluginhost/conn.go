package pluginhost

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/gatehouse-mqtt/gatehouse/internal/socket"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// connect makes the connection to a plugin. It does not wait for it. A nil
// config means no TLS.
func connect(network, address string, config *tls.Config) (*grpc.ClientConn, error) {
	options := append(pluginapi.DialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return dial(ctx, network, address)
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           grpcbackoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	)
	if config != nil {
		options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	}
	return grpc.NewClient("passthrough:///plugin", options...)
}

// dial connects and checks who listens.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if socket, ok := conn.(*net.UnixConn); ok {
		if err := checkPeer(socket); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return socket.New(conn), nil
}

// disconnect closes a connection. It does not wait for ever: closing has been
// seen to hang (hashicorp/terraform#38939), and a plugin must not hold the host
// up that way either.
func disconnect(conn *grpc.ClientConn, limit time.Duration) {
	closed := make(chan struct{})
	go func() {
		_ = conn.Close()
		close(closed)
	}()
	_ = await(context.Background(), closed, limit)
}

// ping asks whether the plugin serves, by the standard health service.
func ping(ctx context.Context, conn *grpc.ClientConn) error {
	in := &healthv1.HealthCheckRequest{Service: pluginapi.HealthService}
	out, err := healthv1.NewHealthClient(conn).Check(ctx, in, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if out.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return fmt.Errorf("its health service says %s", out.GetStatus())
	}
	return nil
}

// checkHealth asks for the plugin's own opinion of its health. limitation is ""
// if all is well. An error means that it did not answer.
func checkHealth(ctx context.Context, conn *grpc.ClientConn) (limitation string, err error) {
	out, err := pluginv1.NewPluginServiceClient(conn).CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
	if status.Code(err) == codes.Unimplemented {
		return "", ping(ctx, conn)
	}
	if err != nil {
		return "", err
	}
	switch out.GetStatus() {
	case pluginv1.HealthStatus_HEALTH_STATUS_DEGRADED, pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY:
		if text := clean(out.GetMessage(), 300); text != "" {
			return text, nil
		}
		return "it does not say why", nil
	default:
		return "", nil
	}
}

// checkFitness says why a plugin can't take over from another: it does not
// answer, or does not think itself that it can work. One that works with a
// limitation can.
func checkFitness(ctx context.Context, conn *grpc.ClientConn) error {
	out, err := pluginv1.NewPluginServiceClient(conn).CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return ping(ctx, conn)
	case err != nil:
		return errors.New(rpcError(err))
	case out.GetStatus() == pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY:
		return fmt.Errorf("it says %q", clean(out.GetMessage(), 300))
	default:
		return nil
	}
}

// shutdown is go-plugin's own way to ask for the end, for plugins that do not
// know ours.
func shutdown(ctx context.Context, conn *grpc.ClientConn) error {
	return conn.Invoke(ctx, "/plugin.GRPCController/Shutdown", new(emptypb.Empty), new(emptypb.Empty))
}

// watch returns when a connection that was up is not any more, or when ctx
// ends.
func watch(ctx context.Context, conn *grpc.ClientConn) {
	for state := connectivity.Ready; state == connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// rpcError strips a gRPC error of its wrapping, for a person.
func rpcError(err error) string {
	if s, ok := status.FromError(err); ok && s.Code() != codes.Unknown {
		return fmt.Sprintf("%s (%s)", clean(s.Message(), 300), s.Code())
	} else if ok {
		return clean(s.Message(), 300)
	}
	return clean(err.Error(), 300)
}
