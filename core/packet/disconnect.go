package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Disconnect is a DISCONNECT packet. Before MQTT 5 only a client sends one,
// and it says nothing.
type Disconnect struct {
	// Code is why; NormalDisconnection is mqtt.Success.
	Code mqtt.ReasonCode

	// SessionExpiry is the Session Expiry Interval in seconds that replaces
	// the one of CONNECT, valid if HasSessionExpiry. Only a client sends it
	// [MQTT-3.14.2-2].
	SessionExpiry    uint32
	HasSessionExpiry bool

	// Reason is the Reason String, ServerReference another server to use; ""
	// for none.
	Reason          string
	ServerReference string

	// User are the User Properties, nil for none.
	User []mqtt.UserProperty
}

// Type is DISCONNECT.
func (*Disconnect) Type() Type { return DISCONNECT }
