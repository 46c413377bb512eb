package pluginapi

import (
	"context"
	"time"
)

// Validator decides who may connect. It is called once per CONNECT, for many
// clients at once. ctx ends when the client hangs up or the broker's timeout
// passes. A refusal is a [Decision] (see [Denied]); an error, or a decision that
// is nil or makes no sense, means that none could be made, and by default the
// client is refused then.
type Validator interface {
	ValidateConnection(ctx context.Context, c *Connect) (*Decision, error)
}

// Connect is everything that is known of a connecting client.
type Connect struct {
	ConnectionID uint64
	ClientID     string // "" if the client asks to be given one
	Username     string
	HasUsername  bool
	Password     []byte
	HasPassword  bool
	Protocol     Protocol
	CleanStart   bool
	KeepAlive    time.Duration
	Will         *Will // nil if there is none

	SessionExpiry       *uint32 // seconds; nil if not sent
	ReceiveMaximum      *uint16 // nil if not sent
	MaximumPacketSize   *uint32 // bytes; nil if not sent
	TopicAliasMaximum   uint16
	RequestResponseInfo bool
	RequestProblemInfo  bool
	UserProperties      []UserProperty
	AuthMethod          string
	AuthData            []byte

	PeerAddress  string // "host:port", or "unix"
	LocalAddress string
	Listener     string     // its name
	Transport    string     // "tcp", "tls", "ws", "wss", "unix"
	TLS          *TLS       // nil on plain connections
	WebSocket    *WebSocket // nil on other transports
	Proxy        *Proxy     // nil without a PROXY protocol header
}

// Will is the message that the broker publishes when a client vanishes.
type Will struct {
	Message *Message
	Delay   time.Duration
}

// TLS describes the TLS layer of a connection.
type TLS struct {
	Version     string
	CipherSuite string
	ServerName  string
	ALPN        string
	Certificate *Certificate // nil if the client sent none
}

// Certificate is the leaf certificate that a client presented.
type Certificate struct {
	DER            []byte
	Subject        string
	Issuer         string
	CommonName     string
	DNSNames       []string
	EmailAddresses []string
	URIs           []string
	IPAddresses    []string
	SHA256         []byte
	Serial         string
	Verified       bool
}

// WebSocket describes the HTTP request that opened a WebSocket.
type WebSocket struct {
	Path    string
	Host    string
	Origin  string
	Headers []UserProperty
}

// Proxy is what a PROXY protocol header told.
type Proxy struct {
	Address string
	TLVs    map[uint32][]byte
}

// Word is a validator's verdict. Any denial ends the chain of validators; if
// all abstain the client is refused.
type Word uint8

// The words of a validator.
const (
	Abstain Word = iota
	Allow
	Deny
)

// String names the word in lower case.
func (w Word) String() string {
	names := [...]string{"abstain", "allow", "deny"}
	if int(w) < len(names) {
		return names[w]
	}
	return "unknown"
}

// Decision is the answer of a validator; see [Allowed], [Denied] and
// [NoOpinion]. Fields after ServerReference only count with Allow.
type Decision struct {
	Word            Word
	Code            ReasonCode // of the CONNACK with Deny; 0 means NotAuthorized
	Reason          string
	ServerReference string

	AssignedClientID string
	UserProperties   []UserProperty
	Username         *string // nil keeps the client's
	Mountpoint       string  // put before the client's topics; ends with "/" and has no "$" in front
	Limits           Limits
	// Grants is what the client may do: nil means that this validator does not
	// limit it, an empty non-nil slice means nothing at all.
	Grants   []Grant
	ValidFor time.Duration // 0: for ever; whole seconds
	CacheFor time.Duration // 0: never; whole seconds
	Items    map[string][]byte
	AuthData []byte
	Quota    *Quota // nil: this validator does not limit it
	// Durability says when something that is promised to the client's session
	// counts as kept. It takes the place of the listener's and the broker's.
	Durability Durability
}

// Quota limits what a client uses by day and by month. The broker counts, and
// keeps what it counted; the plugin is not asked again. A message has the size of
// its topic and its payload. One that there is no room for is refused with
// [QuotaExceeded] if the client publishes it, and dropped if it was to be
// delivered.
type Quota struct {
	// Account is whose usage it is: clients that this plugin gives the same
	// account share it. "" means the user name. It must not be a name that
	// clients may choose freely.
	Account string
	// TimeZone is where days and months begin, a name of the IANA Time Zone
	// database; "" means UTC, "Local" the zone of the broker.
	TimeZone string
	// Of is what counts, [Publish], [Receive] or both; 0 means both.
	Of Action
	// A nil limit is none, 0 is nothing at all.
	BytesPerDay, BytesPerMonth, MessagesPerDay, MessagesPerMonth *uint64
}

// Allowed returns a decision that lets the client in, limited to grants if
// there are any.
func Allowed(grants ...Grant) *Decision {
	d := &Decision{Word: Allow}
	if len(grants) > 0 {
		d.Grants = grants
	}
	return d
}

// Denied returns a refusal with a reason code (0 means NotAuthorized) and a
// reason that MQTT 5 clients may be shown.
func Denied(code ReasonCode, reason string) *Decision {
	return &Decision{Word: Deny, Code: code, Reason: reason}
}

// NoOpinion returns a decision that leaves the matter to other validators.
func NoOpinion() *Decision { return &Decision{} }

// Limits narrow what a client may ask of the broker. A nil field leaves the
// broker's own limit.
type Limits struct {
	KeepAlive         *uint16 // seconds
	SessionExpiry     *uint32 // seconds
	ReceiveMaximum    *uint16
	MaximumPacketSize *uint32 // bytes
	MaximumQoS        *QoS
	TopicAliasMaximum *uint16
	QueueMessages     *uint32
	QueueBytes        *uint64
	MessagesPerSecond *float64
	BytesPerSecond    *float64
	Subscriptions     *uint32
}

// Action is what a grant is about, a set of bits.
type Action uint8

// The actions of grants.
const (
	Publish Action = 1 << iota
	Subscribe
	Receive
	AllActions = Publish | Subscribe | Receive
)

// Grant allows or denies actions on topics. An action is permitted if at least
// one allowing grant matches it and no denying one does. %c and %u in the
// filter stand for the client identifier and the user name.
type Grant struct {
	Deny    bool
	Actions Action // 0 means all
	Filter  string // in the client's own topics, without the mountpoint
	MaxQoS  *QoS   // nil means 2
	Retain  *bool  // publishes with this flag only; nil means both
}
