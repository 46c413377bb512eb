package packet

import (
	"encoding/binary"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// cursor reads the body of a packet from front to back. The first thing that
// is wrong sticks and whatever is read after it is zero, so that a decoding
// function reads on and looks at [cursor.bad] only before it allocates.
type cursor struct {
	buf []byte // the body; the decoder's memory, to be copied from
	pos int

	code   mqtt.ReasonCode // not zero: bad
	detail string
}

// fail records what is wrong, unless something was before.
func (c *cursor) fail(code mqtt.ReasonCode, detail string) {
	if c.code == 0 {
		c.code, c.detail = code, detail
	}
}

// malformed is fail with the code for what can't be parsed.
func (c *cursor) malformed(detail string) { c.fail(mqtt.MalformedPacket, detail) }

// illegal is fail with the code for what can be parsed and is not allowed.
func (c *cursor) illegal(detail string) { c.fail(mqtt.ProtocolError, detail) }

func (c *cursor) bad() bool { return c.code != 0 }

// left is the number of bytes not yet read.
func (c *cursor) left() int { return len(c.buf) - c.pos }

// take reads n bytes. The result aliases the decoder's buffer.
func (c *cursor) take(n int) []byte {
	if c.bad() {
		return nil
	}
	if n > c.left() {
		c.malformed("ends early")
		return nil
	}
	c.pos += n
	return c.buf[c.pos-n : c.pos : c.pos]
}

// rest reads what is left.
func (c *cursor) rest() []byte { return c.take(c.left()) }

func (c *cursor) uint8() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// varint reads a Variable Byte Integer, which inside of a packet is always
// one of MQTT 5.
func (c *cursor) varint() uint32 {
	if c.bad() {
		return 0
	}
	v, n := varint(c.buf[c.pos:])
	switch {
	case n == 0:
		c.malformed("ends early")
	case n < 0:
		c.malformed("variable byte integer of more than four bytes")
	case overlong(v, n):
		c.malformed("variable byte integer is longer than it must be")
	default:
		c.pos += n
		return v
	}
	return 0
}

// binary reads Binary Data: two bytes of length and that many bytes.
func (c *cursor) binary() []byte { return c.take(int(c.uint16())) }

// text reads a UTF-8 Encoded String.
func (c *cursor) text() []byte {
	b := c.binary()
	if !validText(b) {
		c.malformed("string is not UTF-8 or contains U+0000")
	}
	return b
}

// id reads a packet identifier, which is never zero [MQTT-2.2.1-3].
func (c *cursor) id() uint16 {
	id := c.uint16()
	if id == 0 {
		c.illegal("packet identifier is zero")
	}
	return id
}

// reason reads a Reason Code and holds it against those that the packet may
// carry.
func (c *cursor) reason(allowed *codeSet) mqtt.ReasonCode {
	code := mqtt.ReasonCode(c.uint8())
	if !allowed.has(code) {
		c.illegal("reason code is not one for this packet")
	}
	return code
}
