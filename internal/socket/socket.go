package socket

import (
	"net"
	"sync"
	"syscall"
)

// rawOf returns how to reach the kernel's socket of a connection; nil if it has to be
// read and written by its own methods.
func rawOf(nc net.Conn) syscall.RawConn {
	if !quick {
		return nil
	}
	var s syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		s = nc
	case *net.UnixConn:
		s = nc
	default: // it may do more than the socket in it
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// Reader reads a connection. It belongs to one goroutine. The zero value reads
// nothing before Reset, and may be reset for one connection after the other.
type Reader struct{ in transfer }

// Reset makes r read nc. Nil lets go of the one before.
func (r *Reader) Reset(nc net.Conn) { r.in.nc, r.in.raw = nc, rawOf(nc) }

// Read is that of the connection: [net.Conn] says what it does and returns.
func (r *Reader) Read(b []byte) (int, error) {
	if r.in.raw == nil || len(b) == 0 {
		return r.in.nc.Read(b)
	}
	return r.in.read(b)
}

// Writer writes to a connection, like a [Reader] reads.
type Writer struct{ out transfer }

// Reset makes w write to nc. Nil lets go of the one before.
func (w *Writer) Reset(nc net.Conn) { w.out.nc, w.out.raw = nc, rawOf(nc) }

// Write is that of the connection: [net.Conn] says what it does and returns.
func (w *Writer) Write(b []byte) (int, error) {
	if w.out.raw == nil {
		return w.out.nc.Write(b)
	}
	return w.out.write(b)
}

// conn is a connection with a Reader and a Writer, for any number of goroutines.
type conn struct {
	net.Conn
	reading, writing sync.Mutex // held over a Read, and a Write
	in               Reader
	out              Writer
}

// New returns nc with other ways to read and write it, or as it is. What else nc
// can do than a [net.Conn] is not seen any more.
func New(nc net.Conn) net.Conn {
	c := &conn{Conn: nc}
	c.in.Reset(nc)
	c.out.Reset(nc)
	if c.in.in.raw == nil {
		return nc
	}
	return c
}

func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	return c.in.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.out.Write(b)
}
