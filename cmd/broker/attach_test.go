//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// folder installs a plugin as a folder, as a build does.
func (s *site) folder(name string) (program string) {
	s.t.Helper()
	program = s.link(filepath.Join("plugins", name, name))
	manifest, err := exec.Command(program, "describe").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join("plugins", name, "plugin.json"), string(manifest))
	return program
}

// standalone runs a plugin by itself, as a debugger does.
func (p *proc) standalone(program string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.Command(program, "-standalone", p.path("plugins"))
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// The running broker switches to a plugin that somebody runs under a debugger,
// and back to its own process, which waited, when that stops at a breakpoint for
// ever, crashes, or ends. Clients notice nothing but the wait.
func TestAttachForDebugging(t *testing.T) {
	s := newSite(t, strings.Replace(twoPlugins, "  interceptlog:\n", "  interceptlog:\n    debug_timeout: 1s\n    interceptor: {timeout: 20s, on_error: hold, hold_for: 30s}\n", 1))
	s.alice()
	s.install("authfile")
	program := s.folder("interceptlog")
	p := s.start()
	own := p.plugin("interceptlog").GetPid()
	c := p.connect5("me")
	sub := p.connect5("sub")
	sub.subscribe("stamp/#", 1)
	stamped := func() {
		t.Helper()
		if code, reason := c.publish("stamp/x", 1, false, `{"v": 1}`); code != 0 {
			t.Fatalf("code %#x %s", code, reason)
		}
		expect(t, sub.got, message{"stamp/x", `{"v": 1,"seen_by":"me"}`, 1, false})
	}
	stamped()
	for _, end := range []struct {
		how    string
		signal syscall.Signal
	}{{"stops at a breakpoint", syscall.SIGSTOP}, {"crashes", syscall.SIGKILL}, {"is interrupted", syscall.SIGINT}} {
		debugged := p.standalone(program)
		p.waitPlugin("interceptlog", "attached", func(q *adminv1.Plugin) bool { return q.GetAttached() })
		if list := s.does("plugin", "list"); !strings.Contains(list, ", attached") {
			t.Errorf("plugin list has\n%s", list)
		}
		stamped()
		if err := debugged.Process.Signal(end.signal); err != nil {
			t.Fatal(err)
		}
		if end.signal == syscall.SIGSTOP {
			// A message that is at the breakpoint waits, whatever the deadline, and
			// is decided by the broker's own when the debugger does not let it go.
			go c.publishQuietly("stamp/x", `{"v": 2}`)
		}
		back := p.waitPlugin("interceptlog", "the broker's own after it "+end.how, func(q *adminv1.Plugin) bool {
			return !q.GetAttached() && q.GetState() == adminv1.PluginState_PLUGIN_STATE_READY
		})
		if back.GetPid() != own {
			t.Errorf("after it %s process %d serves, and not %d, which stood by", end.how, back.GetPid(), own)
		}
		if end.signal == syscall.SIGSTOP {
			expect(t, sub.got, message{"stamp/x", `{"v": 2,"seen_by":"me"}`, 1, false})
			_ = debugged.Process.Kill()
		}
		stamped()
	}
	select {
	case <-sub.end:
		t.Error("the subscriber was disconnected")
	default:
	}
	p.waitLog("attached instance of plugin is gone")
}

// "plugin debug" runs the debugger that is in PATH; here one that only runs the
// program, as delve does after "continue".
func TestPluginDebug(t *testing.T) {
	s := newSite(t, "", "presence")
	program := s.folder("interceptlog")
	s.write("tools/dlv", `#!/bin/sh
echo "$@" > "`+s.path("dlv.args")+`"
while [ "$1" != --continue ]; do shift; done
program=$2
shift 3
exec "$program" "$@"
`)
	if err := os.Chmod(s.path("tools/dlv"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	p := s.start()
	t.Setenv("PATH", s.path("nothing"))
	if got := s.refusesTo("plugin", "debug", "interceptlog"); !strings.Contains(got, "go install github.com/go-delve/delve/cmd/dlv@latest") {
		t.Errorf("without a debugger it said %q", got)
	}
	t.Setenv("PATH", s.path("tools")+":/usr/bin:/bin")
	if got := s.refusesTo("plugin", "debug", "presence"); !strings.Contains(got, "plugin presence is no folder with a plugin.json") {
		t.Errorf("of a bare program it said %q", got)
	}
	debug := s.typeIn("", "plugin", "debug", "interceptlog", "--listen", "127.0.0.1:4711")
	p.waitPlugin("interceptlog", "attached", func(q *adminv1.Plugin) bool { return q.GetAttached() })
	var at pluginapi.Attach
	if err := json.Unmarshal(s.read("plugins/interceptlog/"+pluginapi.AttachFile), &at); err != nil {
		t.Fatal(err)
	}
	if got, want := string(s.read("dlv.args")), "exec --headless --listen 127.0.0.1:4711 --accept-multiclient --continue "+program; !strings.Contains(got, want) {
		t.Errorf("the debugger was started with %s and not %s", got, want)
	}
	deadline := time.Now().Add(patience)
	for !strings.Contains(debug.out.String(), "dlv connect 127.0.0.1:4711") {
		if time.Now().After(deadline) {
			t.Fatalf("printed %s%s", &debug.out, &debug.err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := syscall.Kill(at.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	debug.wait()
	p.waitPlugin("interceptlog", "the broker's own", func(q *adminv1.Plugin) bool { return !q.GetAttached() })
}

// What is pinned is not replaced by something that has no files: the broker goes
// on with its own instance, and says why.
func TestPinnedIsNotAttached(t *testing.T) {
	s := newSite(t, "")
	program := s.folder("interceptlog")
	var out words
	lock := []string{"plugin", "lock", "--plugin-dir", s.path("plugins")}
	if run(lock, strings.NewReader(""), &out, &out) != 0 {
		t.Fatal(&out)
	}
	p := s.start()
	own := p.plugin("interceptlog").GetPid()
	debugged := p.standalone(program)
	p.waitPlugin("interceptlog", "refusing", func(q *adminv1.Plugin) bool {
		return strings.Contains(q.GetSwapFailure(), "what somebody runs by hand has no files to compare")
	})
	if q := p.plugin("interceptlog"); q.GetAttached() || q.GetPid() != own || q.GetState() != adminv1.PluginState_PLUGIN_STATE_READY {
		t.Errorf("%v", q)
	}
	if info := s.does("plugin", "info", "interceptlog"); !strings.Contains(info, "not attached to a pinned plugin") {
		t.Errorf("info says\n%s", info)
	}
	if err := debugged.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = debugged.Wait()
	s.write("tools/dlv", "#!/bin/sh\nwhile [ \"$1\" != --continue ]; do shift; done\nprogram=$2\nshift 3\nexec \"$program\" \"$@\"\n")
	if err := os.Chmod(s.path("tools/dlv"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", s.path("tools")+":/usr/bin:/bin")
	if got := s.refusesTo("plugin", "debug", "interceptlog"); !strings.Contains(got, "the broker does not attach the plugin: it is pinned in ") {
		t.Errorf("debug said %s", got)
	}
	if _, err := os.Stat(s.path("plugins/interceptlog/" + pluginapi.AttachFile)); err == nil {
		t.Error("attach.json is left behind")
	}
}
