package socket_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/socket"
)

// pair connects two sockets.
func pair(t *testing.T, network string) (a, b net.Conn) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if a, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a, b
}

func TestBytesArrive(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			a, b := pair(t, network)
			a, b = socket.New(a), socket.New(b)
			sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // more than the kernel holds
			var write sync.WaitGroup
			write.Go(func() {
				if n, err := a.Write(sent); n != len(sent) || err != nil {
					t.Errorf("wrote %d: %v", n, err)
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
			if n, err := b.Read(nil); n != 0 || err != nil {
				t.Errorf("read nothing: %d, %v", n, err)
			}
			got, err := io.ReadAll(b)
			write.Wait()
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
}

// What goes wrong is told as package net tells it.
func TestErrors(t *testing.T) {
	past := time.Unix(1, 0)
	for _, tt := range []struct {
		name string
		is   error
		do   func(t *testing.T, plain, c, peer net.Conn) (int, error)
	}{
		{"end", io.EOF, func(_ *testing.T, _, c, peer net.Conn) (int, error) {
			_ = peer.Close()
			return c.Read(make([]byte, 1))
		}},
		{"reading too late", os.ErrDeadlineExceeded, func(_ *testing.T, _, c, _ net.Conn) (int, error) {
			_ = c.SetReadDeadline(past)
			return c.Read(make([]byte, 1))
		}},
		{"writing too late", os.ErrDeadlineExceeded, func(_ *testing.T, _, c, _ net.Conn) (int, error) {
			_ = c.SetWriteDeadline(past)
			return c.Write([]byte("x"))
		}},
		{"reading what is closed", net.ErrClosed, func(_ *testing.T, _, c, _ net.Conn) (int, error) {
			_ = c.Close()
			return c.Read(make([]byte, 1))
		}},
		{"writing what is closed", net.ErrClosed, func(_ *testing.T, _, c, _ net.Conn) (int, error) {
			_ = c.Close()
			return c.Write([]byte("x"))
		}},
		{"reset", syscall.ECONNRESET, func(t *testing.T, _, c, peer net.Conn) (int, error) {
			if err := peer.(*net.TCPConn).SetLinger(0); err != nil {
				t.Fatal(err)
			}
			_ = peer.Close()
			return c.Read(make([]byte, 1))
		}},
		{"writing after the end", syscall.EPIPE, func(t *testing.T, plain, c, _ net.Conn) (int, error) {
			if err := plain.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			return c.Write([]byte("x"))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told [2]string
			for i, wrap := range []func(net.Conn) net.Conn{func(c net.Conn) net.Conn { return c }, socket.New} {
				plain, peer := pair(t, "tcp")
				n, err := tt.do(t, plain, wrap(plain), peer)
				if n != 0 || !errors.Is(err, tt.is) {
					t.Fatalf("got %d, %v", n, err)
				}
				var op *net.OpError
				if errors.As(err, &op) {
					op.Source, op.Addr = nil, nil // ports differ
				}
				told[i] = err.Error()
			}
			if told[0] != told[1] {
				t.Errorf("package net says %q, this one %q", told[0], told[1])
			}
		})
	}
}

// A write that a deadline ends says how much went out.
func TestWriteInPart(t *testing.T) {
	plain, peer := pair(t, "tcp")
	c := socket.New(plain)
	type result struct {
		n   int
		err error
	}
	wrote := make(chan result, 1)
	go func() {
		n, err := c.Write(make([]byte, 64<<20)) // more than the system keeps
		wrote <- result{n, err}
	}()
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	w := <-wrote
	if w.n == 0 || !errors.Is(w.err, os.ErrDeadlineExceeded) {
		t.Fatalf("wrote %d, %v", w.n, w.err)
	}
	_ = c.Close()
	if rest, err := io.Copy(io.Discard, peer); rest != int64(w.n-1) || err != nil {
		t.Errorf("wrote %d, %d arrived, %v", w.n, rest+1, err)
	}
}

// What waits to be read ends when the connection is closed, or its deadline moved.
func TestWaitEnds(t *testing.T) {
	for name, end := range map[string]func(net.Conn) error{
		"close":    net.Conn.Close,
		"deadline": func(c net.Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			plain, peer := pair(t, "tcp")
			var r socket.Reader
			r.Reset(plain)
			read := make(chan error, 2)
			go func() {
				for range 2 {
					_, err := r.Read(make([]byte, 1))
					read <- err
				}
			}()
			if _, err := peer.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err != nil {
				t.Fatal(err)
			}
			if err := end(plain); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err == nil {
				t.Error("read without an error")
			}
		})
	}
}

type other struct{ net.Conn }

// Connections that are more than a socket stay as they are.
func TestOthersStay(t *testing.T) {
	plain, _ := pair(t, "tcp")
	o := &other{plain}
	if socket.New(o) != net.Conn(o) {
		t.Error("it was taken for a socket")
	}
	p, _ := net.Pipe()
	if socket.New(p) != p {
		t.Error("a pipe was taken for a socket")
	}
}

func TestAllocatesNothing(t *testing.T) {
	plain, peer := pair(t, "tcp")
	var r socket.Reader
	var w socket.Writer
	r.Reset(plain)
	w.Reset(peer)
	b := make([]byte, 10)
	turn := func() {
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(&r, b); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	if n := testing.AllocsPerRun(100, turn); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
