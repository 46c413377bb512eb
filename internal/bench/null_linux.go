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
// into a map, a PUBLISH goes to those who named its topic or have a wildcard, as
// it is, with the packet identifier of its publisher. What the protocol wants as
// an answer is answered. It checks nothing, remembers no identifier, sends nothing
// again and forgets nobody.
type null struct {
	gate *nullGate // nil: nobody is shown anything

	mu    sync.RWMutex
	exact map[string][]*nullConn
	wild  []*nullConn
}

// nullConn is written to by one goroutine, which takes all that has gathered.
type nullConn struct {
	conn net.Conn

	mu    sync.Mutex
	wake  *sync.Cond
	out   []byte
	ended bool

	asked []byte // publishes of this read, for the gate; the reader's
}

// serveNull runs the null broker until it is killed.
func serveNull(addr string, gate *nullGate) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	n := &null{gate: gate, exact: make(map[string][]*nullConn)}
	if gate != nil {
		go gate.send()
		go gate.receive(n)
	}
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
			c.end()
		}()
	}
}

// read serves a connection until it ends, which is never without an error.
func (n *null) read(c *nullConn) error {
	const longest = 64 << 10
	r := bufio.NewReaderSize(c.conn, longest)
	for {
		if len(c.asked) > 0 && r.Buffered() == 0 {
			n.gate.ask(c)
		}
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
		if n.gate != nil && frame[0]>>4 == 3 {
			c.asked = append(c.asked, frame...)
		} else {
			n.handle(c, frame, frame[len(head):])
		}
		if _, err := r.Discard(size); err != nil {
			return err
		}
	}
}

// handleAll handles whole frames.
func (n *null) handleAll(c *nullConn, frames []byte) {
	for len(frames) > 0 {
		length, digits := binary.Uvarint(frames[1:])
		size := 1 + digits + int(length)
		n.handle(c, frames[:size], frames[1+digits:size])
		frames = frames[size:]
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
	case 5: // PUBREC
		c.send([]byte{0x62, 2, body[0], body[1]})
	case 6: // PUBREL
		c.send([]byte{0x70, 2, body[0], body[1]})
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
		if qos := frame[0] >> 1 & 3; qos > 0 {
			id := body[2+len(topic):]
			c.send([]byte{0x30 + qos<<4, 2, id[0], id[1]}) // PUBACK or PUBREC
		}
	}
}

func (c *nullConn) send(frame []byte) {
	c.mu.Lock()
	c.out = append(c.out, frame...)
	c.mu.Unlock()
	c.wake.Signal()
}

func (c *nullConn) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.wake.Signal()
	_ = c.conn.Close()
}

func (c *nullConn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		for len(c.out) == 0 && !c.ended {
			c.wake.Wait()
		}
		if c.ended {
			c.mu.Unlock()
			return
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
