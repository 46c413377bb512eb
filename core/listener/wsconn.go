package listener

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// wsWriteFrame is the largest payload of a frame that is sent.
	wsWriteFrame = 32 << 10
	// wsControlTimeout bounds the writing of an answer to a control frame.
	wsControlTimeout = 5 * time.Second
	// wsCloseTimeout bounds the writing of a close frame when nobody waits for
	// the client any more: it goes into the send buffer or it does not go.
	wsCloseTimeout = 50 * time.Millisecond
)

// webSocket carries MQTT's bytes in the binary frames of a WebSocket: what is
// read is the payloads one after the other, however packets and frames are cut
// [MQTT-6.0.0-2]. Like those of a TCP connection, a read or write that a deadline
// ended can be taken up again; the broker's waits are made of that.
type webSocket struct {
	net.Conn // below: TCP or TLS

	peer  net.Addr
	about Info

	// Of the one goroutine that reads.
	br      *bufio.Reader
	now     frame  // whose payload is being read
	at      uint64 // how much of it was
	partial bool   // the last data frame was not the end of its message
	control []byte // payload of a control frame, as far as it was read
	over    error  // nothing is read any more

	writing sync.Mutex // guards the fields below
	rest    []byte     // of a frame that a deadline cut
	closed  bool       // a close frame was sent: no frame may follow

	deadline sync.Mutex // guards the fields below
	writeBy  time.Time  // as it was set from above
	own      bool       // a control frame is written, by a deadline of its own
}

func (c *webSocket) info() *Info          { return &c.about }
func (c *webSocket) RemoteAddr() net.Addr { return c.peer }

// Read implements net.Conn. The end of the WebSocket is io.EOF.
func (c *webSocket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for c.over == nil {
		var n int
		var err error
		switch {
		case c.at == c.now.size:
			err = c.nextFrame()
		case c.now.control():
			err = c.readControl()
		default:
			n, err = c.br.Read(b[:min(uint64(len(b)), c.now.size-c.at)])
			unmask(b[:n], c.now.mask, c.at)
			c.at += uint64(n)
		}
		switch {
		case n > 0:
			return n, nil
		case err != nil && isTimeout(err):
			return 0, err
		case err != nil:
			c.fail(err)
		}
	}
	return 0, c.over
}

// fail ends reading. The client is told what it did wrong, and what it still
// sends is forgotten for a moment.
func (c *webSocket) fail(err error) {
	c.over = err
	var wrong *frameError
	if errors.As(err, &wrong) {
		payload := binary.BigEndian.AppendUint16(nil, wrong.code)
		c.sendControl(opClose, append(payload, wrong.reason...))
		linger(c.Conn)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// nextFrame reads a header. A deadline leaves what came of it in the buffer.
func (c *webSocket) nextFrame() error {
	b, err := c.br.Peek(2)
	if err == nil {
		if err := checkStart(b); err != nil {
			return err
		}
		b, err = c.br.Peek(headerSize(b[1]))
	}
	if err != nil {
		if errors.Is(err, io.EOF) && (len(b) > 0 || c.partial) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	f, err := parseFrame(b)
	if err != nil {
		return err
	}
	switch {
	case f.op == opBinary && c.partial:
		return brokenFrame("a message began before the last one ended")
	case f.op == opContinuation && !c.partial:
		return brokenFrame("a frame continues nothing")
	}
	if !f.control() {
		c.partial = !f.fin
	}
	_, _ = c.br.Discard(len(b))
	c.now, c.at = f, 0
	if f.control() {
		c.control = c.control[:0]
		if f.size == 0 {
			return c.answer()
		}
	}
	return nil
}

// readControl reads the payload of a control frame, which is small.
func (c *webSocket) readControl() error {
	start := len(c.control)
	c.control = slices.Grow(c.control, int(c.now.size)-start)
	n, err := c.br.Read(c.control[start:c.now.size])
	c.control = c.control[:start+n]
	unmask(c.control[start:], c.now.mask, c.at)
	c.at += uint64(n)
	if c.at == c.now.size {
		return c.answer()
	}
	return err
}

// answer answers a control frame.
func (c *webSocket) answer() error {
	switch c.now.op {
	case opPing:
		c.sendControl(opPong, c.control)
	case opClose:
		c.sendControl(opClose, closeAnswer(c.control))
		return io.EOF
	}
	return nil
}

var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, wsWriteFrame+16); return &b }}

// Write implements net.Conn. The number of bytes that a deadline let through
// counts those that were begun to be sent in a frame; the next Write completes
// it.
func (c *webSocket) Write(b []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.flush(); err != nil {
		return 0, err
	}
	if c.closed {
		return 0, net.ErrClosed
	}
	bufp := frameBuffers.Get().(*[]byte)
	defer frameBuffers.Put(bufp)
	for n < len(b) {
		piece := b[n:min(len(b), n+wsWriteFrame)]
		buf := append(appendHeader((*bufp)[:0], opBinary, len(piece)), piece...)
		sent, err := c.Conn.Write(buf)
		if err != nil && sent == 0 {
			return n, err
		}
		n += len(piece)
		if err != nil {
			c.rest = slices.Clone(buf[sent:])
			return n, err
		}
	}
	return n, nil
}

// flush sends the rest of a frame that was cut. The caller holds writing.
func (c *webSocket) flush() error {
	if len(c.rest) == 0 {
		return nil
	}
	n, err := c.Conn.Write(c.rest)
	c.rest = c.rest[n:]
	return err
}

// sendControl sends a control frame, within a time. One that can't be sent is
// not: a pong that is late helps nobody.
func (c *webSocket) sendControl(op byte, payload []byte) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.sendControlLocked(op, payload, wsControlTimeout)
}

func (c *webSocket) sendControlLocked(op byte, payload []byte, within time.Duration) {
	if c.closed {
		return
	}
	c.deadline.Lock()
	c.own = true
	_ = c.Conn.SetWriteDeadline(time.Now().Add(within))
	c.deadline.Unlock()
	if c.flush() == nil {
		payload = payload[:min(len(payload), maxControl)]
		buf := append(appendHeader(make([]byte, 0, 2+maxControl), op, len(payload)), payload...)
		c.closed = op == opClose
		if n, err := c.Conn.Write(buf); err != nil && n > 0 {
			c.rest = buf[n:]
		}
	}
	c.deadline.Lock()
	c.own = false
	_ = c.Conn.SetWriteDeadline(c.writeBy)
	c.deadline.Unlock()
}

// SetWriteDeadline implements net.Conn.
func (c *webSocket) SetWriteDeadline(t time.Time) error {
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.writeBy = t
	if c.own {
		return nil // it holds as soon as the control frame is out
	}
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *webSocket) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// CloseWrite says that nothing is sent any more; the client answers with the
// end.
func (c *webSocket) CloseWrite() error {
	c.sendControl(opClose, binary.BigEndian.AppendUint16(nil, closeNormal))
	return nil
}

// Close implements net.Conn.
func (c *webSocket) Close() error {
	if c.writing.TryLock() { // else somebody writes, and can't
		c.sendControlLocked(opClose, binary.BigEndian.AppendUint16(nil, closeNormal), wsCloseTimeout)
		c.writing.Unlock()
	}
	return c.Conn.Close()
}
