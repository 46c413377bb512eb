package packet

import "fmt"

// Type is a control packet type: the upper four bits of a packet's first byte.
type Type byte

// The control packet types. AUTH exists in MQTT 5 only.
const (
	CONNECT     Type = 1
	CONNACK     Type = 2
	PUBLISH     Type = 3
	PUBACK      Type = 4
	PUBREC      Type = 5
	PUBREL      Type = 6
	PUBCOMP     Type = 7
	SUBSCRIBE   Type = 8
	SUBACK      Type = 9
	UNSUBSCRIBE Type = 10
	UNSUBACK    Type = 11
	PINGREQ     Type = 12
	PINGRESP    Type = 13
	DISCONNECT  Type = 14
	AUTH        Type = 15
)

var typeNames = [16]string{
	"reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String names the type as the specifications do, in capitals.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", byte(t))
}

// Packet is one control packet. The types that implement it are the pointers
// to this package's packet structs, and no others.
//
// A packet from a [Decoder] owns its memory: it may be kept, handed to another
// goroutine and changed, whatever the decoder does next.
type Packet interface {
	// Type says which packet it is. For an [*Ack] it is the Kind.
	Type() Type
}
