package pluginhost

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes has the kernel kill the child when the broker dies, however it
// dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit waits until p has exited and leaves it a zombie: as long as it is
// one, no other process can get the identifier of its group.
func awaitExit(p *os.Process) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, p.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
