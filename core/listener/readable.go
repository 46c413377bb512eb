package listener

import (
	"errors"
	"net"
	"syscall"
)

// A Read of one of these connections that a deadline ended has used up all that
// the socket below had given, however little of a TLS record or a frame that is.
// So nothing can be read before the socket is readable again, and whoever waits
// for the client may wait for that, as with a plain connection, without a
// goroutine that is blocked in Read.

// SyscallConn implements syscall.Conn with the socket below.
func (c *tlsConn) SyscallConn() (syscall.RawConn, error) { return socketOf(c.NetConn()) }

// SyscallConn implements syscall.Conn with the socket below.
func (c *webSocket) SyscallConn() (syscall.RawConn, error) { return socketOf(c.Conn) }

func socketOf(nc net.Conn) (syscall.RawConn, error) {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errors.New("the connection has no socket")
	}
	return s.SyscallConn()
}
