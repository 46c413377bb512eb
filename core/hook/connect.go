package hook

import (
	"context"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Validator decides who may connect and with which rights.
//
// The broker calls Validate once per CONNECT, from the connection's own
// goroutine and so from many at once, before any session of that client
// identifier is touched. ctx ends when the client hangs up or the policy's
// timeout passes. c and what it points to must not be changed or kept. A
// refusal is a [Decision]; an error means that no decision could be made.
type Validator interface {
	Validate(ctx context.Context, c *Connect) (*Decision, error)
}

// ValidatorFunc adapts a function to [Validator].
type ValidatorFunc func(ctx context.Context, c *Connect) (*Decision, error)

// Validate calls f.
func (f ValidatorFunc) Validate(ctx context.Context, c *Connect) (*Decision, error) {
	return f(ctx, c)
}

// Connect is everything that is known of a connecting client.
type Connect struct {
	// ConnectionID identifies the connection for the life of the broker; a
	// later connection has a larger one.
	ConnectionID uint64

	ClientID    string // "" if the client asks to be given one
	Username    string
	HasUsername bool
	Password    []byte
	HasPassword bool
	Version     mqtt.Version
	CleanStart  bool
	KeepAlive   time.Duration // whole seconds; 0 is off
	Will        *Will         // nil if there is none

	SessionExpiry       uint32 // seconds, if HasSessionExpiry
	HasSessionExpiry    bool
	ReceiveMaximum      uint16 // 0 if not sent
	MaximumPacketSize   uint32 // bytes, 0 if not sent
	TopicAliasMaximum   uint16
	RequestResponseInfo bool
	RequestProblemInfo  bool
	User                []mqtt.UserProperty
	AuthMethod          string // "" if none
	AuthData            []byte // nil if none

	// Validators names those that are asked; nil means all. Validators
	// themselves have no use for it.
	Validators []string

	PeerAddress  string // "host:port", or "unix"
	LocalAddress string // "host:port", or a socket path
	Listener     string // its name
	Transport    string // "tcp", "tls", "ws", "wss", "unix"
	TLS          *TLS
	WebSocket    *WebSocket
	Proxy        *Proxy
}

// Will is the message that is published when a client vanishes.
type Will struct {
	Message *mqtt.Message
	Delay   time.Duration // whole seconds
}

// TLS describes the TLS layer of a connection.
type TLS struct {
	Version     string // "TLS 1.3"
	CipherSuite string
	ServerName  string
	ALPN        string
	Certificate *Certificate // nil if the client sent none
}

// Certificate is the leaf certificate that a client presented.
type Certificate struct {
	DER            []byte
	Subject        string // RFC 2253
	Issuer         string // RFC 2253
	CommonName     string
	DNSNames       []string
	EmailAddresses []string
	URIs           []string
	IPAddresses    []string
	SHA256         [32]byte // of DER
	Serial         string   // lower-case hexadecimal
	Verified       bool
}

// WebSocket describes the HTTP request that opened a WebSocket.
type WebSocket struct {
	Path    string // with query
	Host    string
	Origin  string
	Headers []mqtt.UserProperty // by name
}

// Proxy is what a PROXY protocol header told.
type Proxy struct {
	Address string // of the proxy itself
	TLVs    map[byte][]byte
}

// Verdict is a validator's word.
type Verdict uint8

// A validator abstains, allows or denies. Any Deny ends the chain; if all
// abstain the client is refused.
const (
	Abstain Verdict = iota
	Allow
	Deny
)

// Decision is the answer of a validator. Fields after ServerReference only
// count with Allow.
type Decision struct {
	Verdict         Verdict
	Code            mqtt.ReasonCode // with Deny; 0 means NotAuthorized
	Reason          string
	ServerReference string

	AssignedClientID string // used if the client sent none
	User             []mqtt.UserProperty
	Username         *string // nil keeps the client's
	Mountpoint       string  // put before all topics of this client; ends with "/" and has no "$" in front
	Limits           Limits
	Grants           *Grants       // nil: this validator does not limit
	ValidFor         time.Duration // 0: for ever
	CacheFor         time.Duration // 0: never
	Items            map[string][]byte
	AuthData         []byte // nil if none
	Quota            *Quota // nil: this validator does not limit
	Durability       Durability
}

// Quota limits what is used by day and by month. The broker counts; see package
// core/quota.
type Quota struct {
	Account   string         // whose usage it is; "" is the user name
	By        string         // the validator that granted it, whose accounts are its own; filled by the chain
	Zone      *time.Location // where days and months begin; nil is UTC
	Published bool           // what the client publishes counts
	Delivered bool           // what is delivered to it counts

	// A nil limit is none, 0 is nothing at all. Bytes are those of topics and
	// payloads.
	BytesPerDay, BytesPerMonth, MessagesPerDay, MessagesPerMonth *uint64
}

// Limits narrow what a client may ask for. A nil field leaves the broker's own
// limit. [Limits.Narrow] combines two.
type Limits struct {
	KeepAlive          *uint16 // seconds: Server Keep Alive
	SessionExpiry      *uint32 // seconds, upper bound
	ReceiveMaximum     *uint16
	MaximumPacketSize  *uint32 // bytes
	MaximumQoS         *mqtt.QoS
	TopicAliasMaximum  *uint16
	QueueMessages      *int
	QueueBytes         *int
	MessagesPerSecond  *float64
	BytesPerSecond     *float64
	SubscriptionsCount *int
}

// Action is what a grant is about, as a set of bits.
type Action uint8

// The actions of grants.
const (
	ActionPublish   Action = 1 << iota // wills included
	ActionSubscribe                    // per filter
	ActionReceive                      // per delivery; allowing to subscribe implies it
	ActionAll       = ActionPublish | ActionSubscribe | ActionReceive
)

// Grants is a list of rights. An action is permitted if at least one allowing
// grant matches it and no denying one does; order does not matter. An empty
// list permits nothing.
type Grants struct {
	List []Grant
	By   string // the validator whose word they are; filled by the chain
}

// Grant allows or denies actions on topics, written in the client's own topics
// without its mountpoint. %c and %u stand for the client identifier and the
// user name and fill exactly one level; with a value that is empty or has a
// wildcard or a slash in it an allowing grant matches nothing, and a denying one
// everything that the placeholder could stand for.
type Grant struct {
	Deny    bool
	Actions Action
	Filter  string
	MaxQoS  *mqtt.QoS // nil: 2
	Retain  *bool     // publishes with this flag only; nil: both
}
