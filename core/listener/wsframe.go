package listener

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// The frames of RFC 6455, section 5.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finBit  = 0x80
	rsvBits = 0x70
	opBits  = 0x0F
	maskBit = 0x80

	maxControl = 125     // bytes of a control frame's payload
	maxFrame   = 1 << 30 // bytes that a frame may announce
)

// The close codes of RFC 6455, section 7.4.1, that the broker sends.
const (
	closeNormal      = 1000
	closeProtocol    = 1002
	closeUnsupported = 1003
	closeTooBig      = 1009
)

// frameError is what a client did wrong, with the code that it is told.
type frameError struct {
	code   uint16
	reason string
}

func (e *frameError) Error() string { return "WebSocket: " + e.reason }

func brokenFrame(format string, args ...any) *frameError {
	return &frameError{closeProtocol, fmt.Sprintf(format, args...)}
}

// frame is the header of one frame.
type frame struct {
	op   byte
	fin  bool
	size uint64
	mask [4]byte
}

func (f *frame) control() bool { return f.op >= opClose }

// headerSize is the length of a frame's header whose first two bytes are
// known; a client's has a mask.
func headerSize(second byte) int {
	switch second &^ maskBit {
	case 126:
		return 2 + 2 + 4
	case 127:
		return 2 + 8 + 4
	default:
		return 2 + 4
	}
}

// checkStart checks what can be told from the first two bytes.
func checkStart(b []byte) error {
	switch {
	case b[0]&rsvBits != 0:
		return brokenFrame("a reserved bit is set, and no extension was agreed on")
	case b[1]&maskBit == 0:
		return brokenFrame("a client's frame has to be masked")
	}
	return nil
}

// parseFrame reads a whole header.
func parseFrame(b []byte) (frame, error) {
	f := frame{op: b[0] & opBits, fin: b[0]&finBit != 0}
	rest := b[2:]
	switch n := b[1] &^ maskBit; n {
	case 126:
		f.size = uint64(binary.BigEndian.Uint16(rest))
		rest = rest[2:]
		if f.size < 126 {
			return f, brokenFrame("a length takes more bytes than it needs")
		}
	case 127:
		f.size = binary.BigEndian.Uint64(rest)
		rest = rest[8:]
		if f.size>>63 != 0 || f.size < 1<<16 {
			return f, brokenFrame("a length is not one, or takes more bytes than it needs")
		}
	default:
		f.size = uint64(n)
	}
	copy(f.mask[:], rest)
	return f, f.check()
}

func (f *frame) check() error {
	switch f.op {
	case opContinuation, opBinary:
		if f.size > maxFrame {
			return &frameError{closeTooBig, "a frame is too large"}
		}
		return nil
	case opText:
		return &frameError{closeUnsupported, "MQTT comes in binary frames, not in text"} // [MQTT-6.0.0-1]
	case opClose, opPing, opPong:
		if !f.fin || f.size > maxControl {
			return brokenFrame("a control frame is too long or has parts")
		}
		return nil
	default:
		return brokenFrame("there is no frame of type %d", f.op)
	}
}

// unmask takes the mask off, whose first byte belongs to position at of the
// frame.
func unmask(b []byte, mask [4]byte, at uint64) {
	var turned [4]byte
	for i := range turned {
		turned[i] = mask[(at+uint64(i))&3]
	}
	m := binary.LittleEndian.Uint32(turned[:])
	wide := uint64(m)<<32 | uint64(m)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= turned[i&3]
	}
}

// appendHeader appends the header of a whole message from the server.
func appendHeader(b []byte, op byte, size int) []byte {
	b = append(b, finBit|op)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	default:
		return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
	}
}

// closeAnswer is the payload of the answer to a close frame.
func closeAnswer(payload []byte) []byte {
	switch {
	case len(payload) == 0:
		return nil
	case len(payload) == 1 || !utf8.Valid(payload[2:]) || !closable(binary.BigEndian.Uint16(payload)):
		return binary.BigEndian.AppendUint16(nil, closeProtocol)
	default:
		return payload[:2]
	}
}

// closable reports whether a code may stand in a close frame.
func closable(code uint16) bool {
	return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006) || code >= 3000 && code < 5000
}
