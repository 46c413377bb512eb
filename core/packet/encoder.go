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

// PublishHeader is what differs between the copies of one message that go to
// several receivers.
type PublishHeader struct {
	// ID is the packet identifier, not zero if QoS is 1 or 2.
	ID uint16

	// QoS, Dup and Retain are the flags to send; those of the message are not
	// looked at.
	QoS    mqtt.QoS
	Dup    bool
	Retain bool

	// Alias is the Topic Alias, zero for none. OmitTopic leaves the topic out,
	// once the receiver knows the alias. Both have no effect before MQTT 5.
	Alias     uint16
	OmitTopic bool

	// SubscriptionIDs are those of the subscriptions that matched.
	SubscriptionIDs []uint32

	// Expiry is the Message Expiry Interval to send, in seconds, if the message
	// has one: what is left of it, see [mqtt.Message.RemainingExpiry].
	Expiry uint32
}

// Append appends p to dst and returns the extended slice, or dst as it was and
// an error. Nothing of p is kept.
//
// If a packet is too large with its Reason String and User Properties, those
// are left out [MQTT-3.4.2-2] [MQTT-3.4.2-3]; if it still is, the error is
// [ErrTooLarge]. The User Properties of a PUBLISH belong to the message and
// are never left out.
func (e *Encoder) Append(dst []byte, p Packet) ([]byte, error) { return dst, nil }

// AppendPublish appends a PUBLISH packet of message m, with the flags of h, to
// dst; see [Encoder.Append]. It does not allocate if dst has room.
func (e *Encoder) AppendPublish(dst []byte, h *PublishHeader, m *mqtt.Message) ([]byte, error) {
	return dst, nil
}
