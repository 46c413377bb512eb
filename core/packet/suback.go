package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Suback is a SUBACK packet, the answer to SUBSCRIBE.
type Suback struct {
	// ID is the packet identifier of the SUBSCRIBE, never zero.
	ID uint16

	// Codes has one entry for each filter, in the same order [MQTT-3.9.3-1]:
	// the granted QoS or why not. For MQTT 3 every failure becomes 0x80.
	Codes []mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is SUBACK.
func (*Suback) Type() Type { return SUBACK }
