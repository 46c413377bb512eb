//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// A plugin that does not get ready gives one clear error: its name, what went
// wrong, what to do.
func TestStartFailures(t *testing.T) {
	tests := []struct {
		name  string
		modes []string
		limit time.Duration // start timeout; 0: the default
		kind  FailureKind
		state State    // of the plugin where it is not required
		wants []string // LIMIT is the start timeout
	}{
		{
			"hangs in Init",
			[]string{"hang-init"},
			2 * time.Second, KindHung, Backoff,
			[]string{"did not finish Init within LIMIT", "start_timeout"},
		},
		{
			"gives up Init just before its time is up",
			[]string{"late-init"},
			2 * time.Second, KindHung, Backoff,
			[]string{"did not finish Init within LIMIT", "start_timeout"},
		},
		{
			"exits at once",
			[]string{"exit"},
			0, KindExited, Backoff,
			[]string{"exited with status 3 before its handshake", `"cannot open the database"`, `run "chaos run exit describe"`},
		},
		{
			"prints garbage",
			[]string{"garbage"},
			2 * time.Second, KindGarbled, Backoff,
			[]string{"did not print its handshake within LIMIT", `"Welcome to Acme(tm) Rules!"`, `run "chaos run garbage describe"`},
		},
		{
			"prints garbage and exits",
			[]string{"garbage-exit"},
			0, KindExited, Backoff,
			[]string{"exited with status 0 before its handshake", `"usage: acme [OPTION]..."`},
		},
		{
			"says nothing",
			[]string{"silent"},
			300 * time.Millisecond, KindHung, Backoff,
			[]string{"did not print its handshake within LIMIT"},
		},
		{
			"closes its output",
			[]string{"mute"},
			0, KindGarbled, Backoff,
			[]string{"closed its standard output without a handshake"},
		},
		{
			"dies after the handshake",
			[]string{"hello-and-die"},
			0, KindExited, Backoff,
			[]string{"exited with status 4 during Init"},
		},
		{
			"dies during Init",
			[]string{"die-in-init"},
			0, KindExited, Backoff,
			[]string{"exited with status 2 during Init", "panic: boom in Init"},
		},
		{
			"another protocol version",
			[]string{"version-7"},
			0, KindIncompatible, Failed,
			[]string{"plugin protocol version 7, and this broker speaks 1", "install a version"},
		},
		{
			"another protocol",
			[]string{"netrpc"},
			0, KindIncompatible, Failed,
			[]string{`"netrpc" instead of gRPC`},
		},
		{
			"a socket elsewhere",
			[]string{"elsewhere"},
			0, KindIncompatible, Failed,
			[]string{"its socket is", "PLUGIN_UNIX_SOCKET_DIR"},
		},
		{
			"unknown key",
			[]string{"unknown-key"},
			0, KindMisconfigured, Backoff,
			[]string{"refused its configuration", `/colour: unknown key "colour"; the known keys are: path, mode`, "change config of bad"},
		},
		{
			"missing service",
			[]string{"no-service"},
			0, KindIncomplete, Failed,
			[]string{"declares gatehouse.plugin.v1.ConnectionValidatorService, but it does not serve that"},
		},
		{
			"no plugin of ours",
			[]string{"foreign"},
			0, KindIncomplete, Failed,
			[]string{"has no gatehouse.plugin.v1.PluginService"},
		},
		{
			"interest that makes no sense",
			[]string{"nonsense"},
			0, KindIncomplete, Failed,
			[]string{"its answer to Init makes no sense", "a/#/b"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			t.Run("required", func(t *testing.T) { t.Parallel(); checkRequired(t, tt.modes, tt.limit, tt.kind, tt.wants) })
			t.Run("optional", func(t *testing.T) { t.Parallel(); checkOptional(t, tt.modes, tt.limit, tt.state) })
		})
	}
}

