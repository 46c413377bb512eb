package pluginhost

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// checkPeer refuses a socket at whose other end is another user: the private
// directory keeps others out, and this holds for attached plugins too, whose
// socket may be anywhere.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		peer, optErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if optErr != nil {
		return os.NewSyscallError("getsockopt SO_PEERCRED", optErr)
	}
	return allowPeer(int(peer.Uid))
}

// allowPeer accepts plugins of the broker's own user and of root.
func allowPeer(uid int) error {
	if uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("user %d is at its other end, not the broker's own", uid)
	}
	return nil
}
