//go:build unix

package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestCrashIsRecorded(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	b := th.mustStart(t)
	_, err := b.Validators[0].Validator.Validate(context.Background(),
		&hook.Connect{ClientID: "c", Username: "crash", HasUsername: true})
	if !errors.Is(err, hook.ErrLost) {
		t.Errorf("the call gives %v", err)
	}
	s := th.until(t, "auth", "crashed", func(s Status) bool { return len(s.Failures) > 0 })
	f := s.Failures[0]
	if f.Kind != KindExited || f.What != "it exited with status 2 (panic: boom at work)" {
		t.Errorf("failure is %+v", f)
	}
	if !strings.Contains(f.Panic, "goroutine ") || !strings.Contains(f.Panic, "chaos_test.go") || len(f.Output) == 0 {
		t.Errorf("its last words are %q", f.Panic)
	}
}

func TestGivenUpAndMended(t *testing.T) {
	th := newTestHost(t, nil)
	th.timing.firstPause = time.Millisecond
	th.install(t, "auth", "exit")
	th.mustStart(t)
	s := th.until(t, "auth", "is given up", func(s Status) bool { return s.State == Failed })
	if len(s.Failures) != 5 || s.Restarts != 4 {
		t.Errorf("status is %+v", s)
	}
	writeManifest(t, filepath.Join(th.dir, "auth"), chaosManifest("chaos", "run"))
	th.until(t, "auth", "is ready", func(s Status) bool { return s.State == Ready })
}

// A file that the configuration names counts as the plugin's.
func TestMendedConfigFile(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users.yaml")
	config, _ := json.Marshal(map[string]any{"auth": map[string]any{"files": []string{users}}})
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", Config: config, Required: new(bool), MaxFailures: 1}}
	})
	th.install(t, "auth", "unknown-key")
	th.mustStart(t)
	th.until(t, "auth", "is given up", func(s Status) bool { return s.State == Failed && len(s.Failures) == 1 })
	must(t, os.WriteFile(users, nil, 0o600))
	th.until(t, "auth", "is tried again", func(s Status) bool { return len(s.Failures) == 2 })
}

// A required plugin that crashes once while the host starts does not stop it.
func TestRequiredPluginThatCrashesOnce(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "auth"}} })
	th.install(t, "auth", "exit-once="+mark)
	th.mustStart(t)
	if s := th.status(t, "auth"); s.State != Ready || s.Restarts != 1 {
		t.Errorf("status is %+v", s)
	}
}

func TestDegraded(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "degraded")
	th.mustStart(t)
	s := th.until(t, "auth", "is degraded", func(s Status) bool { return s.State == Degraded })
	if s.Health != "users file is old" {
		t.Errorf("health is %q", s.Health)
	}
}

// Ten plugins start side by side, in order, and a disabled one does not.
func TestManyPlugins(t *testing.T) {
	off := false
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "p5", Order: -1}, {Name: "p3", Order: 7}, {Name: "p4", Enabled: &off}}
	})
	names := []string{"p1", "p2", "p3", "p4", "p5", "p6"}
	for _, name := range names {
		th.install(t, name, "delay=300ms")
	}
	b := th.mustStart(t)
	var got []string
	for _, v := range b.Validators {
		got = append(got, v.Name)
	}
	if want := []string{"p5", "p1", "p2", "p6", "p3"}; !slices.Equal(got, want) {
		t.Errorf("validators are %q", got)
	}
	if s := th.status(t, "p4"); s.State != Stopped || !strings.Contains(s.Health, "disabled") {
		t.Errorf("p4 is %+v", s)
	}
	if n := len(th.Plugins()); n != len(names) {
		t.Errorf("%d plugins have a status", n)
	}
	if _, ok := th.Plugin("p9"); ok {
		t.Error("a plugin that does not exist has a status")
	}
}