// checkRequired: Start fails with the failure and nothing is left. What hangs
// has to come to that within its limit, and gets more time on a machine on
// which it does not.
func checkRequired(t *testing.T, modes []string, limit time.Duration, kind FailureKind, wants []string) {
	t.Helper()
	var th *testHost
	var err error
	for {
		th = newTestHost(t, func(o *Options) {
			o.Plugins = []Config{{Name: "bad", StartTimeout: limit}}
		})
		th.install(t, "bad", modes...)
		if _, err = th.Start(context.Background()); err == nil {
			t.Fatal("the host started")
		}
		t.Log(err)
		if limit == 0 || limit > patience || strings.Contains(err.Error(), strings.ReplaceAll(wants[0], "LIMIT", limit.String())) {
			break
		}
		limit *= 2
	}
	var f *Failure
	if !errors.As(err, &f) || f.Kind != kind || f.Plugin != "bad" {
		t.Errorf("kind %v of plugin %q, want %v of bad", f.Kind, f.Plugin, kind)
	}
	text := err.Error()
	if !strings.HasSuffix(text, "plugin bad: "+f.Story()) {
		t.Errorf("the error is %q, and its story %q", text, f.Story())
	}
	if !strings.HasPrefix(text, "plugin bad: ") || strings.ContainsRune(text, '\n') {
		t.Error("the error is not one line that begins with the plugin's name")
	}
	for _, want := range wants {
		if want = strings.ReplaceAll(want, "LIMIT", limit.String()); !strings.Contains(text, want) {
			t.Errorf("the error does not contain %s", want)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(th.options.RunDir, socketsName)); len(left) > 0 {
		t.Errorf("%d run directories are left", len(left))
	}
}

// checkOptional: the host starts, and the plugin's policy holds.
func checkOptional(t *testing.T, modes []string, limit time.Duration, state State) {
	t.Helper()
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "bad", StartTimeout: limit, Required: new(bool)}}
	})
	th.timing.firstPause = time.Hour // it stays in Backoff
	th.install(t, "bad", modes...)
	b := th.mustStart(t)
	if s := th.status(t, "bad"); s.State != state || len(s.Failures) != 1 || s.Health == "" || s.PID != 0 {
		t.Errorf("status is %+v", s)
	}
	if len(b.Validators) != 1 {
		t.Fatal("the validator has lost its place")
	}
	_, err := b.Validators[0].Validator.Validate(context.Background(), &hook.Connect{ClientID: "c"})
	if !errors.Is(err, hook.ErrUnavailable) {
		t.Errorf("a call gives %v", err)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(th *testHost, folder string) error
		wants []string
	}{
		{"world-writable program", func(_ *testHost, folder string) error {
			return errors.Join(
				os.Remove(filepath.Join(folder, "chaos")),
				os.WriteFile(filepath.Join(folder, "chaos"), []byte("x"), 0o700),
				os.Chmod(filepath.Join(folder, "chaos"), 0o777),
			)
		}, []string{"everybody can write to", "chmod o-w"}},
		{"world-writable manifest", func(_ *testHost, folder string) error {
			return os.Chmod(filepath.Join(folder, manifestFile), 0o666)
		}, []string{"everybody can write to", manifestFile}},
		{"world-writable folder", func(_ *testHost, folder string) error {
			return os.Chmod(folder, 0o777)
		}, []string{"everybody can write to", "/bad"}},
		{"link out of the folder", func(_ *testHost, folder string) error {
			return errors.Join(
				os.Remove(filepath.Join(folder, "chaos")),
				os.Symlink("/bin/sh", filepath.Join(folder, "chaos")),
			)
		}, []string{"is a link to", "copy the file"}},
		{"not executable", func(_ *testHost, folder string) error {
			return errors.Join(
				os.Remove(filepath.Join(folder, "chaos")),
				os.WriteFile(filepath.Join(folder, "chaos"), []byte("x"), 0o600),
			)
		}, []string{"not executable", "chmod +x"}},
		{"exec format", func(_ *testHost, folder string) error {
			return errors.Join(
				os.Remove(filepath.Join(folder, "chaos")),
				os.WriteFile(filepath.Join(folder, "chaos"), []byte("\x7fELF rubbish"), 0o700),
			)
		}, []string{"exec format error", "install a build for this system"}},
		{"interpreter missing", func(_ *testHost, folder string) error {
			return errors.Join(
				os.Remove(filepath.Join(folder, "chaos")),
				os.WriteFile(filepath.Join(folder, "chaos"), []byte("#!/no/such/interpreter\n"), 0o700),
			)
		}, []string{"the interpreter of its first line", "install what it needs"}},
		{"program missing", func(_ *testHost, folder string) error {
			return os.Remove(filepath.Join(folder, "chaos"))
		}, []string{"no such file"}},
		{"manifest is not JSON", func(_ *testHost, folder string) error {
			return os.WriteFile(filepath.Join(folder, manifestFile), []byte("hello"), 0o600)
		}, []string{"plugin.json: manifest", "invalid character"}},
		{"another API", func(_ *testHost, folder string) error {
			m := chaosManifest("chaos", "run")
			m.API = []string{"gatehouse.plugin.v9"}
			return storeManifest(folder, m)
		}, []string{"speaks gatehouse.plugin.v9, and this broker speaks gatehouse.plugin.v1"}},
		{"another system", func(_ *testHost, folder string) error {
			m := chaosManifest("chaos")
			m.Exec = map[string][]string{"plan9/mips": {"./chaos"}}
			return storeManifest(folder, m)
		}, []string{"names no program for"}},
		{"wrong hash", func(th *testHost, _ string) error {
			th.options.Plugins[0].SHA256 = strings.Repeat("ab", 32)
			return nil
		}, []string{"has the SHA-256", "demands abab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "bad"}} })
			th.install(t, "bad")
			must(t, tt.spoil(th, filepath.Join(th.dir, "bad")))
			_, err := th.Start(context.Background())
			if err == nil {
				t.Fatal("the host started")
			}
			t.Log(err)
			for _, want := range append(tt.wants, "plugin bad: ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not contain %q", want)
				}
			}
			if s := th.status(t, "bad"); len(s.Failures) != 1 || !s.Failures[0].Kind.lasting() {
				t.Errorf("status is %+v", s)
			}
		})
	}
}

