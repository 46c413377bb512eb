package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// stopTime is how long a plugin may take to stop at the end of a test.
const stopTime = 10 * time.Second

// Plugin is a plugin under test. Its methods make gRPC calls and may be used by
// many goroutines, but for Init and Reconfigure.
type Plugin struct {
	conn     *grpc.ClientConn
	settings settings
	init     atomic.Pointer[pluginv1.InitResponse]
	warnings []pluginapi.ConfigError
	stopped  atomic.Bool // by the test itself
}

// settings are what options set.
type settings struct {
	instance string
	dataDir  string
	config   any
	logLevel string
	noInit   bool
	stdin    string
	env      []string
	host     *Host
	check    checkSettings
}

// Option is a setting of [Start] and [Launch].
type Option func(*settings)

// Config sets the configuration: JSON as a string or as bytes, or a value to be
// encoded as JSON. Without it, it is empty.
func Config(c any) Option { return func(s *settings) { s.config = c } }

// DataDir sets the data folder. Without it, it is a temporary one.
func DataDir(dir string) Option { return func(s *settings) { s.dataDir = dir } }

// Instance sets the name under which the plugin runs. Without it, it is "test".
func Instance(name string) Option { return func(s *settings) { s.instance = name } }

// LogLevel sets the level of the log. Without it, it is "debug".
func LogLevel(level string) Option { return func(s *settings) { s.logLevel = level } }

// NoInit leaves the call of Init to the test.
func NoInit() Option { return func(s *settings) { s.noInit = true } }

// Start runs p inside of the test until its end, and stops it then as the broker
// would. It fails the test if p can't be served or its configuration is refused.
func Start(t testing.TB, p pluginapi.Plugin, opts ...Option) *Plugin {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	server, err := pluginapi.NewServer(p, log)
	if err != nil {
		t.Fatal(err)
	}
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	dial := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
	plugin, err := connect("passthrough:///plugin", apply(t, opts), dial)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err := server.Stop(ctx); err != nil && !plugin.stopped.Load() {
			t.Errorf("stop: %v", err)
		}
		_ = plugin.conn.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	plugin.initFor(t)
	return plugin
}

func apply(t testing.TB, opts []Option) settings {
	s := settings{instance: "test", logLevel: "debug"}
	for _, o := range opts {
		o(&s)
	}
	if s.dataDir == "" {
		s.dataDir = t.TempDir()
	}
	return s
}

// connect makes the connection.
func connect(target string, s settings, opts ...grpc.DialOption) (*Plugin, error) {
	conn, err := grpc.NewClient(target, append(pluginapi.DialOptions(), opts...)...)
	if err != nil {
		return nil, err
	}
	return &Plugin{conn: conn, settings: s}, nil
}

// initFor calls Init if the test does not want to do it.
func (p *Plugin) initFor(t testing.TB) {
	t.Helper()
	if p.settings.noInit {
		return
	}
	if err := p.Init(t.Context(), p.settings.config); err != nil {
		t.Fatalf("init: %v", err)
	}
}

// Conn is the connection, for calls that this package does not wrap.
func (p *Plugin) Conn() *grpc.ClientConn { return p.conn }

// Init initialises the plugin with a configuration, see [Config]. The error
// joins the [pluginapi.ConfigError] of every remark that refuses it.
func (p *Plugin) Init(ctx context.Context, config any) error {
	raw, err := encodeConfig(config)
	if err != nil {
		return err
	}
	in := &pluginv1.InitRequest{
		HostName:    "plugintest",
		HostVersion: "0.0.0",
		ApiPackages: []string{pluginapi.APIPackage},
		Instance:    p.settings.instance,
		ConfigJson:  raw,
		DataDir:     p.settings.dataDir,
		LogLevel:    p.settings.logLevel,
	}
	if h := p.settings.host; h != nil {
		in.HostTarget, in.HostToken = h.target, hostToken
	}
	resp, err := pluginv1.NewPluginServiceClient(p.conn).Init(ctx, in)
	if err != nil {
		return err
	}
	if err := p.remarks(resp.GetDiagnostics()); err != nil {
		return err
	}
	p.init.Store(resp)
	return nil
}

