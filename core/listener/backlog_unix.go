//go:build unix

package listener

import (
	"errors"
	"net"
	"syscall"
)

// setBacklog calls listen(2) once more, which changes the length of the queue of
// a socket that listens already.
func setBacklog(l net.Listener, n int) error {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return errors.New("this kind of socket has none")
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var lerr error
	if err := rc.Control(func(fd uintptr) { lerr = syscall.Listen(int(fd), n) }); err != nil {
		return err
	}
	return lerr
}
