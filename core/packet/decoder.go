package packet

import (
	"io"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Decoder turns the byte stream of one connection into packets. It belongs to
// one goroutine.
type Decoder struct {
	buffer  buffer
	cursor  cursor // over the packet at hand; here so that it is not allocated
	err     *Error
	version mqtt.Version
	maxSize int
	need    int // the size of the packet whose first bytes are held; 0 unknown
	limits  *Limits
	topics  topicMemo
	lending lending

	fromServer bool // decode what a server sends, not a client
	connected  bool // CONNECT was decoded, or need not come
	keepsNone  bool // CONNECT had a Session Expiry Interval of zero
	hasMethod  bool // CONNECT had an Authentication Method
}

// NewDecoder makes a decoder for what a client sends. The first packet must be
// CONNECT [MQTT-3.1.0-1], which sets the version. maxPacketSize is in bytes
// and counts the fixed header; zero means what the protocol can express
// (256 MiB).
func NewDecoder(maxPacketSize uint32) *Decoder {
	d := &Decoder{limits: &defaultLimits}
	d.SetMaxPacketSize(maxPacketSize)
	return d
}

// NewClientDecoder makes a decoder for what a server sends to a client that
// speaks version v. See [NewDecoder] for maxPacketSize.
func NewClientDecoder(v mqtt.Version, maxPacketSize uint32) *Decoder {
	d := NewDecoder(maxPacketSize)
	d.version, d.fromServer, d.connected = v, true, true
	return d
}

// Fill calls r.Read once and keeps what it brings. It may block as long as
// Read does. The error is Read's own; bytes that came with it are kept, so
// call [Decoder.Next] before giving up. After Next has failed, Fill returns
// that error and reads nothing.
//
// Memory follows the bytes that have arrived, never a length that was
// announced. A decoder whose last Read brought little reads into a few bytes
// of its own, so that an idle connection holds no buffer.
func (d *Decoder) Fill(r io.Reader) error {
	if d.err != nil {
		return d.err
	}
	return d.buffer.fill(r, d.need)
}

// Next returns the next packet, or nil and no error if more bytes are needed.
// Call it until then: one Fill may have brought many packets. An error is an
// [*Error] and final: every later call returns it again.
func (d *Decoder) Next() (Packet, error) {
	if d.err != nil {
		return nil, d.err
	}
	d.lending.out = false
	held := d.buffer.bytes()
	if len(held) == 0 {
		return nil, nil
	}
	t, flags := Type(held[0]>>4), held[0]&0x0f
	d.cursor = cursor{}
	d.checkFirstByte(&d.cursor, t, flags)
	size, head := d.frame(&d.cursor, t, held)
	if d.cursor.bad() {
		return nil, d.fail(t)
	}
	if size == 0 || size > len(held) {
		d.need = size
		return nil, nil
	}
	p := d.decode(t, flags, held[:size], head)
	if d.cursor.bad() {
		return nil, d.fail(t)
	}
	d.need = 0
	d.buffer.r += size
	return p, nil
}

// decode decodes a whole packet whose fixed header was read.
func (d *Decoder) decode(t Type, flags byte, whole []byte, head int) Packet {
	c := &d.cursor
	c.buf, c.pos = whole, head
	p := d.body(c, t, flags)
	if !c.bad() && c.left() > 0 {
		c.malformed("bytes are left over at its end")
	}
	c.buf = nil // the buffer may go now
	return p
}

// fail makes what went wrong the decoder's last word. What else was read will
// never be looked at.
func (d *Decoder) fail(t Type) error {
	d.buffer.r = d.buffer.w
	d.buffer.release()
	d.err = &Error{Code: d.cursor.code, Packet: t, Version: d.version, Detail: d.cursor.detail}
	return d.err
}

// frame reads the Remaining Length of the packet that held begins with. size
// is that of the whole packet, zero if unknown yet, and head that of the fixed
// header. What can be refused by then is, before the rest is waited for.
func (d *Decoder) frame(c *cursor, t Type, held []byte) (size, head int) {
	remaining, n := varint(held[1:])
	if n == 0 || c.bad() {
		return 0, 0
	}
	if n < 0 {
		c.malformed("remaining length of more than four bytes")
		return 0, 0
	}
	head = 1 + n
	size = head + int(remaining)
	largest := d.maxSize
	if t == CONNECT {
		largest += d.peek(c, held[head:min(size, len(held))])
	}
	switch {
	case d.version == mqtt.V5 && overlong(remaining, n):
		c.malformed("remaining length is longer than it must be")
	case size > largest:
		c.fail(mqtt.PacketTooLarge, "larger than the maximum packet size")
	case !d.plausible(t, remaining):
		c.malformed("remaining length is wrong for this packet")
	}
	return size, head
}

// plausible reports whether a packet of type t may have that many bytes after
// its fixed header. Only those whose length is fixed are judged.
func (d *Decoder) plausible(t Type, remaining uint32) bool {
	switch t {
	case PINGREQ, PINGRESP:
		return remaining == 0
	case DISCONNECT:
		return remaining == 0 || d.version == mqtt.V5
	case CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK:
		return remaining == 2 || d.version == mqtt.V5
	default:
		return true
	}
}

// body decodes what follows the fixed header.
func (d *Decoder) body(c *cursor, t Type, flags byte) Packet {
	switch t {
	case CONNECT:
		return d.connect(c)
	case CONNACK:
		return d.connack(c)
	case PUBLISH:
		return d.publish(c, flags)
	case PUBACK, PUBREC, PUBREL, PUBCOMP:
		return d.ack(c, t)
	case SUBSCRIBE:
		return d.subscribe(c)
	case SUBACK:
		return d.suback(c)
	case UNSUBSCRIBE:
		return d.unsubscribe(c)
	case UNSUBACK:
		return d.unsuback(c)
	case PINGREQ:
		return &Pingreq{}
	case PINGRESP:
		return &Pingresp{}
	case DISCONNECT:
		return d.disconnect(c)
	default: // AUTH; the first byte was checked
		return d.auth(c)
	}
}

// Release gives the buffer back if it holds no bytes; the next Fill takes
// another one. Call it before a Fill that may block for long.
func (d *Decoder) Release() {
	if d.lending.whole != nil {
		d.lending = lending{on: d.lending.on} // it may be a part of the buffer
	}
	d.buffer.release()
}

// Buffered is the number of bytes that were read and not yet decoded.
func (d *Decoder) Buffered() int { return d.buffer.w - d.buffer.r }

// Version is what the peer speaks: zero until the protocol level of CONNECT
// was read, which may be before that packet is complete or found to be good.
// For an unsupported level it is what [Error.Version] says.
func (d *Decoder) Version() mqtt.Version { return d.version }

// SetMaxPacketSize replaces the limit given to [NewDecoder]; the broker raises
// it after authentication. A packet that announces more is refused with
// PacketTooLarge as soon as its fixed header is there.
func (d *Decoder) SetMaxPacketSize(n uint32) {
	d.maxSize = 1 + 4 + maxVarint
	if n > 0 {
		d.maxSize = int(min(n, 1+4+maxVarint))
	}
}

// SetLimits replaces all limits. A new decoder has the defaults. Many decoders
// may share one Limits, which must not change any more.
func (d *Decoder) SetLimits(l *Limits) { d.limits = l }
