package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
)

// null is what the machine allows: a broker of one goroutine pair for each
// connection that parses nothing but frames. A SUBSCRIBE enters its one filter
// into a map, a PUBLISH of QoS 0 goes to those who named its topic or have a
// wildcard. It checks nothing and forgets nobody.
type null struct {
	mu    sync.RWMutex
	exact map[string][]*nullConn
	wild  []*nullConn
}

// nullConn is written to by one goroutine, which takes all that has gathered.
type nullConn struct {
	conn net.Conn

	mu   sync.Mutex
	wake *sync.Cond
	out  []byte
}

// serveNull runs the null broker until it is killed.
func serveNull(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	n := &null{exact: make(map[string][]*nullConn)}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		c := &nullConn{conn: conn}
		c.wake = sync.NewCond(&c.mu)
		go c.write()
		go func() {
			if err := n.read(c); !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

// read serves a connection until it ends, which is never without an error.
func (n *null) read(c *nullConn) error {
	const longest = 64 << 10
	r := bufio.NewReaderSize(c.conn, longest)
	for {
		head, err := r.Peek(2)
		if err != nil {
			return err
		}
		for head[len(head)-1] >= 0x80 {
			if head, err = r.Peek(len(head) + 1); err != nil {
				return err
			}
		}
		length, _ := binary.Uvarint(head[1:])
		size := len(head) + int(length)
		frame, err := r.Peek(size)
		if err != nil {
			return err
		}
		n.handle(c, frame, frame[len(head):])
		if _, err := r.Discard(size); err != nil {
			return err
		}
	}
}

func (n *null) handle(c *nullConn, frame, body []byte) {
	switch frame[0] >> 4 {
	case 1: // CONNECT
		c.send([]byte{0x20, 2, 0, 0})
	case 8: // SUBSCRIBE
		length := binary.BigEndian.Uint16(body[2:])
		filter := string(body[4 : 4+length])
		n.mu.Lock()
		if strings.ContainsAny(filter, "+#") {
			n.wild = append(n.wild, c)
		} else {
			n.exact[filter] = append(n.exact[filter], c)
		}
		n.mu.Unlock()
		c.send([]byte{0x90, 3, body[0], body[1], 0})
	case 3: // PUBLISH
		topic := body[2 : 2+binary.BigEndian.Uint16(body)]
		n.mu.RLock()
		for _, to := range n.exact[string(topic)] {
			to.send(frame)
		}
		for _, to := range n.wild {
			to.send(frame)
		}
		n.mu.RUnlock()
	}
}

func (c *nullConn) send(frame []byte) {
	c.mu.Lock()
	c.out = append(c.out, frame...)
	c.mu.Unlock()
	c.wake.Signal()
}

func (c *nullConn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		for len(c.out) == 0 {
			c.wake.Wait()
		}
		full := c.out
		c.out = spare[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(full); err != nil {
			return
		}
		spare = full
	}
}
