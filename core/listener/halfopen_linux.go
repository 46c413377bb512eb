package listener

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout ends a connection whose peer has not acknowledged what was sent
// to it for so long: TCP by itself tries for a quarter of an hour.
func setUserTimeout(nc syscall.Conn, timeout time.Duration) {
	if rc, err := nc.SyscallConn(); err == nil {
		_ = rc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(timeout/time.Millisecond))
		})
	}
}
