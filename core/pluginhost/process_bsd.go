//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package pluginhost

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes has no death signal to offer: the guard and the lifeline end the
// child when the broker dies.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit waits until p has exited and leaves it a zombie: as long as it is
// one, no other process can get the identifier of its group.
func awaitExit(p *os.Process) {
	kq, err := unix.Kqueue()
	if err != nil {
		return // Wait waits; only the identifier's safety is lost
	}
	defer func() { _ = unix.Close(kq) }()
	changes := make([]unix.Kevent_t, 1)
	unix.SetKevent(&changes[0], p.Pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	changes[0].Fflags = unix.NOTE_EXIT
	events := make([]unix.Kevent_t, 1)
	for {
		_, err := unix.Kevent(kq, changes, events, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
