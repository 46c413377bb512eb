package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Unsuback is an UNSUBACK packet, the answer to UNSUBSCRIBE.
type Unsuback struct {
	// ID is the packet identifier of the UNSUBSCRIBE, never zero.
	ID uint16

	// Codes has one entry for each filter, in the same order [MQTT-3.11.3-1].
	// MQTT 3 has no place for them: the encoder leaves them out.
	Codes []mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is UNSUBACK.
func (*Unsuback) Type() Type { return UNSUBACK }
