package mqtt

import "fmt"

// Version is the protocol level of a CONNECT packet.
type Version byte

// The protocol levels that the broker speaks.
const (
	V31  Version = 3 // MQTT 3.1, protocol name "MQIsdp"
	V311 Version = 4 // MQTT 3.1.1
	V5   Version = 5 // MQTT 5
)

// String names the version as the specifications do.
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5"
	default:
		return fmt.Sprintf("Version(%d)", byte(v))
	}
}

// QoS is a quality of service level, 0 to 2.
type QoS byte

// The three levels of delivery.
const (
	AtMostOnce  QoS = 0
	AtLeastOnce QoS = 1
	ExactlyOnce QoS = 2
)

// Valid reports whether q is 0, 1 or 2.
func (q QoS) Valid() bool { return q <= ExactlyOnce }
