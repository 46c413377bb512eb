package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Error is malformed or illegal input. The connection that brought it can't go
// on: whoever decodes tells the peer the Code, where its version has a form
// for that, and closes [MQTT-4.13.1-1].
type Error struct {
	// Code is what an MQTT 5 peer is told: MalformedPacket (0x81),
	// ProtocolError (0x82), or a more telling one such as PacketTooLarge
	// (0x95), TopicAliasInvalid (0x94), UnsupportedProtocolVersion (0x84),
	// ClientIdentifierNotValid (0x85) or QuotaExceeded (0x97).
	Code mqtt.ReasonCode

	// Packet is the type of the offending packet, zero if the peer sent the
	// reserved type 0.
	Packet Type

	// Version says in which form the peer can read an answer. For a protocol
	// level that the broker does not speak it is the nearest one that it does:
	// 5 for a level above 5 (CONNACK 0x84), 3.1.1 for one below (CONNACK 0x01).
	// Zero means that the peer sent nothing from which to tell: just close.
	Version mqtt.Version

	// Detail says what is wrong, for logs and Reason Strings: a constant
	// phrase in lower case that repeats nothing of the input.
	Detail string
}

// Error gives the packet type, the reason and the detail.
func (e *Error) Error() string {
	return e.Packet.String() + ": " + e.Code.String() + ": " + e.Detail
}
