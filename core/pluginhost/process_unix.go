//go:build unix

package pluginhost

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// lifelineFD is the descriptor under which the child finds its lifeline: the
// read end of a pipe that ends when the broker does.
const lifelineFD = 3

// pluginNetwork is how plugins listen on this system.
const pluginNetwork = "unix"

// detach puts cmd into a process group of its own and gives it the lifeline.
func detach(cmd *exec.Cmd, lifeline *os.File) {
	cmd.SysProcAttr = attributes()
	cmd.ExtraFiles = []*os.File{lifeline}
	cmd.Env = append(cmd.Env, pluginapi.EnvLifeline+"="+strconv.Itoa(lifelineFD))
}

// alone puts cmd, which must have a context, into a process group of its own,
// and ends the whole group when the context does.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// procGroup is a process group by the identifier of its leader.
type procGroup int

func newProcGroup(p *os.Process) (procGroup, error) { return procGroup(p.Pid), nil }

func (g procGroup) terminate() { _ = syscall.Kill(-int(g), syscall.SIGTERM) }
func (g procGroup) kill()      { _ = syscall.Kill(-int(g), syscall.SIGKILL) }
func (g procGroup) dump()      { _ = syscall.Kill(int(g), syscall.SIGQUIT) }
func (g procGroup) close()     {}

func isBusy(err error) bool { return errors.Is(err, syscall.ETXTBSY) }

// exitSignal is the signal that ended a process, 0 if none did.
func exitSignal(s *os.ProcessState) syscall.Signal {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return 0
}