func TestMissingPlugin(t *testing.T) {
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "auth"}} })
	_, err := th.Start(context.Background())
	if err == nil || !strings.Contains(err.Error(), "plugin auth: it is configured, but the plugin directory") {
		t.Errorf("error is %v", err)
	}
}

// A bare executable describes itself, in an empty environment.
func TestBareExecutable(t *testing.T) {
	th := newTestHost(t, nil)
	linkSelf(t, filepath.Join(th.dir, "chaos"))
	th.mustStart(t)
	if s := th.status(t, "chaos"); s.State != Ready || s.Version != "1.0.0" {
		t.Errorf("status is %+v", s)
	}
}

func TestBareExecutableThatIsNoPlugin(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"hangs", "#!/bin/sh\nsleep 1000\n", "did not end within 200ms"},
		{"fails", "#!/bin/sh\necho what? >&2\nexit 3\n", `exit status 3, saying "what?"`},
		{"prints something", "#!/bin/sh\necho hello\n", "is not acceptable: manifest"},
		{"sees the environment", "#!/bin/sh\nprintf '%s' \"$SECRET_OF_THE_BROKER$HOME\" >&2; exit 1\n", "exit status 1; run"},
		{"prints without end", "#!/bin/sh\nwhile echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; do :; done\n", "did not end within"},
	}
	t.Setenv("SECRET_OF_THE_BROKER", "hunter2")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			th := newTestHost(t, nil)
			if strings.Contains(tt.want, "did not end") {
				th.timing.describe = 200 * time.Millisecond
			}
			must(t, os.WriteFile(filepath.Join(th.dir, "thing"), []byte(tt.script), 0o700))
			_, err := th.Start(context.Background())
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "plugin thing: ") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestConfiguredPath(t *testing.T) {
	folder := t.TempDir()
	linkSelf(t, filepath.Join(folder, "chaos"))
	th := newTestHost(t, func(o *Options) {
		o.PluginDir = ""
		o.Plugins = []Config{{Name: "a", Path: filepath.Join(folder, "chaos")}, {Name: "b", Path: filepath.Join(folder, "chaos")}}
	})
	th.mustStart(t)
	if a, b := th.status(t, "a"), th.status(t, "b"); a.PID == b.PID || a.Path != b.Path {
		t.Errorf("instances are %+v and %+v", a, b)
	}
}

// A script with its interpreter, from the plugin's folder.
func TestInterpreter(t *testing.T) {
	th := newTestHost(t, nil)
	folder := filepath.Join(th.dir, "auth")
	must(t, os.Mkdir(folder, 0o700))
	linkSelf(t, filepath.Join(folder, "chaos"))
	must(t, os.WriteFile(filepath.Join(folder, "main.sh"), []byte("exec \"$(dirname \"$0\")/chaos\" \"$@\"\n"), 0o600))
	m := chaosManifest("chaos")
	m.Exec = map[string][]string{"*": {"sh", "main.sh", "run"}}
	writeManifest(t, folder, m)
	th.mustStart(t)
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
}

// OnChange is told when the services of a plugin that did not come are known,
// and not for every restart. Until then the plugin may be a validator, so that
// nobody is let in behind its back.
func TestOnChange(t *testing.T) {
	changes := make(chan Bindings, 16)
	th := newTestHost(t, func(o *Options) {
		o.OnChange = func(b Bindings) { changes <- b }
		o.Plugins = []Config{{Name: "auth", Required: new(bool)}}
	})
	th.install(t, "auth")
	folder := filepath.Join(th.dir, "auth")
	must(t, os.WriteFile(filepath.Join(folder, manifestFile), []byte("{}"), 0o600))
	if b := th.mustStart(t); len(b.Validators) != 1 || len(b.Interceptors) != 0 {
		t.Fatalf("bindings are %+v", b)
	}
	m := chaosManifest("chaos", "run")
	m.Services = hookServices[3:]
	writeManifest(t, folder, m)
	select {
	case b := <-changes:
		if len(b.Validators) != 0 || b.StoreName != "auth" {
			t.Errorf("bindings are %+v", b)
		}
	case <-time.After(patience):
		t.Fatal("nothing is told")
	}
}

