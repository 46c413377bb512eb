package pluginapi

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/jsonlog"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lifeline"
)

// How long a plugin has to stop when nobody gives it a deadline, and how much
// longer the process waits before it goes without.
const (
	stopTime  = 5 * time.Second
	forceTime = 2 * time.Second
)

// serveBroker serves the broker that started this process, through go-plugin.
func serveBroker(p Plugin) int {
	stderr := os.Stderr // go-plugin puts a pipe in its place
	level := new(slog.LevelVar)
	log := slog.New(jsonlog.New(stderr, jsonlog.Options{Module: p.Name, Level: level}))
	c, err := newCore(p, log, level)
	if err != nil {
		fmt.Fprintf(stderr, "pluginapi: %v\n", err)
		return 1
	}
	slog.SetDefault(log)

	// A broken pipe must not end the process before it has flushed: when the
	// broker is killed, the log is what breaks first.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pr := &process{core: c, stderr: stderr, server: make(chan *grpc.Server, 1), overdue: make(chan struct{})}
	var watchers sync.WaitGroup
	watchers.Go(func() { pr.endServer(ctx) })
	watchers.Go(func() { pr.stopOn(ctx, terminate) })
	watchers.Go(func() { pr.watchBroker(ctx) })

	served := make(chan struct{})
	go func() {
		defer close(served)
		plugin.Serve(pr.config())
	}()
	select {
	case <-served:
	case <-pr.overdue:
		log.Error("plugin did not stop in time")
		return 1
	}
	cancel()
	watchers.Wait()
	pr.takeStdout.Do(func() {}) // nothing is captured from here on
	pr.stdout.close()
	return pr.exitCode()
}

// process is a plugin as a process of the broker's.
type process struct {
	core    *core
	stderr  *os.File
	server  chan *grpc.Server // holds go-plugin's server once there is one
	overdue chan struct{}     // closed when stopping took too long
	late    sync.Once

	takeStdout sync.Once
	stdout     capture
}

// config is what go-plugin serves.
func (pr *process) config() *plugin.ServeConfig {
	return &plugin.ServeConfig{
		HandshakeConfig: Handshake,
		VersionedPlugins: map[int]plugin.PluginSet{
			int(Handshake.ProtocolVersion): {PluginSetName: &GRPCPlugin{Register: pr.core.register}},
		},
		GRPCServer: pr.newServer,
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: pr.core.plugin.Name, Level: hclog.Warn, Output: pr.stderr, JSONFormat: true,
			TimeFormat: time.RFC3339Nano,
		}),
	}
}

// newServer makes the server; opts are go-plugin's, TLS if the broker wants it.
// go-plugin itself adds health and reflection. Without TLS, connections are read and
// written as package socket does.
func (pr *process) newServer(opts []grpc.ServerOption) *grpc.Server {
	opts = append([]grpc.ServerOption{grpc.Creds(newSocketCredentials())}, opts...)
	opts = append(opts, pr.core.serverOptions()...)
	opts = append(opts,
		grpc.ChainUnaryInterceptor(pr.unary),
		grpc.ChainStreamInterceptor(pr.stream))
	g := grpc.NewServer(opts...)
	pr.server <- g
	return g
}

// shutdown is go-plugin's way to end a plugin. It stops the server at once, so
// that the plugin has to be stopped before.
const shutdown = "/plugin.GRPCController/Shutdown"

func (pr *process) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	pr.takeStdout.Do(pr.captureStdout)
	if info.FullMethod == shutdown {
		ctx, cancel := context.WithTimeout(ctx, stopTime)
		defer cancel()
		_ = pr.core.stop(ctx)
	}
	return next(ctx, req)
}

func (pr *process) stream(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	pr.takeStdout.Do(pr.captureStdout)
	return next(srv, s)
}

// captureStdout undoes what go-plugin did to standard output and error: pipes
// that block the plugin if nobody reads them. It runs at the first call, when
// go-plugin has done it, and before any of the author's code.
func (pr *process) captureStdout() {
	os.Stderr = pr.stderr
	if err := pr.stdout.open(pr.core.log); err != nil {
		pr.core.log.Warn("standard output is not logged", slog.Any("err", err))
		os.Stdout = pr.stderr
		return
	}
	os.Stdout = pr.stdout.w
}

// endServer ends the server when the plugin has been stopped.
func (pr *process) endServer(ctx context.Context) {
	select {
	case <-pr.core.stopped:
	case <-ctx.Done():
		return
	}
	select {
	case g := <-pr.server:
		endGracefully(g)
	case <-ctx.Done():
	}
}

// stopOn stops the plugin when the process is told to terminate.
func (pr *process) stopOn(ctx context.Context, terminate <-chan os.Signal) {
	select {
	case <-terminate:
		pr.stop(ctx)
	case <-ctx.Done():
	}
}

// parent is who started the process. It is asked for before anything else is done:
// a broker that dies right after the handshake must not pass for one that lives.
var parent = os.Getppid()

// watchBroker stops the plugin when the broker is gone.
func (pr *process) watchBroker(ctx context.Context) {
	why := lifeline.Watch(ctx, os.Getenv(EnvLifeline), parent, func(err error) {
		pr.core.log.Warn("only the parent's process id is watched", slog.Any("err", err))
	})
	if why != "" {
		// Nobody may be reading this any more.
		pr.core.log.Warn("the broker is gone, exiting", slog.String("why", why))
		pr.stop(ctx)
	}
}

// stop stops the plugin in limited time, and lets the process end without it if
// it does not.
func (pr *process) stop(ctx context.Context) {
	force := time.AfterFunc(stopTime+forceTime, func() { pr.late.Do(func() { close(pr.overdue) }) })
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if pr.core.stop(ctx) == nil {
		force.Stop()
	}
	// Otherwise the plugin may still be at it; the timer decides.
}

// exitCode is 0 if the plugin was stopped and could flush.
func (pr *process) exitCode() int {
	select {
	case <-pr.core.stopped:
		if pr.core.stopErr == nil {
			return 0
		}
	default:
	}
	return 1
}
