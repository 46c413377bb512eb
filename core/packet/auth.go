package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Auth is an AUTH packet: one step of enhanced authentication. MQTT 5 only.
type Auth struct {
	// Code is ContinueAuthentication, ReAuthenticate (from a client only) or
	// Success (from a server only) [MQTT-3.15.2-1].
	Code mqtt.ReasonCode

	// Method is the Authentication Method. Every AUTH from a client has one.
	Method string

	// Data is the Authentication Data, nil if absent.
	Data []byte

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none.
	Reason string
	User   []mqtt.UserProperty
}

// Type is AUTH.
func (*Auth) Type() Type { return AUTH }