// A restart changes nothing of what is served.
func TestOnChangeNotForRestarts(t *testing.T) {
	changes := make(chan Bindings, 16)
	th := newTestHost(t, func(o *Options) { o.OnChange = func(b Bindings) { changes <- b } })
	th.install(t, "auth")
	th.mustStart(t)
	s := th.until(t, "auth", "is ready", func(s Status) bool { return s.State == Ready })
	must(t, syscall.Kill(s.PID, syscall.SIGKILL))
	th.until(t, "auth", "is ready again", func(s Status) bool { return s.State == Ready && s.PID != 0 && len(s.Failures) == 1 })
	must(t, th.Stop(context.Background()))
	close(changes)
	for b := range changes {
		t.Errorf("told: %+v", b)
	}
}

func TestTwoStores(t *testing.T) {
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "b", Required: new(bool)}} })
	for _, name := range []string{"a", "b"} {
		th.install(t, name)
		m := chaosManifest("chaos", "run")
		m.Services = hookServices[3:]
		writeManifest(t, filepath.Join(th.dir, name), m)
	}
	// The program does not serve it, so that both fail; what counts is who has
	// the place.
	if b := th.mustStart(t); b.StoreName != "b" || b.Store == nil {
		t.Errorf("store is %q", b.StoreName)
	}

	chosen := newTestHost(t, func(o *Options) {
		o.PluginDir, o.Store = th.dir, "a"
		o.Plugins = []Config{{Name: "b"}, {Name: "a", Required: new(bool)}}
	})
	// The other one is not required, though it is configured.
	if b := chosen.mustStart(t); b.StoreName != "a" {
		t.Errorf("store is %q", b.StoreName)
	}
	if _, err := chosen.Store("b"); !errors.Is(err, hook.ErrUnavailable) {
		t.Errorf("a store that does not run: %v", err)
	}
	if _, err := chosen.Store("c"); err == nil || !strings.Contains(err.Error(), "there is no plugin c") {
		t.Errorf("a store that does not exist: %v", err)
	}
	must(t, chosen.ChooseStore("b"))
	if s := chosen.store.Load(); s == nil || s.slot.name != "b" {
		t.Error("the other store was not chosen")
	}

	less := newTestHost(t, func(o *Options) {
		o.PluginDir, o.Plugins = th.dir, []Config{{Name: "b", Enabled: new(bool)}}
	})
	less.mustStart(t)
	if _, err := less.Store("b"); err == nil || !strings.Contains(err.Error(), "plugin b is disabled") {
		t.Errorf("a store that is disabled: %v", err)
	}

	both := newTestHost(t, func(o *Options) { o.PluginDir = th.dir })
	if _, err := both.Start(context.Background()); err == nil || !strings.Contains(err.Error(), "plugins a, b are all stores") {
		t.Errorf("error is %v", err)
	}
}

// Start can be given up; nothing is left then.
func TestStartIsBounded(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "hang-init")
	th.install(t, "good")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := th.Start(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "plugin auth did not start in time") {
		t.Errorf("error is %v", err)
	}
	for _, s := range th.Plugins() {
		if s.State != Stopped || s.PID != 0 {
			t.Errorf("status is %+v", s)
		}
	}
}

