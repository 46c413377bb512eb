//go:build unix

package pluginapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
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

func TestProcessEndsWithItsLifeline(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, plugintest.DataDir(dir))
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, 0)
	wantFlushed(t, dir)
}

// TestProcessEndsAlthoughStopHangs: the lifeline has ended, and nobody is there
// to kill a plugin that does not want to go.
func TestProcessEndsAlthoughStopHangs(t *testing.T) {
	t.Parallel() // it takes as long as a plugin is given
	p := launch(t, plugintest.Config(`{"mode": "hang"}`))
	if err := p.Abandon(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, p, 1)
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

// command runs the plugin like a person does.
func command(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(plugintest.Install(t, t.TempDir(), name), args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = quiet(t)
	err := cmd.Run()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	cases := []struct {
		name, program  string
		args           []string
		code           int
		stdout, stderr string // regular expressions
	}{
		{"describe", "gate", []string{"describe"}, 0, `(?s)^\{.*"name": "gate".*\}\n$`, `^$`},
		{"version", "gate", []string{"-version"}, 0, `^gate 1.2.3\n$`, `^$`},
		{"version, two dashes", "gate", []string{"--version"}, 0, `^gate 1.2.3\n$`, `^$`},
		{"help", "gate", []string{"-h"}, 0, `(?s)^gate 1.2.3: lets some clients in\n.*-standalone DIR`, `^$`},
		{"by hand", "gate", nil, 1, `^$`, `(?s)^gate is a Gatehouse plugin: the broker starts it.*broker serve --plugin-dir DIR`},
		{"unknown command", "gate", []string{"run"}, 2, `^$`, `^gate: unknown command "run"\n`},
		{"unknown flag", "gate", []string{"-x"}, 2, `^$`, `(?s)^gate: flag provided but not defined: -x.*describe`},
		{"author's mistake", "bad", []string{"describe"}, 1, `^$`, `^pluginapi: plugin bad: Plugin.Hooks is nil: set it to`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			stdout, stderr, code := command(t, c.program, c.args...)
			if code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			if !regexp.MustCompile(c.stdout).MatchString(stdout) {
				t.Errorf("standard output %q does not match %q", stdout, c.stdout)
			}
			if !regexp.MustCompile(c.stderr).MatchString(stderr) {
				t.Errorf("standard error %q does not match %q", stderr, c.stderr)
			}
		})
	}
}

func TestDescribeIsAManifest(t *testing.T) {
	stdout, _, _ := command(t, "gate", "describe")
	m, err := pluginapi.ParseManifest([]byte(stdout))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "gate" || m.Version != "1.2.3" || len(m.Services) != 1 || m.Services[0] != "gatehouse.plugin.v1.ConnectionValidatorService" {
		t.Errorf("manifest %+v", m)
	}
	p := launch(t)
	if remote, err := p.Manifest(t.Context()); err != nil || remote.Name != m.Name || string(remote.ConfigSchema) == "" {
		t.Errorf("Describe = %+v, %v; want what describe prints", remote, err)
	}
}

// TestStandalone runs the plugin as a person with a debugger does.
func TestStandalone(t *testing.T) {
	dir, data := t.TempDir(), t.TempDir()
	program := plugintest.Install(t, t.TempDir(), "gate")
	cmd := exec.Command(program, "-standalone", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	cmd.Env = append(quiet(t), "TMPDIR="+os.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()

	path := filepath.Join(dir, "gate", pluginapi.AttachFile)
	a := waitForAttach(t, path)
	if a.Name != "gate" || a.Version != "1.2.3" || a.PID != cmd.Process.Pid || time.Since(a.Started) > time.Hour {
		t.Errorf("attach file %+v", a)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("attach file has the mode %v, %v; want 0600", info.Mode(), err)
	}

	// A second one does not take the first one's place.
	second := exec.Command(program, "-standalone", dir)
	second.Env = cmd.Env
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "serves this plugin already") {
		t.Errorf("a second plugin: %v, %s", err, out)
	}

	conn, err := grpc.NewClient(a.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	api := pluginv1.NewPluginServiceClient(conn)
	// A broker may come, go, and come again.
	for _, allow := range []string{"a", "b"} {
		req := &pluginv1.InitRequest{DataDir: data, ConfigJson: []byte(`{"allow":["` + allow + `"]}`)}
		if resp, err := api.Init(t.Context(), req); err != nil || len(resp.GetDiagnostics()) > 0 {
			t.Fatalf("init: %v, %v", resp, err)
		}
		resp, err := pluginv1.NewConnectionValidatorServiceClient(conn).Validate(t.Context(),
			&pluginv1.ValidateRequest{Connect: &pluginv1.Connect{ClientId: allow}})
		if err != nil || resp.GetDecision().GetVerdict() != pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW {
			t.Errorf("client %s: %v, %v", allow, resp, err)
		}
	}
	wantFlushed(t, data) // the first one was stopped before the second began

	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("exit after Ctrl-C: %v\n%s", err, stderr.String())
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the attach file is still there: %v", err)
	}
	if _, err := os.Stat(strings.TrimPrefix(a.Address, "unix://")); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func waitForAttach(t *testing.T, path string) pluginapi.Attach {
	t.Helper()
	var a pluginapi.Attach
	for deadline := time.Now().Add(soon); ; {
		content, err := os.ReadFile(path)
		if err == nil {
			if err := json.Unmarshal(content, &a); err != nil {
				t.Fatal(err)
			}
			return a
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestProcessFlushesAlthoughNobodyReads: the broker was killed, so that the log
// is broken before the lifeline tells.
func TestProcessFlushesAlthoughNobodyReads(t *testing.T) {
	dir, run := t.TempDir(), t.TempDir()
	logReader, logWriter, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	lifelineReader, lifeline, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(plugintest.Install(t, t.TempDir(), "gate"))
	cmd.Stderr = logWriter
	cmd.ExtraFiles = []*os.File{lifelineReader}
	cmd.Env = append(quiet(t), "GATEHOUSE_LIFELINE_FD=3", "PLUGIN_UNIX_SOCKET_DIR="+run,
		pluginapi.Handshake.MagicCookieKey+"="+pluginapi.Handshake.MagicCookieValue)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = logWriter.Close(), lifelineReader.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("unix://"+strings.Split(line, "|")[3], pluginapi.DialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := pluginv1.NewPluginServiceClient(conn).Init(t.Context(), &pluginv1.InitRequest{DataDir: dir}); err != nil {
		t.Fatal(err)
	}
	_, _, _ = logReader.Close(), stdout.Close(), conn.Close()
	_ = lifeline.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v", err)
	}
	wantFlushed(t, dir)
}

// TestProcessWithoutLifeline notices by its parent's process id that the broker
// is gone. The shell in between is the broker.
func TestProcessWithoutLifeline(t *testing.T) {
	dir := t.TempDir()
	program := plugintest.Install(t, t.TempDir(), "gate")
	shell := exec.Command("/bin/sh", "-c", `"$0" >"$1/out" 2>"$1/err" & read x`, program, dir)
	shell.Env = append(quiet(t), "PLUGIN_UNIX_SOCKET_DIR="+dir, "PATH="+os.Getenv("PATH"),
		pluginapi.Handshake.MagicCookieKey+"="+pluginapi.Handshake.MagicCookieValue)
	stdin, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	var socket string
	waitFor(t, "the handshake", func() bool {
		out, _ := os.ReadFile(filepath.Join(dir, "out"))
		f := strings.Split(string(out), "|")
		if len(f) < 5 {
			return false
		}
		socket = f[3]
		return true
	})
	_ = stdin.Close()
	_ = shell.Wait()
	waitFor(t, "the exit", func() bool {
		log, _ := os.ReadFile(filepath.Join(dir, "err"))
		_, err := os.Stat(socket)
		return strings.Contains(string(log), "the broker is gone") && os.IsNotExist(err)
	})
}

// waitFor polls what happens in another process.
func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(soon); !happened(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
