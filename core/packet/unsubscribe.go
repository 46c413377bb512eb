package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Unsubscribe is an UNSUBSCRIBE packet.
type Unsubscribe struct {
	// ID is the packet identifier, never zero.
	ID uint16

	// Filters are in the client's order, at least one. Their syntax is not
	// checked here.
	Filters []string

	// User are the User Properties, nil for none. MQTT 5.
	User []mqtt.UserProperty
}

// Type is UNSUBSCRIBE.
func (*Unsubscribe) Type() Type { return UNSUBSCRIBE }
