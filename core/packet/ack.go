package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Ack is one of the four packets that acknowledge a PUBLISH: PUBACK, PUBREC,
// PUBREL and PUBCOMP, which differ in nothing but their type and in the reason
// codes that they allow.
type Ack struct {
	// Kind is PUBACK, PUBREC, PUBREL or PUBCOMP.
	Kind Type

	// ID is the packet identifier, never zero.
	ID uint16

	// Code is always Success before MQTT 5, which has no place for it.
	Code mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is the Kind.
func (a *Ack) Type() Type { return a.Kind }
