//go:build unix

package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// patience bounds every wait of these tests. The machine may be busy.
const patience = 30 * time.Second

// testHost is a host with its directories and its log.
type testHost struct {
	*Host
	dir string // the plugin directory
	log *logBuffer
}

// quickTiming is the default timing with shorter intervals, not shorter limits.
func quickTiming() timing {
	t := defaultTiming
	t.describe = patience
	t.healthEvery = 50 * time.Millisecond
	t.poll = 10 * time.Millisecond
	t.watch = 20 * time.Millisecond
	t.probation = 0 // replaced instances go at once
	return t
}

// newTestHost makes a host that is not started; edit may be nil.
func newTestHost(t *testing.T, edit func(*Options)) *testHost {
	t.Helper()
	root := t.TempDir()
	th := &testHost{dir: filepath.Join(root, "plugins"), log: new(logBuffer)}
	if err := os.Mkdir(th.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	o := Options{
		PluginDir: th.dir, RunDir: filepath.Join(root, "run"), DataDir: filepath.Join(root, "data"), Version: "9.9.9",
		Logger: slog.New(slog.NewJSONHandler(th.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if edit != nil {
		edit(&o)
	}
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.timing = quickTiming()
	th.Host = h
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		th.checkNobodyLeft(t)
		if t.Failed() {
			text := th.log.String()
			t.Logf("end of log:\n%s", text[max(0, len(text)-20<<10):])
		}
	})
	return th
}

// checkNobodyLeft: no program of the plugin directory runs any more.
func (th *testHost) checkNobodyLeft(t *testing.T) {
	t.Helper()
	var left []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // none where there is no /proc
	for _, file := range files {
		text, _ := os.ReadFile(file)
		if strings.Contains(string(text), th.dir+"/") {
			left = append(left, strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	if len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
}

// install puts a chaos plugin into a folder of the plugin directory.
func (th *testHost) install(t *testing.T, name string, modes ...string) {
	t.Helper()
	folder := filepath.Join(th.dir, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	linkSelf(t, filepath.Join(folder, "chaos"))
	writeManifest(t, folder, chaosManifest("chaos", append([]string{"run"}, modes...)...))
}

// rewrite gives an installed chaos plugin other modes, in one step.
func (th *testHost) rewrite(t *testing.T, name string, modes ...string) {
	t.Helper()
	aside := t.TempDir()
	writeManifest(t, aside, chaosManifest("chaos", append([]string{"run"}, modes...)...))
	must(t, os.Rename(filepath.Join(aside, manifestFile), filepath.Join(th.dir, name, manifestFile)))
}

func writeManifest(t *testing.T, folder string, m *pluginapi.Manifest) {
	t.Helper()
	must(t, storeManifest(folder, m))
}

func storeManifest(folder string, m *pluginapi.Manifest) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, manifestFile), text, 0o600)
}

// linkSelf makes the test binary available under another name.
func linkSelf(t *testing.T, path string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if os.Link(self, path) == nil {
		return
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); errors.Join(err, out.Close()) != nil {
		t.Fatal(err)
	}
}

// mustStart starts the host.
func (th *testHost) mustStart(t *testing.T) Bindings {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := th.Start(ctx)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return b
}

// status reads a plugin's status.
func (th *testHost) status(t *testing.T, name string) Status {
	t.Helper()
	s, ok := th.Plugin(name)
	if !ok {
		t.Fatalf("there is no plugin %s", name)
	}
	return s
}

// until waits for a plugin's status to satisfy a condition.
func (th *testHost) until(t *testing.T, name, what string, cond func(Status) bool) Status {
	t.Helper()
	var s Status
	pollUntil(t, name+" "+what, func() bool {
		s = th.status(t, name)
		return cond(s)
	})
	return s
}

// pollUntil polls, since what it waits for happens in another process.
func pollUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// report reads what a chaos plugin found.
func (th *testHost) report(t *testing.T, name string) chaosReport {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(th.options.DataDir, "plugins", name, "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r chaosReport
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// logBuffer collects a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// has reports whether some line contains all the parts.
func (b *logBuffer) has(parts ...string) bool {
	for line := range strings.Lines(b.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return true
		}
	}
	return false
}