// A plugin that somebody else runs is used, found again after its restart, and
// not ended with the broker.
func TestAttach(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	first := serveAttached(t, dir)
	configured := "unix://" + first.socket
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "conf", Attach: configured}} })
	folder := filepath.Join(th.dir, "file")
	must(t, os.Mkdir(folder, 0o700))
	text, _ := json.Marshal(pluginapi.Attach{Schema: 1, Address: configured, PID: first.cmd.Process.Pid})
	must(t, os.WriteFile(filepath.Join(folder, attachFile), text, 0o600))
	b := th.mustStart(t)
	if len(b.Validators) != 2 {
		t.Fatalf("bindings are %+v", b)
	}
	if s := th.status(t, "conf"); s.State != Ready || s.PID != 0 || s.Socket != first.socket {
		t.Errorf("status is %+v", s)
	}

	first.kill()
	for _, name := range []string{"conf", "file"} {
		th.until(t, name, "is looked for in vain", func(s Status) bool { return len(s.Failures) > 1 && s.Failures[1].Kind == KindLost })
	}
	second := serveAttached(t, dir)
	must(t, os.Rename(second.socket, first.socket))
	for _, name := range []string{"conf", "file"} {
		th.until(t, name, "is back", func(s Status) bool { return s.State == Ready && len(s.Failures) > 0 })
	}
	must(t, th.Stop(context.Background()))
	if !alive(second.cmd.Process.Pid) || !answers(first.socket) {
		t.Error("the attached plugin ended with the host")
	}
}

// attachedPlugin is a plugin that the test runs itself.
type attachedPlugin struct {
	cmd    *exec.Cmd
	socket string
	kill   func()
}

func serveAttached(t *testing.T, dir string) attachedPlugin {
	t.Helper()
	program := filepath.Join(t.TempDir(), "chaos")
	linkSelf(t, program)
	cmd := exec.Command(program, "run")
	cmd.Env = []string{
		pluginapi.Handshake.MagicCookieKey + "=" + pluginapi.Handshake.MagicCookieValue,
		"PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + dir,
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	kill := sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	h := newHandshake(&lineWriter{emit: func([]byte, int) {}})
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	if err != nil || !h.accept([]byte(strings.TrimSpace(string(buf[:n])))) {
		t.Fatalf("it says %q: %v", buf[:n], err)
	}
	return attachedPlugin{cmd: cmd, socket: h.hello.address, kill: kill}
}

// An attach.json that a crashed plugin left does not keep the real one away.
func TestStaleAttachFile(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	socket := filepath.Join(t.TempDir(), "x.sock")
	text, _ := json.Marshal(pluginapi.Attach{Schema: 1, Address: "unix://" + socket})
	must(t, os.WriteFile(filepath.Join(th.dir, "auth", attachFile), text, 0o600))
	th.mustStart(t)
	if s := th.status(t, "auth"); s.State != Ready || s.PID == 0 {
		t.Errorf("status is %+v", s)
	}
}

// A socket on which nothing speaks gRPC holds nobody up for ever.
func TestAttachToSomethingElse(t *testing.T) {
	dir, err := os.MkdirTemp("", "gh") //nolint:usetesting // a socket's path must be short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "x.sock"))
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", Attach: "unix://" + filepath.Join(dir, "x.sock"), StartTimeout: 300 * time.Millisecond}}
	})
	_, err = th.Start(context.Background())
	if err == nil || !strings.Contains(err.Error(), "did not finish Init within 300ms") {
		t.Errorf("error is %v", err)
	}
}

// A call that the plugin has when the host stops is answered.
func TestStopLetsCallsEnd(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	b := th.mustStart(t)
	mark := filepath.Join(t.TempDir(), "has-it")
	answer := make(chan error, 1)
	go func() {
		d, err := b.Validators[0].Validator.Validate(context.Background(),
			&hook.Connect{ClientID: mark, Username: "slow", HasUsername: true})
		if err == nil && d.Verdict != hook.Allow {
			err = errors.New("it was not allowed")
		}
		answer <- err
	}()
	pollUntil(t, "the call to arrive", func() bool { return exists(mark) })
	must(t, th.Stop(context.Background()))
	if err := <-answer; err != nil {
		t.Error(err)
	}
	_, err := b.Validators[0].Validator.Validate(context.Background(), &hook.Connect{ClientID: "c"})
	if !errors.Is(err, hook.ErrUnavailable) {
		t.Errorf("after the stop: %v", err)
	}
}
