//go:build unix

package pluginhost

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The defects of go-plugin 1.8 that were reproduced for this project, one test
// each that shows that this host does not have it.

// A log line {"@message": 1} ends go-plugin's host with a panic.
func TestHostileLogLinesAreLogged(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "hostile-log")
	th.mustStart(t)
	for _, want := range [][]string{
		{`"msg":"1"`},
		{`"msg":"hi"`},
		{`"msg":"{\"a\":[1,2,3]}"`},
		{`"msg":"an error"`, `"level":"ERROR"`, `"plugin":"auth"`, `"plugin_":"another"`},
		{`"msg":"{"`},
		{`"msg":"[]"`},
		{`xxxx..."`, `"cut_bytes":`},
	} {
		pollUntil(t, strings.Join(want, " "), func() bool { return th.log.has(append(want, `"plugin":"auth"`)...) })
	}
}

// 100 MB on standard error neither stop the plugin nor flood the log.
func TestFloodIsBounded(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "flood")
	th.mustStart(t)
	th.until(t, "auth", "has written all", func(s Status) bool {
		return len(s.Output) > 0 && s.Output[len(s.Output)-1] == "flood is over"
	})
	if s := th.status(t, "auth"); s.State != Ready || s.Restarts != 0 {
		t.Errorf("status is %+v", s)
	}
	if n := len(th.log.String()); n > 8<<20 {
		t.Errorf("the log has %d bytes", n)
	}
	must(t, th.Stop(context.Background()))
	if !th.log.has("output of plugin suppressed", `"plugin":"auth"`) {
		t.Error("nothing says that lines are missing")
	}
}

// What a Go plugin prints to os.Stdout after the handshake stays in a pipe, and
// stops it, unless the host reads go-plugin's stream.
func TestOutputAfterTheHandshake(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "chatter")
	th.mustStart(t)
	th.until(t, "auth", "has said all", func(s Status) bool {
		return len(s.Output) > 0 && s.Output[len(s.Output)-1] == "chatter is over"
	})
	if !th.log.has(`"msg":"line 0000 ---`, `"stream":"stdout"`, `"plugin":"auth"`) {
		t.Error("standard output is not in the log")
	}
}

// A line on standard output before the handshake is taken for the handshake.
func TestNoiseBeforeTheHandshake(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "noise", "delay=50ms")
	th.mustStart(t)
	if !th.log.has("API server listening at", `"plugin":"auth"`, `"stream":"stdout"`) {
		t.Error("the noise is not in the log")
	}
}

// Kill and Ping of a stopped process never return.
func TestStoppedProcess(t *testing.T) {
	th := newTestHost(t, nil)
	th.timing.healthLimit = 100 * time.Millisecond
	th.install(t, "auth")
	th.mustStart(t)
	first := th.status(t, "auth").PID
	must(t, syscall.Kill(first, syscall.SIGSTOP))
	s := th.until(t, "auth", "runs again", func(s Status) bool { return s.State == Ready && s.Restarts == 1 })
	if s.PID == first || alive(first) {
		t.Errorf("process %d is still there", first)
	}
	if f := s.Failures[0]; f.Kind != KindUnhealthy || !strings.Contains(f.What, "missed 3 health checks") {
		t.Errorf("failure is %+v", f)
	}

	// And the end of the host, with a process that does not react.
	must(t, syscall.Kill(s.PID, syscall.SIGSTOP))
	th.timing.healthEvery = time.Hour
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = th.Stop(ctx)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("Stop took %v", took)
	}
	if alive(s.PID) {
		t.Errorf("process %d is still there", s.PID)
	}
}

