package packet

import (
	"errors"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Errors of [Encoder.Append] and [Encoder.AppendPublish] that callers tell
// apart. Any other error means that a packet holds what no version can express,
// such as a packet identifier of zero or a string of more than 65,535 bytes.
var (
	// ErrTooLarge means that the packet exceeds the receiver's Maximum Packet
	// Size and must not be sent to it [MQTT-3.1.2-24].
	ErrTooLarge = errors.New("packet exceeds the receiver's maximum packet size")

	// ErrNotInVersion means that the protocol version has no such packet: AUTH
	// before MQTT 5, or a CONNACK whose code has no equivalent there.
	ErrNotInVersion = errors.New("packet does not exist in this protocol version")
)

// Encoder appends packets in the form that one receiver understands. It has no
// state besides its fields: a copy is as good, and one Encoder that nobody
// changes may be used by many goroutines.
type Encoder struct {
	// Version decides the form. Only a CONNECT goes by its own Version.
	Version mqtt.Version

	// MaxPacketSize is the receiver's Maximum Packet Size in bytes, fixed
	// header included; zero means no limit.
	MaxPacketSize uint32

	// NoProblemInfo is set if the client's CONNECT said Request Problem
	// Information 0: Reason Strings and User Properties are then left out of
	// every packet but PUBLISH, CONNACK and DISCONNECT [MQTT-3.1.2-29].
	NoProblemInfo bool
}

// Append appends p to dst and returns the extended slice, or dst as it was and
// an error. Nothing of p is kept.
//
// If an answer is too large with its Reason String and User Properties, those
// are left out [MQTT-3.4.2-2] [MQTT-3.4.2-3]; if it still is, the error is
// [ErrTooLarge]. What belongs to a message or to a client's request is never
// left out.
func (e *Encoder) Append(dst []byte, p Packet) ([]byte, error) {
	if p, ok := p.(*Publish); ok {
		return e.appendPublish(dst, p)
	}
	quiet := e.NoProblemInfo && answers&(1<<p.Type()) != 0
	w := writer{buf: dst, noReason: quiet, noUser: quiet}
	for {
		e.write(&w, p, len(dst))
		switch {
		case w.err != nil:
			return dst, w.err
		case !e.exceeds(len(w.buf) - len(dst)):
			return w.buf, nil
		case !w.noUser:
			w.noUser = true
		case !w.noReason:
			w.noReason = true
		default:
			return dst, ErrTooLarge
		}
		w.buf = w.buf[:len(dst)]
	}
}

// AppendAck appends an acknowledgement that says nothing but success, of any
// kind. It is what [Encoder.Append] would do, only faster, and with its errors.
func (e *Encoder) AppendAck(dst []byte, kind Type, id uint16) ([]byte, error) {
	const size = 4
	switch {
	case kind < PUBACK || kind > PUBCOMP:
		return dst, errUnknownType
	case id == 0:
		return dst, errZeroID
	case e.exceeds(size):
		return dst, ErrTooLarge
	}
	first := byte(kind) << 4
	if kind == PUBREL {
		first |= 0x02 // [MQTT-3.6.1-1]
	}
	return append(dst, first, size-2, byte(id>>8), byte(id)), nil
}

// answers are the packets that Request Problem Information is about.
var answers = in(PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, AUTH)

// exceeds reports whether n bytes are more than the receiver takes.
func (e *Encoder) exceeds(n int) bool {
	return e.MaxPacketSize > 0 && n > int(e.MaxPacketSize)
}

// write appends any packet but PUBLISH, whose first byte will be at position
// at.
func (e *Encoder) write(w *writer, p Packet, at int) {
	first := byte(p.Type()) << 4
	if want := p.Type(); want == PUBREL || want == SUBSCRIBE || want == UNSUBSCRIBE {
		first |= 0x02
	}
	w.uint8(first)
	switch p := p.(type) {
	case *Connect:
		p.write(w)
	case *Connack:
		p.write(w, e.Version)
	case *Ack:
		p.write(w, e.Version)
	case *Subscribe:
		p.write(w, e.Version)
	case *Suback:
		p.write(w, e.Version)
	case *Unsubscribe:
		p.write(w, e.Version)
	case *Unsuback:
		p.write(w, e.Version)
	case *Disconnect:
		p.write(w, e.Version)
	case *Auth:
		p.write(w, e.Version)
	case *Pingreq, *Pingresp:
	default:
		w.fail(errUnknownType)
	}
	w.insertLength(at+1, 0)
}
