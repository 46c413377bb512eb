package conformance

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Endpoint is the [Launcher] of a plugin that somebody else runs, as with
// "PROGRAM -standalone DIR" under a debugger: it starts nothing, and cases that
// would stop or kill the plugin are skipped. target is a gRPC target such as
// "unix:///run/my-auth.sock". The plugin has to accept Init again.
func Endpoint(target string) Launcher {
	return LauncherFunc(func(ctx context.Context, _ *Output) (*Process, error) {
		conn, err := grpc.NewClient(target, pluginapi.DialOptions()...)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", target, err)
		}
		_, err = healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: pluginapi.HealthService})
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("nobody serves a plugin at %s: %s", target, rpcError(err))
		}
		return &Process{Conn: conn, Release: func() { _ = conn.Close() }}, nil
	})
}
