package broker

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// A reader's stack has grown with the deepest call that it made and would stay
// so for as long as the connection: twice what all the rest of an idle one takes.
// So the reader of a connection that has been silent for a while ends, and a
// goroutine whose stack has never grown waits in its place until there is
// something to read.

// isIdle reports whether reading ended for the client's silence and the
// connection goes on.
func (c *conn) isIdle(err error) bool {
	if !c.parks || !errors.Is(err, os.ErrDeadlineExceeded) || c.ending() != nil {
		return false
	}
	limit := c.keepAlive + c.keepAlive/2
	last := c.now
	if last.IsZero() {
		last = c.since
	}
	silent := time.Since(last)
	if limit > 0 && silent >= limit {
		return false
	}
	if limit > 0 {
		c.readBy(time.Now().Add(limit - silent))
	} else {
		c.readBy(time.Time{})
	}
	c.dec.Release()
	c.w.rest()
	return true
}

// park waits until there is something to read or the deadline has passed, and
// goes on in a new goroutine: this one's stack must not grow.
func (c *conn) park() {
	c.b.stats.parked.Add(1)
	err := c.awaitReadable()
	c.b.stats.parked.Add(-1)
	go c.unpark(err)
}

// awaitReadable returns when a read would not block.
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

// unpark is the reader again.
func (c *conn) unpark(err error) {
	if err != nil {
		c.finish(*c.readFailed(err))
		c.b.forget(c)
		return
	}
	c.serveOn()
}
