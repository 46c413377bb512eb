//go:build unix

package pluginapi_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// soon is longer than anything here takes.
const soon = 10 * time.Second

func launch(t *testing.T, opts ...plugintest.Option) *plugintest.Process {
	t.Helper()
	opts = append(opts, plugintest.Env(quiet(t)...))
	return plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "gate"), opts...)
}

// quiet keeps a test binary that was built for the race detector or for coverage
// from adding something of its own to its end.
func quiet(t *testing.T) []string {
	t.Helper()
	return []string{"GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir()}
}

// wantExit waits for the end of the process.
func wantExit(t *testing.T, p *plugintest.Process, code int) {
	t.Helper()
	got, err := p.Wait(soon)
	if err != nil {
		t.Fatal(err)
	}
	if got != code {
		t.Errorf("exit status %d, want %d; standard error:\n%s", got, code, p.Stderr())
	}
}

func wantFlushed(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "flushed")); err != nil {
		t.Errorf("the plugin was not stopped before its process ended: %v", err)
	}
}

func TestProcessValidates(t *testing.T) {
	p := launch(t, plugintest.Config(`{"allow": ["a"]}`))
	for id, want := range map[string]pluginapi.Word{"a": pluginapi.Allow, "b": pluginapi.Deny} {
		d, err := p.ValidateConnection(t.Context(), plugintest.Connect(id))
		if err != nil || d.Word != want {
			t.Errorf("client %s: %v, %v, want %v", id, d, err, want)
		}
	}
	resp, err := grpc_health_v1.NewHealthClient(p.Conn()).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: pluginapi.HealthService})
	if err != nil || resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v, want SERVING", resp, err)
	}
}

func TestProcessStopsInTime(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, plugintest.DataDir(dir))
	// A watch of somebody's that never ends must not hold the exit up.
	if _, err := grpc_health_v1.NewHealthClient(p.Conn()).Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: pluginapi.HealthService}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	wantExit(t, p, 0)
	if took := time.Since(start); took > 900*time.Millisecond {
		t.Errorf("the exit took %v", took)
	}
	wantFlushed(t, dir)
	if out := p.Stdout(); out != "" {
		t.Errorf("standard output after the handshake: %q", out)
	}
}

func TestProcessStopFails(t *testing.T) {
	p := launch(t, plugintest.Config(`{"mode": "fail"}`))
	if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("Stop = %v, want the plugin's error", err)
	}
	wantExit(t, p, 1)
}

func TestProcessTerminates(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, plugintest.DataDir(dir))
	if err := p.Signal(syscall.SIGINT); err != nil { // is ignored
		t.Fatal(err)
	}
	if _, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, 0)
	wantFlushed(t, dir)
}

func TestProcessSurvivesPanic(t *testing.T) {
	p := launch(t, plugintest.Config(`{"allow": ["a"]}`))
	_, err := p.ValidateConnection(t.Context(), plugintest.Connect("panic"))
	if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "the gate fell down") {
		t.Errorf("error %v, want Internal with the panic", err)
	}
	line, err := p.Logged("panic in the plugin", soon)
	if err != nil {
		t.Fatal(err)
	}
	if stack, _ := line["stack"].(string); !strings.Contains(stack, "ValidateConnection") {
		t.Errorf("logged stack %q, want one with the hook", stack)
	}
	if d, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err != nil || d.Word != pluginapi.Allow {
		t.Errorf("after the panic: %v, %v", d, err)
	}
}

func TestProcessOutput(t *testing.T) {
	p := launch(t)
	if _, err := p.ValidateConnection(t.Context(), plugintest.Connect("print")); err != nil {
		t.Fatal(err)
	}
	for message, want := range map[string]map[string]any{
		"printed to stdout":             {"@level": "info", "stream": "stdout", "@module": "gate"},
		"logged by package log":         {"@level": "info"},
		"logged by slog":                {"@level": "info", "answer": 42.0},
		"logged by the plugin's logger": {"@level": "debug", "client.id": "print"},
	} {
		line, err := p.Logged(message, soon)
		if err != nil {
			t.Error(err)
			continue
		}
		for k, v := range want {
			if line[k] != v {
				t.Errorf("%s: %s = %v, want %v", message, k, line[k], v)
			}
		}
	}
	if !strings.Contains("\n"+p.Stderr(), "\nprinted to stderr\n") {
		t.Errorf("standard error is not passed on:\n%s", p.Stderr())
	}
	if out := p.Stdout(); out != "" {
		t.Errorf("standard output after the handshake: %q", out)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(p.Stderr()), "\n") {
		var record map[string]any
		if json.Unmarshal([]byte(line), &record) != nil {
			continue
		}
		for _, k := range []string{"@level", "@message", "@timestamp"} {
			if _, ok := record[k].(string); !ok {
				t.Errorf("%s is no string in %s", k, line)
			}
		}
	}
}

