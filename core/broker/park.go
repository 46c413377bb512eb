package broker

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// A connection that has been silent for a while is parked: its reader ends,
// buffers, decoder and stack go with it, and it is waited for at the least price
// that the system has (see lot) until there is something to read, its time is
// up, or it has to end. Then a new goroutine is its reader.

// canPark reports whether a connection can be waited for without reading.
func canPark(nc net.Conn) bool {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	_, err := s.SyscallConn()
	return err == nil
}

// isIdle reports whether reading ended for the client's silence and the
// connection goes on, and until when to wait for the client; zero means for ever.
func (c *conn) isIdle(err error) (until time.Time, idle bool) {
	if !c.parks || !errors.Is(err, os.ErrDeadlineExceeded) || c.ending() != nil {
		return time.Time{}, false
	}
	limit := c.silence()
	silent := time.Since(c.since) - time.Duration(c.heard.Load())
	if limit > 0 {
		if silent >= limit {
			return time.Time{}, false
		}
		until = time.Now().Add(limit - silent)
	}
	return until, true
}

// park lets the connection be waited for. Called by the reader, which ends.
func (c *conn) park(until time.Time) {
	if s, ok := c.dec.State(); ok {
		c.decoder, c.dec = s, nil
	}
	c.w.rest()
	c.b.stats.parked.Add(1)
	c.b.lot.add(c, until)
}

// unpark is the reader again: err is why there is nothing to read, nil if there
// is.
func (c *conn) unpark(err error) {
	c.b.stats.parked.Add(-1)
	if err != nil {
		c.finish(*c.readFailed(err))
		c.b.forget(c)
		return
	}
	if c.dec == nil {
		c.decode(packet.ResumeDecoder(c.decoder))
		c.dec.SetLimits(&c.b.force.Load().decoding)
	}
	c.serveOn()
}
