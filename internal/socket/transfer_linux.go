//go:build !race

package socket

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

const quick = true

// transfer is one direction of a connection.
type transfer struct {
	nc   net.Conn
	raw  syscall.RawConn
	trap uintptr
	left []byte // to be filled or written; not empty while attempt is called
	n    int    // what became of it
	err  syscall.Errno
	try  func(fd uintptr) (done bool) // attempt, made once
}

// attempt makes the system call. It is not done if the socket is not ready.
func (t *transfer) attempt(fd uintptr) (done bool) {
	for {
		n, _, err := syscall.RawSyscall(t.trap, fd, uintptr(unsafe.Pointer(unsafe.SliceData(t.left))), uintptr(len(t.left))) //nolint:gosec // as package syscall does it
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		case 0:
			t.n, t.err = int(n), 0
		default:
			t.n, t.err = 0, err
		}
		return true
	}
}

func (t *transfer) begin(trap uintptr) {
	if t.try == nil {
		t.trap, t.try = trap, t.attempt
	}
	t.n, t.err = 0, 0
}

func (t *transfer) read(b []byte) (n int, err error) {
	t.begin(syscall.SYS_READ)
	t.left = b
	err = t.raw.Read(t.try)
	t.left = nil
	switch {
	case err != nil || t.err != 0:
		return 0, t.failed("read", err)
	case t.n == 0:
		return 0, io.EOF
	default:
		return t.n, nil
	}
}

func (t *transfer) write(b []byte) (n int, err error) {
	t.begin(syscall.SYS_WRITE)
	for n < len(b) {
		t.left = b[n:]
		err = t.raw.Write(t.try)
		t.left = nil
		if err != nil || t.err != 0 {
			return n, t.failed("write", err)
		}
		n += t.n
	}
	return n, nil
}

// failed makes the error that package net would return.
func (t *transfer) failed(op string, err error) error {
	var raw *net.OpError
	if errors.As(err, &raw) {
		err = raw.Err
	}
	if err == nil {
		err = os.NewSyscallError(op, t.err)
	}
	local := t.nc.LocalAddr()
	e := &net.OpError{Op: op, Source: local, Addr: t.nc.RemoteAddr(), Err: err}
	if local != nil {
		e.Net = local.Network()
	}
	return e
}
