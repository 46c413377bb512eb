package packet

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// What a packet can hold in a program and not on the wire. Whoever made such a
// packet has a bug, so the errors are not for callers to tell apart.
var (
	errTooLong     = errors.New("packet: string or binary data of more than 65535 bytes")
	errZeroID      = errors.New("packet: packet identifier is zero")
	errQoS         = errors.New("packet: QoS above 2")
	errVersion     = errors.New("packet: unknown protocol version")
	errUnknownType = errors.New("packet: not a packet type of MQTT")
	errSubID       = errors.New("packet: subscription identifier out of range")
	errNoFilter    = errors.New("packet: no topic filter")
	errPassword    = errors.New("packet: password without user name before MQTT 5")
)

// writer appends the parts of packets to buf. The first thing that can't be
// written sticks.
type writer struct {
	buf []byte
	err error

	// noReason and noUser leave out what only explains.
	noReason, noUser bool
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) uint8(v byte)    { w.buf = append(w.buf, v) }
func (w *writer) uint16(v uint16) { w.buf = binary.BigEndian.AppendUint16(w.buf, v) }
func (w *writer) uint32(v uint32) { w.buf = binary.BigEndian.AppendUint32(w.buf, v) }

func (w *writer) id(id uint16) {
	if id == 0 {
		w.fail(errZeroID)
	}
	w.uint16(id)
}

func (w *writer) text(s string) {
	if len(s) > math.MaxUint16 {
		w.fail(errTooLong)
		return
	}
	w.uint16(uint16(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) binary(b []byte) {
	if len(b) > math.MaxUint16 {
		w.fail(errTooLong)
		return
	}
	w.uint16(uint16(len(b)))
	w.buf = append(w.buf, b...)
}

func (w *writer) reasons(list []mqtt.ReasonCode) {
	for _, c := range list {
		w.uint8(byte(c))
	}
}

// insertLength puts a Variable Byte Integer in front of what was written since
// position at: the number of bytes from there, and so many that follow later.
// What is moved is short, because a payload is appended after it.
func (w *writer) insertLength(at, later int) {
	n := len(w.buf) - at + later
	if n > maxVarint {
		w.fail(ErrTooLarge)
		return
	}
	size, end := varintSize(uint32(n)), len(w.buf)
	w.buf = append(w.buf, 0, 0, 0, 0)[:end+size]
	copy(w.buf[at+size:], w.buf[at:end])
	appendVarint(w.buf[:at], uint32(n))
}

// The properties are written between block := w.begin() and w.end(block).

func (w *writer) begin() int   { return len(w.buf) }
func (w *writer) end(from int) { w.insertLength(from, 0) }

func (w *writer) propFlag(p property, v bool) {
	w.uint8(byte(p))
	if v {
		w.uint8(1)
	} else {
		w.uint8(0)
	}
}

func (w *writer) propUint16(p property, v uint16) {
	w.uint8(byte(p))
	w.uint16(v)
}

func (w *writer) propUint32(p property, v uint32) {
	w.uint8(byte(p))
	w.uint32(v)
}

func (w *writer) propSubID(v uint32) {
	if v == 0 || v > maxVarint {
		w.fail(errSubID)
		return
	}
	w.uint8(byte(propSubscriptionID))
	w.buf = appendVarint(w.buf, v)
}

// propText writes a string unless it is empty, which stands for absent.
func (w *writer) propText(p property, s string) {
	if s != "" {
		w.uint8(byte(p))
		w.text(s)
	}
}

// propEmptyText writes an empty string that is not absent.
func (w *writer) propEmptyText(p property) {
	w.uint8(byte(p))
	w.uint16(0)
}

// propBinary writes binary data unless it is nil.
func (w *writer) propBinary(p property, b []byte) {
	if b != nil {
		w.uint8(byte(p))
		w.binary(b)
	}
}

func (w *writer) propUser(list []mqtt.UserProperty) {
	for i := range list {
		w.uint8(byte(propUser))
		w.text(list[i].Key)
		w.text(list[i].Value)
	}
}

// problem writes what explains a Reason Code, so far as the receiver wants it
// and has room for it.
func (w *writer) problem(reason string, user []mqtt.UserProperty) {
	if !w.noReason {
		w.propText(propReasonString, reason)
	}
	if !w.noUser {
		w.propUser(user)
	}
}

// problemBlock writes a property block of which that is all, and reports
// whether it has anything in it.
func (w *writer) problemBlock(reason string, user []mqtt.UserProperty) bool {
	block := w.begin()
	w.problem(reason, user)
	empty := len(w.buf) == block
	w.end(block)
	return !empty
}