// What a manifest that can be trusted declares holds although the program can't
// be run: a validator is not out of the chain for a wrong mode bit.
func TestRefusedPluginKeepsItsPlace(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	program := filepath.Join(th.dir, "auth", "chaos")
	must(t, os.Remove(program))
	must(t, os.WriteFile(program, []byte("x"), 0o600))
	b := th.mustStart(t)
	if len(b.Validators) != 1 {
		t.Fatalf("bindings are %+v", b)
	}
	if s := th.status(t, "auth"); s.State != Failed || s.Required {
		t.Errorf("status is %+v", s)
	}
}

// A plugin of which not even that is known could be a validator: the host does
// not start without it unless it is told to.
func TestUnreadablePluginStopsTheStart(t *testing.T) {
	for _, told := range []bool{false, true} {
		th := newTestHost(t, func(o *Options) {
			if told {
				o.Plugins = []Config{{Name: "auth", Required: new(bool)}}
			}
		})
		th.install(t, "auth")
		must(t, os.WriteFile(filepath.Join(th.dir, "auth", manifestFile), []byte("hello"), 0o600))
		_, err := th.Start(context.Background())
		if (err == nil) != told {
			t.Errorf("told %v: Start gives %v", told, err)
		}
	}
}

// What the system says of a program is not told of it when it is about something
// else that os/exec needs.
func TestUnstartable(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&fs.PathError{Op: "open", Path: os.DevNull, Err: syscall.ENOENT}, "there is no usable " + os.DevNull},
		{&fs.PathError{Op: "open", Path: os.DevNull, Err: syscall.EACCES}, "there is no usable " + os.DevNull},
		{&fs.PathError{Op: "fork/exec", Path: "/p/x", Err: syscall.ENOENT}, "or its loader, does not exist"},
	} {
		w := &spawned{launcher: &launcher{now: time.Now}, start: &start{verified: &verified{program: "/p/x"}}}
		if f := w.unstartable(tt.err); !strings.Contains(f.What, tt.want) || f.Do == "" || !strings.Contains(f.What, "/p/x") {
			t.Errorf("%v: %s; %s", tt.err, f.What, f.Do)
		}
	}
}
