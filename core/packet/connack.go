package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Connack is a CONNACK packet, the answer to CONNECT. Its zero value says
// "connected, nothing is limited". All but the first two fields are MQTT 5
// only and are left out for other versions.
type Connack struct {
	// SessionPresent is written only for MQTT 3.1.1 and 5 and only with
	// Success [MQTT-3.2.2-6].
	SessionPresent bool

	// Code is the outcome. For MQTT 3 the encoder maps it to one of the five
	// return codes, or refuses with [ErrNotInVersion] if none applies, and then
	// the connection is closed without a CONNACK (MQTT-3.2.2-6 of 3.1.1).
	Code mqtt.ReasonCode

	// SessionExpiry is the Session Expiry Interval in seconds that the server
	// uses instead of the client's, written if HasSessionExpiry.
	SessionExpiry    uint32
	HasSessionExpiry bool

	// ReceiveMaximum is how many QoS 1 and 2 messages the server takes at
	// once; zero is absent and means 65,535.
	ReceiveMaximum uint16

	// MaximumQoS is the highest QoS that the server takes, 0 or 1, valid if
	// HasMaximumQoS; absent means 2.
	MaximumQoS    mqtt.QoS
	HasMaximumQoS bool

	// What the server does not offer. False, the default, is not written.
	NoRetain          bool
	NoWildcard        bool
	NoSubscriptionIDs bool
	NoShared          bool

	// MaximumPacketSize is the largest packet, in bytes and with its fixed
	// header, that the server accepts; zero is absent and means no limit.
	MaximumPacketSize uint32

	// AssignedClientID is the identifier that the server chose, "" if it did
	// not have to [MQTT-3.2.2-16].
	AssignedClientID string

	// TopicAliasMaximum is the highest alias that the client may use.
	TopicAliasMaximum uint16

	// Reason is the Reason String, "" for none.
	Reason string

	// User are the User Properties, nil for none.
	User []mqtt.UserProperty

	// ServerKeepAlive, in seconds, replaces the client's, if HasServerKeepAlive.
	ServerKeepAlive    uint16
	HasServerKeepAlive bool

	// "" means absent for each of these.
	ResponseInfo    string
	ServerReference string
	AuthMethod      string

	// AuthData is nil if absent.
	AuthData []byte
}

// Type is CONNACK.
func (*Connack) Type() Type { return CONNACK }
