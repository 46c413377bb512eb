//go:build darwin || freebsd

package main

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// peerOf names the user at the other end of a Unix socket; "" if the system does
// not tell.
func peerOf(nc net.Conn) string {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return ""
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return ""
	}
	var peer *unix.Xucred
	var perr error
	if err := raw.Control(func(fd uintptr) {
		peer, perr = unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	}); err != nil || perr != nil {
		return ""
	}
	return fmt.Sprintf("uid=%d", peer.Uid)
}
