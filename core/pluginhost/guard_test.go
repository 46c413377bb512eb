//go:build unix

package pluginhost

import (
	"log/slog"
	"os/exec"
	"syscall"
	"testing"
)

// sleeper starts a process that leads a group of its own.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// The guard ends what it still has when its input ends, as it does when the
// broker is killed, and nothing else.
func TestGuard(t *testing.T) {
	g := startGuard(slog.New(slog.DiscardHandler))
	kept, released, added := sleeper(t), sleeper(t), sleeper(t)
	g.protect(kept.Process.Pid)
	g.protect(released.Process.Pid)
	g.release(released.Process.Pid)

	// It may itself be killed: another takes over with the next change.
	must(t, g.cmd.Process.Kill())
	first := g.cmd.Process.Pid
	pollUntil(t, "another guard", func() bool {
		g.protect(added.Process.Pid)
		return g.cmd.Process.Pid != first
	})
	g.close()
	pollUntil(t, "the end of what it had", func() bool { return !alive(kept.Process.Pid) && !alive(added.Process.Pid) })
	if !alive(released.Process.Pid) {
		t.Error("it ended what it was to release")
	}
}

func TestNoGuard(t *testing.T) {
	var g *guard
	g.protect(1)
	g.release(1)
	g.close()
}
