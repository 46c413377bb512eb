package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Connect is a CONNECT packet, the first that a client sends.
type Connect struct {
	// Version is the protocol level: 3.1, 3.1.1 or 5.
	Version mqtt.Version

	// Bridge is set if the level byte had its highest bit set, by which
	// mosquitto's bridges announce themselves (3.1 and 3.1.1 only).
	Bridge bool

	// CleanStart is called Clean Session before MQTT 5.
	CleanStart bool

	// KeepAlive is in seconds; zero switches the mechanism off.
	KeepAlive uint16

	// ClientID is "" if the server is to choose one, which a decoder lets
	// pass in MQTT 5, and in 3.1.1 with CleanStart [MQTT-3.1.3-8].
	ClientID string

	// Username and Password are valid if HasUsername and HasPassword. Before
	// MQTT 5 there is no password without a user name [MQTT-3.1.2-22].
	Username    string
	HasUsername bool
	Password    []byte
	HasPassword bool

	// Will is nil if the client left none.
	Will *Will

	// SessionExpiry is the Session Expiry Interval in seconds, 0xFFFFFFFF for
	// never; zero if absent, which HasSessionExpiry tells. MQTT 5.
	SessionExpiry    uint32
	HasSessionExpiry bool

	// ReceiveMaximum is how many QoS 1 and 2 messages the client takes before
	// it acknowledges one: 65,535 if absent and for MQTT 3; never zero in a
	// decoded packet.
	ReceiveMaximum uint16

	// MaximumPacketSize is the largest packet, in bytes and with its fixed
	// header, that the client accepts; zero if absent, which means no limit.
	MaximumPacketSize uint32

	// TopicAliasMaximum is the highest alias that the server may use.
	TopicAliasMaximum uint16

	// RequestResponseInfo asks for Response Information in CONNACK.
	RequestResponseInfo bool

	// RequestProblemInfo is true if absent. False forbids Reason Strings and
	// User Properties on packets other than PUBLISH, CONNACK and DISCONNECT
	// [MQTT-3.1.2-29]; see [Encoder.NoProblemInfo].
	RequestProblemInfo bool

	// User are the User Properties in their order, nil if there is none.
	User []mqtt.UserProperty

	// AuthMethod is the Authentication Method, valid if HasAuthMethod.
	// AuthData is nil if absent and comes only with a method.
	AuthMethod    string
	HasAuthMethod bool
	AuthData      []byte
}

// Will is the message that the server publishes for a client that is gone.
type Will struct {
	// Topic is not empty in a decoded packet; its syntax is not checked here.
	Topic   string
	Payload []byte
	QoS     mqtt.QoS
	Retain  bool

	// Delay is the Will Delay Interval in seconds, zero if absent. MQTT 5.
	Delay uint32

	// Properties are those of the message, nil if it has none.
	Properties *mqtt.Properties
}

// Type is CONNECT.
func (*Connect) Type() Type { return CONNECT }