func TestProcessLogLevel(t *testing.T) {
	p := launch(t, plugintest.LogLevel("warn"))
	for _, id := range []string{"print", "fail"} {
		_, _ = p.ValidateConnection(t.Context(), plugintest.Connect(id))
	}
	if _, err := p.Logged("could not decide", soon); err != nil {
		t.Error(err)
	}
	if strings.Contains(p.Stderr(), "logged by") {
		t.Errorf("lines below the level:\n%s", p.Stderr())
	}
}

// TestProcessStdin gives the plugin something to read that looks like commands.
func TestProcessStdin(t *testing.T) {
	p := launch(t, plugintest.Stdin("describe\n\x00\x04\nquit\n"+strings.Repeat("x", 1<<20)), plugintest.Config(`{"allow": ["a"]}`))
	if d, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err != nil || d.Word != pluginapi.Allow {
		t.Errorf("decision %v, %v", d, err)
	}
}

// TestProcessGarbage connects to the socket and speaks no HTTP/2.
func TestProcessGarbage(t *testing.T) {
	p := launch(t, plugintest.Config(`{"allow": ["a"]}`))
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff\x00", ""} {
		c, err := p.Dial()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(garbage))
		_ = c.Close()
	}
	if d, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err != nil || d.Word != pluginapi.Allow {
		t.Errorf("decision %v, %v", d, err)
	}
}

func TestProcessStopLetsCallsEnd(t *testing.T) {
	p := launch(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hanging := make(chan error, 1)
	go func() {
		_, err := p.ValidateConnection(ctx, plugintest.Connect("hang"))
		hanging <- err
	}()
	// Drain returns when no call runs: as long as it does at once, the hanging
	// call has not arrived.
	for {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		err := p.Drain(short)
		cancel()
		if err != nil {
			break
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(t.Context()) }()
	if _, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err == nil {
		// Stop may not have arrived yet; then the next one finds it.
		for err == nil {
			_, err = p.ValidateConnection(t.Context(), plugintest.Connect("a"))
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("Stop = %v before the running call has ended", err)
	default:
	}
	cancel()
	if err := <-hanging; status.Code(err) != codes.Canceled {
		t.Errorf("the hanging call ended with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	wantExit(t, p, 0)
}

// TestGoPluginClient uses go-plugin's own client, as the broker does.
func TestGoPluginClient(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(plugintest.Install(t, t.TempDir(), "gate"))
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  pluginapi.Handshake,
		VersionedPlugins: pluginapi.HostPlugins(),
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCDialOptions:  pluginapi.DialOptions(),
		SkipHostEnv:      true,
		Logger:           hclog.NewNullLogger(),
	})
	defer client.Kill()
	rpc, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := rpc.Dispense(pluginapi.PluginSetName)
	if err != nil {
		t.Fatal(err)
	}
	if err := rpc.Ping(); err != nil {
		t.Error(err)
	}
	api := pluginv1.NewPluginServiceClient(raw.(*grpc.ClientConn))
	if resp, err := api.Init(t.Context(), &pluginv1.InitRequest{DataDir: dir}); err != nil || len(resp.GetDiagnostics()) > 0 {
		t.Fatalf("init: %v, %v", resp, err)
	}
	// Shutdown, go-plugin's own way to end a plugin, also lets it flush.
	client.Kill()
	if !client.Exited() {
		t.Error("the plugin has not ended")
	}
	wantFlushed(t, dir)
}

func TestProcessEnvironment(t *testing.T) {
	p := launch(t, plugintest.Env("GATE_X=1"))
	d, err := p.ValidateConnection(t.Context(), plugintest.Connect("env"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(d.Reason, "GATE_X=1") {
		t.Errorf("environment %q, want GATE_X=1 in it", d.Reason)
	}
}
