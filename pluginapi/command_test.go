//go:build unix

package pluginapi_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

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
