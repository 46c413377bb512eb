package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Publish is a PUBLISH packet: a message and how it travels.
type Publish struct {
	// Message is what the decoder read: topic, payload, QoS, retain flag and
	// properties. Publisher, Origin and Created are left for the broker to
	// fill in. Taking its address keeps the Publish alive, which costs little.
	//
	// Topic is empty only if an alias takes its place. Its syntax is not
	// checked here.
	Message mqtt.Message

	// ID is the packet identifier, never zero with QoS 1 and 2 and always
	// zero with QoS 0.
	ID uint16

	// Dup says that the sender may have sent it before.
	Dup bool

	// Alias is the Topic Alias, valid if HasAlias and then not zero. MQTT 5.
	Alias    uint16
	HasAlias bool

	// SubscriptionIDs come only from a server [MQTT-3.3.4-6]; nil if none.
	SubscriptionIDs []uint32
}

// Type is PUBLISH.
func (*Publish) Type() Type { return PUBLISH }
