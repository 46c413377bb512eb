package pluginapi

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestThrottle: a thousand failures are one line, and the next line tells how
// many there were.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		th := newThrottle(slog.New(slog.NewTextHandler(&b, nil)), time.Second)
		for range 1000 {
			th.warn("one", slog.Int("n", 1))
		}
		th.warn("two")
		time.Sleep(time.Second)
		th.warn("one")
		th.warn("one")
		lines := strings.Split(strings.TrimSpace(b.String()), "\n")
		if len(lines) != 3 || !strings.Contains(lines[0], "msg=one n=1") || !strings.Contains(lines[1], "msg=two") || !strings.Contains(lines[2], "msg=one more=999") {
			t.Errorf("log:\n%s", b.String())
		}
	})
}

func TestWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w work
		if err := w.wait(t.Context()); err != nil {
			t.Errorf("nothing to wait for: %v", err)
		}
		if !w.begin(2) {
			t.Fatal("no call may begin")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.wait(ctx); err == nil {
			t.Error("wait does not wait")
		}
		var waiters sync.WaitGroup
		for range 2 {
			waiters.Go(func() {
				if err := w.wait(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		w.done(1)
		w.close()
		if w.begin(1) {
			t.Error("a call begins after close")
		}
		synctest.Wait()
		w.done(1)
		waiters.Wait()
	})
}

func TestLogLines(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("x", 40<<10)
	logLines(strings.NewReader("one\r\n\n\ntwo\n"+long+"\nlast without an end"), slog.New(slog.NewTextHandler(&b, nil)))
	text := b.String()
	for _, want := range []string{"msg=one stream=stdout", "msg=two", "msg=\"last without an end\""} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the log", want)
		}
	}
	if n := strings.Count(text, "\n"); n != 6 {
		t.Errorf("%d lines, want 6: the long one is three", n)
	}
}

func TestWriteAttachReplacesWhatADeadPluginLeft(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		path, err := writeAttach(dir, Attach{Schema: 1, Name: "p", Address: "unix:///nowhere", PID: 1})
		if err != nil {
			t.Fatal(err)
		}
		if a, ok := attached(path); ok {
			t.Errorf("somebody answers at %+v", a)
		}
	}
}

func TestWriteAttachBesideAProgram(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := writeAttach(dir, Attach{Name: "p"}); err == nil || !strings.Contains(err.Error(), "is a program: move it") {
		t.Errorf("error %v", err)
	}
}

func TestTarget(t *testing.T) {
	for socket, want := range map[string]string{"/tmp/x.sock": "unix:///tmp/x.sock", "C:/x.sock": "unix:///C:/x.sock"} {
		if got := target(socket); got != want {
			t.Errorf("target of %s is %s, want %s", socket, got, want)
		}
	}
}
