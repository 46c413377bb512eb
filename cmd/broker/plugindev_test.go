//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// transcript is what a command has printed so far.
type transcript struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write takes output.
func (tr *transcript) Write(b []byte) (int, error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.Write(b)
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.text.String()
}

// await waits until something was printed. It is generous: a plugin is built.
func (tr *transcript) await(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(3 * patience); !strings.Contains(tr.String(), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not printed: %q; but\n%s", want, tr.String())
		}
	}
}

// From nothing to a validator of one's own beside a running broker, and the
// mistakes on the way.
func TestPluginDev(t *testing.T) {
	s := newSite(t, "")
	if err := os.MkdirAll(s.path("plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	broker := s.link("bin/broker")
	made, err := exec.Command(broker, "plugin", "new", "my-auth", s.path("my-auth"), "--checkout", filepath.Join("..", "..")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, made)
	}
	edit := func(from, to string) {
		t.Helper()
		text := string(s.read("my-auth/plugin.go"))
		if !strings.Contains(text, from) {
			t.Fatalf("there is no %q in\n%s", from, text)
		}
		s.write("my-auth/plugin.go", strings.Replace(text, from, to, 1))
	}

	out := new(transcript)
	dev := exec.Command(broker, "plugin", "dev", s.path("my-auth"), "--run-dir", s.path("run"))
	dev.Stdout, dev.Stderr = out, out
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- dev.Wait() }()
	t.Cleanup(func() {
		_ = dev.Process.Kill()
		if t.Failed() {
			t.Logf("dev printed\n%s", out)
		}
	})
	out.await(t, "my-auth 0.1.0 is ready (pid ")
	out.await(t, "Ctrl-C ends this")
	refused := func(want string) {
		t.Helper()
		if _, err := p.dial3("lamp", "any", "guess"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a wrong password is answered %v, want %s", err, want)
		}
	}
	refused("bad user name or password")

	edit("pluginapi.BadUserNameOrPassword", "pluginapi.NoSuchCode")
	out.await(t, "./plugin.go:55:37: undefined: pluginapi.NoSuchCode")
	out.await(t, "my-auth: not built, nothing was installed; my-auth 0.1.0 (pid ")
	refused("bad user name or password")

	edit("pluginapi.NoSuchCode", "pluginapi.NotAuthorized")
	edit(`"0.1.0"`, `"0.2.0"`)
	out.await(t, "my-auth 0.2.0 is ready (pid ")
	out.await(t, "; it took over from pid ")
	refused("not Authorized")

	// A version that starts well and then does not know what to do: its first
	// client brings back the one before it, and the author is told.
	edit("pluginapi.NotAuthorized", "pluginapi.ReasonCode(0x8f)")
	edit(`"0.2.0"`, `"0.3.0"`)
	out.await(t, "my-auth 0.3.0 is ready (pid ")
	_, _ = p.dial3("lamp", "any", "guess")
	out.await(t, "my-auth: 0.3.0 was on trial and is rejected: ")
	out.await(t, ") is back\n")
	// Which one that is depends on whether 0.2.0 had the time to prove itself.
	if _, err := p.dial3("lamp", "any", "guess"); err == nil || strings.Contains(strings.ToLower(err.Error()), "unavailable") {
		t.Errorf("a wrong password is answered %v", err)
	}
	edit("pluginapi.ReasonCode(0x8f)", "pluginapi.NotAuthorized")
	edit(`"0.3.0"`, `"0.4.0"`)
	out.await(t, "my-auth 0.4.0 is ready (pid ")

	edit(`Password: "sesame"`, `Password: ""`)
	out.await(t, "my-auth is refused: ")
	out.await(t, "/password: must not be empty: everybody would know it")
	refused("not Authorized")

	if err := dev.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Ctrl-C ends it with %v", err)
		}
	case <-time.After(patience):
		t.Error("Ctrl-C does not end it")
	}
	p.stop()
}

// What the broker says of a plugin, in the words of its author.
func TestJudge(t *testing.T) {
	const ready, backoff = adminv1.PluginState_PLUGIN_STATE_READY, adminv1.PluginState_PLUGIN_STATE_BACKOFF
	old := &adminv1.Plugin{Name: "a", Version: "1.0.0", State: ready, Pid: 7}
	for name, c := range map[string]struct {
		before, now *adminv1.Plugin
		good        bool
		want        string
	}{
		"not seen yet": {nil, nil, false, ""},
		"the first":    {nil, &adminv1.Plugin{Name: "a", Version: "1.0.0", State: ready, Pid: 7}, true, "a 1.0.0 is ready (pid 7)"},
		"being started": {
			old, &adminv1.Plugin{Name: "a", Version: "1.0.0", State: ready, Pid: 7, Replacing: true}, false, "",
		},
		"nothing yet": {old, old, false, ""},
		"replaced": {
			old, &adminv1.Plugin{Name: "a", Version: "2.0.0", State: ready, Pid: 8}, true, "a 2.0.0 is ready (pid 8); it took over from pid 7",
		},
		"refused": {
			old, &adminv1.Plugin{Name: "a", Version: "1.0.0", State: ready, Pid: 7, SwapFailure: "it exited", SwapFailureUnixNanos: 5},
			false, "a is refused: it exited; 1.0.0 (pid 7) goes on",
		},
		"the first fails": {
			nil, &adminv1.Plugin{Name: "a", State: backoff, LastFailure: "it hung", LastFailureUnixNanos: 5}, false, "a is refused: it hung",
		},
		"disabled": {
			&adminv1.Plugin{Name: "a", State: adminv1.PluginState_PLUGIN_STATE_STOPPED}, &adminv1.Plugin{Name: "a", State: adminv1.PluginState_PLUGIN_STATE_STOPPED},
			false, `a is disabled: "broker plugin enable a" starts it`,
		},
	} {
		if good, got := judge(c.before, c.now); good != c.good || got != c.want {
			t.Errorf("%s: %v %q", name, good, got)
		}
	}
}
