//go:build !linux || race

package socket

import (
	"net"
	"syscall"
)

const quick = false

type transfer struct {
	nc  net.Conn
	raw syscall.RawConn // always nil
}

func (t *transfer) read(b []byte) (int, error)  { return t.nc.Read(b) }
func (t *transfer) write(b []byte) (int, error) { return t.nc.Write(b) }
