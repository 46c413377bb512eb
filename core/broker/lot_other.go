//go:build !linux

package broker

import (
	"syscall"
	"time"
)

// lot is where connections are parked: each has a goroutine whose stack has
// never grown. The zero value is ready.
type lot struct{}

// add waits for the connection and goes on with conn.unpark in a goroutine of
// its own.
func (*lot) add(c *conn, until time.Time) {
	c.readBy(until)
	go c.await()
}

// leave does nothing: the deadline of reading ends the wait.
func (*lot) leave(*conn) {}

// await returns when a read would not block. It goes on in a new goroutine:
// this one's stack must not grow.
func (c *conn) await() {
	err := c.awaitReadable()
	go c.unpark(err)
}

func (c *conn) awaitReadable() error {
	raw, err := c.nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	asked := false
	return raw.Read(func(uintptr) bool {
		ready := asked // it is asked again when the descriptor is readable
		asked = true
		return ready
	})
}