// A plugin that ignores Stop and SIGTERM is killed.
func TestDeafPluginIsKilled(t *testing.T) {
	th := newTestHost(t, nil)
	th.timing.stop, th.timing.shutdown, th.timing.term = 50*time.Millisecond, time.Millisecond, 50*time.Millisecond
	th.install(t, "auth", "deaf")
	th.mustStart(t)
	pid := th.status(t, "auth").PID
	must(t, th.Stop(context.Background()))
	if alive(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// A plugin without Stop ends by go-plugin's Shutdown (go-plugin#167).
func TestPluginWithoutStop(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "no-stop")
	th.mustStart(t)
	pid := th.status(t, "auth").PID
	must(t, th.Stop(context.Background()))
	if alive(pid) || th.log.has("SIGTERM") || th.log.has("killed") {
		t.Error("it did not end by itself")
	}
}

// go-plugin does not see an exit while a grandchild holds standard error, and
// its Kill waits for the grandchild. Those in the plugin's group end with it;
// even one that left the group holds nobody up.
func TestGrandchildren(t *testing.T) {
	for _, mode := range []string{"grandchild", "escaped-grandchild"} {
		t.Run(mode, func(t *testing.T) {
			th := newTestHost(t, nil)
			th.install(t, "auth", mode)
			th.mustStart(t)
			grandchild := th.grandchild(t, "auth")
			escaped := mode == "escaped-grandchild"
			if escaped {
				defer func() { _ = syscall.Kill(grandchild, syscall.SIGKILL) }()
			}
			pid := th.status(t, "auth").PID
			must(t, syscall.Kill(pid, syscall.SIGKILL))
			killed := time.Now()
			s := th.until(t, "auth", "runs again", func(s Status) bool { return s.State == Ready && s.Restarts >= 1 })
			t.Logf("ready %v after the kill", s.Since.Sub(killed).Round(time.Millisecond))
			if f := s.Failures[0]; f.Kind != KindExited || f.What != "it was ended by signal 9 (killed)" {
				t.Errorf("failure is %+v", f)
			}
			if alive(grandchild) != escaped {
				t.Errorf("grandchild alive: %v", !escaped)
			}
			next := th.grandchild(t, "auth")
			must(t, th.Stop(context.Background()))
			if alive(next) != escaped {
				t.Errorf("second grandchild alive: %v", !escaped)
			}
			if escaped {
				for _, pid := range []int{grandchild, next} {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					pollUntil(t, "the grandchild's end", func() bool { return !alive(pid) })
				}
			}
		})
	}
}

// grandchild reads the identifier of a plugin's child from its output.
func (th *testHost) grandchild(t *testing.T, name string) int {
	t.Helper()
	var pid int
	th.until(t, name, "told of its child", func(s Status) bool {
		for _, line := range s.Output {
			if n, err := fmt.Sscanf(line, "grandchild %d", &pid); n == 1 && err == nil {
				return true
			}
		}
		return false
	})
	return pid
}

// go-plugin's Start after an exit returns the old address and no error; ours
// starts another process. A plugin that was Ready is so again in well under a
// second, and its socket and link are new.
func TestSecondStart(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth")
	th.mustStart(t)
	stable := filepath.Join(th.options.RunDir, "auth.sock")
	before := realPath(t, stable)
	must(t, syscall.Kill(th.status(t, "auth").PID, syscall.SIGKILL))
	killed := time.Now()
	s := th.until(t, "auth", "runs again", func(s Status) bool { return s.State == Ready && s.Restarts == 1 })
	took := s.Since.Sub(killed)
	t.Logf("ready %v after the kill", took.Round(time.Millisecond))
	if took > time.Second && !testing.Short() {
		t.Errorf("it took %v", took)
	}
	if s.Socket != stable {
		t.Errorf("socket is %s", s.Socket)
	}
	if _, err := os.Lstat(filepath.Dir(before)); !os.IsNotExist(err) {
		t.Errorf("the run directory of the killed process is still there: %v", err)
	}
	if after := realPath(t, stable); after == before || !answers(stable) {
		t.Errorf("%s leads to %s", stable, after)
	}
}

func realPath(t *testing.T, path string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !os.IsNotExist(err)
	}
	rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return !strings.HasPrefix(strings.TrimSpace(rest), "Z")
}

// AutoMTLS keeps people with grpcurl out, and costs 31 ms a start. A plugin's
// stable socket speaks plain gRPC, behind a directory that is the broker's
// user's alone; a run directory with a long path is no obstacle.
func TestSocketIsForPeopleToo(t *testing.T) {
	th := newTestHost(t, func(o *Options) { o.RunDir = filepath.Join(o.RunDir, strings.Repeat("long", 25)) })
	th.install(t, "auth")
	th.mustStart(t)
	socket := realPath(t, th.status(t, "auth").Socket)
	conn, err := connect("unix", socket, nil)
	must(t, err)
	defer disconnect(conn, patience)
	if limitation, err := checkHealth(t.Context(), conn); err != nil || limitation != "" {
		t.Errorf("health: %q, %v", limitation, err)
	}
	for _, dir := range []string{filepath.Dir(socket), th.options.RunDir} {
		info, err := os.Stat(dir)
		must(t, err)
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", dir, info.Mode())
		}
	}
}

// go-plugin's SecureConfig does not survive a second start: its hash goes on
// where it was.
func TestPinnedProgramStartsTwice(t *testing.T) {
	self, err := os.Executable()
	must(t, err)
	text, err := os.ReadFile(self)
	must(t, err)
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", SHA256: fmt.Sprintf("%X", sha256.Sum256(text))}}
	})
	th.install(t, "auth")
	th.mustStart(t)
	must(t, syscall.Kill(th.status(t, "auth").PID, syscall.SIGKILL))
	th.until(t, "auth", "runs again", func(s Status) bool { return s.State == Ready && s.Restarts == 1 })
}
