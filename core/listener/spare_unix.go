//go:build unix

package listener

import (
	"errors"
	"net"
	"syscall"
)

// outOfDescriptors reports whether accepting failed for want of a descriptor, of
// the process or of the whole system.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// turnAway accepts one connection that waits and closes it; false if there is
// none, or no descriptor for it. It does not wait: Go's sockets do not block.
func turnAway(l net.Listener) bool {
	sc, ok := l.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	var aerr error
	err = rc.Control(func(fd uintptr) {
		var nfd int
		if nfd, _, aerr = syscall.Accept(int(fd)); aerr == nil {
			aerr = syscall.Close(nfd)
		}
	})
	return err == nil && aerr == nil
}
