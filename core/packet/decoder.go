package packet

import (
	"io"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Limits bound what one packet may hold beyond its size in bytes, for small
// things on the wire can be large in memory. Zero means the default.
type Limits struct {
	// ClientID is the longest client identifier in bytes; a longer one is
	// answered by ClientIdentifierNotValid. Default 65,535, all that the
	// protocol can express.
	ClientID int

	// UserProperties is how many of them a packet may have, those of a will
	// counted apart; more are answered by QuotaExceeded. Default 1,024.
	UserProperties int

	// UserPropertyBytes bounds the keys and values of a packet's User
	// Properties together; more are answered by QuotaExceeded. The default is
	// the packet size.
	UserPropertyBytes int

	// Filters is how many filters a SUBSCRIBE or UNSUBSCRIBE may have; more
	// are answered by QuotaExceeded. Default 65,535.
	Filters int
}

// Decoder turns the byte stream of one connection into packets. It belongs to
// one goroutine.
type Decoder struct {
	version mqtt.Version
}

// NewDecoder makes a decoder for what a client sends. The first packet must be
// CONNECT [MQTT-3.1.0-1], which sets the version. maxPacketSize is in bytes
// and counts the fixed header; zero means what the protocol can express
// (256 MiB).
func NewDecoder(maxPacketSize uint32) *Decoder { return nil }

// NewClientDecoder makes a decoder for what a server sends to a client that
// speaks version v. See [NewDecoder] for maxPacketSize.
func NewClientDecoder(v mqtt.Version, maxPacketSize uint32) *Decoder { return nil }

// Fill calls r.Read once and keeps what it brings. It may block as long as
// Read does. The error is Read's own; bytes that came with it are kept, so
// call [Decoder.Next] before giving up. After Next has failed, Fill returns
// that error and reads nothing.
//
// Memory follows the bytes that have arrived, never a length that was
// announced: the buffer at most doubles with each call.
func (d *Decoder) Fill(r io.Reader) error { return nil }

// Next returns the next packet, or nil and no error if more bytes are needed.
// Call it until then: one Fill may have brought many packets. An error is an
// [*Error] and final: every later call returns it again.
func (d *Decoder) Next() (Packet, error) { return nil, nil }

// Release gives the buffer back if it holds no bytes; the next Fill takes
// another one. Call it before a Fill that may block for long.
func (d *Decoder) Release() {}

// Buffered is the number of bytes that were read and not yet decoded.
func (d *Decoder) Buffered() int { return 0 }

// Version is what the peer speaks: zero until the protocol level of CONNECT
// was read, which may be before that packet is complete or found to be good.
// For an unsupported level it is what [Error.Version] says.
func (d *Decoder) Version() mqtt.Version { return d.version }

// SetMaxPacketSize replaces the limit given to [NewDecoder]; the broker raises
// it after authentication. A packet that announces more is refused with
// PacketTooLarge as soon as its fixed header is there.
func (d *Decoder) SetMaxPacketSize(n uint32) {}

// SetLimits replaces all limits. A new decoder has the defaults.
func (d *Decoder) SetLimits(l Limits) {}