// ValidateConfig checks a configuration without using it. The error is as that
// of Init.
func (p *Plugin) ValidateConfig(ctx context.Context, config any) error {
	raw, err := encodeConfig(config)
	if err != nil {
		return err
	}
	resp, err := pluginv1.NewPluginServiceClient(p.conn).ValidateConfig(ctx, &pluginv1.ValidateConfigRequest{ConfigJson: raw})
	if err != nil {
		return err
	}
	return p.remarks(resp.GetDiagnostics())
}

// Reconfigure hands over a new configuration. The error is as that of Init.
func (p *Plugin) Reconfigure(ctx context.Context, config any) error {
	raw, err := encodeConfig(config)
	if err != nil {
		return err
	}
	resp, err := pluginv1.NewPluginServiceClient(p.conn).Reconfigure(ctx, &pluginv1.ReconfigureRequest{ConfigJson: raw})
	if err != nil {
		return err
	}
	return p.remarks(resp.GetDiagnostics())
}

// Warnings are the remarks of the last Init, ValidateConfig or Reconfigure that
// refused nothing.
func (p *Plugin) Warnings() []pluginapi.ConfigError { return slices.Clone(p.warnings) }

// Hooks are the points at which the plugin wants to be asked, as Init said.
func (p *Plugin) Hooks() []pluginapi.Hook {
	var all []pluginapi.Hook
	for _, in := range p.init.Load().GetInterest() {
		all = append(all, hookNames[in.GetHook()])
	}
	return all
}

// Manifest is what the plugin says of itself.
func (p *Plugin) Manifest(ctx context.Context) (*pluginapi.Manifest, error) {
	resp, err := pluginv1.NewPluginServiceClient(p.conn).Describe(ctx, &pluginv1.DescribeRequest{})
	if err != nil {
		return nil, err
	}
	return pluginapi.ParseManifest(resp.GetManifestJson())
}

// Health asks the plugin how it is: nil, an error as of [pluginapi.Degraded], or
// another one.
func (p *Plugin) Health(ctx context.Context) error {
	resp, err := pluginv1.NewPluginServiceClient(p.conn).CheckHealth(ctx, &pluginv1.CheckHealthRequest{})
	switch {
	case err != nil:
		return err
	case resp.GetStatus() == pluginv1.HealthStatus_HEALTH_STATUS_DEGRADED:
		return pluginapi.Degraded(resp.GetMessage())
	case resp.GetStatus() == pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY:
		return errors.New(resp.GetMessage())
	}
	return nil
}

// Metrics collects the plugin's metrics.
func (p *Plugin) Metrics(ctx context.Context) ([]byte, error) {
	resp, err := pluginv1.NewPluginServiceClient(p.conn).CollectMetrics(ctx, &pluginv1.CollectMetricsRequest{})
	return resp.GetPrometheusText(), err
}

// Drain waits until running calls have ended.
func (p *Plugin) Drain(ctx context.Context) error {
	_, err := pluginv1.NewPluginServiceClient(p.conn).Drain(ctx, &pluginv1.DrainRequest{})
	return err
}

// Stop stops the plugin; nothing can be called after it.
func (p *Plugin) Stop(ctx context.Context) error {
	p.stopped.Store(true)
	_, err := pluginv1.NewPluginServiceClient(p.conn).Stop(ctx, &pluginv1.StopRequest{})
	return err
}

// remarks keeps the warnings and returns the errors.
func (p *Plugin) remarks(all []*pluginv1.Diagnostic) error {
	var errs []error
	p.warnings = nil
	for _, d := range all {
		e := pluginapi.ConfigError{Path: d.GetPath(), Message: d.GetMessage()}
		switch d.GetSeverity() {
		case pluginv1.Severity_SEVERITY_INFO, pluginv1.Severity_SEVERITY_WARNING:
			p.warnings = append(p.warnings, e)
		default:
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

func encodeConfig(config any) ([]byte, error) {
	switch c := config.(type) {
	case nil:
		return []byte("{}"), nil
	case string:
		return []byte(c), nil
	case []byte:
		return c, nil
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return raw, nil
}
