package broker

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// Options are what a broker is made of. Every field has a useful zero value.
type Options struct {
	// Logger is written to; nil discards.
	Logger *slog.Logger
	// Hooks are asked; nil means that everyone may do everything.
	Hooks *hook.Hooks
	// Retained holds the retained messages; nil means in memory. The caller
	// has loaded it and runs its writer.
	Retained *retain.Index
	// Router holds the subscriptions; nil means one with default options.
	Router *router.Router
	// Sessions keeps the sessions that have an expiry; nil means that all end
	// with the broker. See [Broker.Restore].
	Sessions SessionStore
	// Durability says when what is promised to such sessions, and to those who
	// publish to them, counts as kept; a listener may say otherwise.
	Durability session.Durability
	// Bans is who may not connect; nil means a list without a file.
	Bans *ban.List
	// Quotas counts what clients use of what validators grant them; nil means a
	// ledger without a file. Whoever made it runs it.
	Quotas *quota.Ledger
	// Tracer follows publishes and connections; nil follows none and costs nothing.
	Tracer Tracer
	// Version is what $SYS/broker/version says.
	Version string
	Limits  Limits
	// SysInterval is how often $SYS is published. Zero means 10 s, negative
	// never.
	SysInterval time.Duration
	// CheckPayloadFormat holds publishers to their Payload Format Indicator: a
	// payload that claims to be UTF-8 and is not is refused with 0x99, in
	// PUBACK, PUBREC or, for a will, CONNACK; with QoS 0 it is dropped. Off,
	// the indicator is passed on and the receiver may check.
	CheckPayloadFormat bool
	// ResponseInformation is what a client gets that asks for Response
	// Information in CONNECT: the beginning of the topics that it should be
	// answered on, with %c for its client identifier and %u for its user name.
	// Nothing is sent if it is empty or if the result would be no topic name.
	// Who may use those topics is for the grants to say.
	ResponseInformation string
}

// Limits bound what clients may ask for. A zero field means the default that
// its comment names.
type Limits struct {
	// ConnectTimeout bounds the time to a complete CONNECT: 10 s.
	ConnectTimeout time.Duration
	// ConnectPacketSize bounds the CONNECT, in bytes: 16 KiB. ConnectWillSize
	// is how much larger one that has a will may be: 64 KiB.
	ConnectPacketSize uint32
	ConnectWillSize   uint32
	// PacketSize bounds every later packet, in bytes: 1 MiB. It is the Maximum
	// Packet Size of the CONNACK.
	PacketSize uint32
	// PacketTimeout bounds the time from the first byte of a packet to its
	// last: 1 min. The client's keep-alive may allow more.
	PacketTimeout time.Duration
	// IdleAfter is how long a client says nothing until its connection is waited
	// for with as little memory as there can be, at the price of some
	// microseconds when it speaks again: 2 s.
	IdleAfter time.Duration
	// IdleTimeout is how long a client without keep-alive may say nothing until it
	// is disconnected: for ever.
	IdleTimeout time.Duration
	// WriteTimeout bounds the time in which a client takes nothing of what is
	// sent to it: 1 min. Its connection ends then.
	WriteTimeout time.Duration
	// TopicLevels bounds the levels of topic names and filters: 128.
	TopicLevels int
	// ClientIDLength bounds the client identifier, in bytes: 1,024. A longer
	// one is refused with 0x85.
	ClientIDLength int
	// UserProperties and UserPropertyBytes bound the User Properties of a
	// packet, those of a will counted apart: 1,024, and 64 KiB of keys and
	// values. More are refused with 0x97.
	UserProperties    int
	UserPropertyBytes int
	// Connections bounds the open connections: no bound. AddressConnections
	// bounds those of one address: no bound. Addresses of IPv6 count as one if
	// they have the first 64 bits in common.
	Connections        int
	AddressConnections int
	// ConnectRate bounds new connections, AddressConnectRate those of one
	// address: no bound. One too many is closed before anything is read of it,
	// and before a TLS handshake.
	ConnectRate        admission.Rate
	AddressConnectRate admission.Rate
	// ExemptNetworks are those without bounds by address: gateways and proxies,
	// behind which there are many clients.
	ExemptNetworks []netip.Prefix
	// Authentications bounds the clients about whom the validators decide at
	// the same time: 1,024. Others wait for their turn, for ConnectTimeout at
	// most, and are refused with 0x89 then.
	Authentications int
	// Flapping bans client identifiers that connect again and again: off.
	Flapping Flapping
	// MessagesPerSecond and BytesPerSecond bound what each client publishes,
	// topics and payloads: no bound. A validator may set less. A client that is
	// faster is not read from until it is back within its rates; RatePatience
	// is the longest wait that one may have brought about by what it sent at
	// once: 1 min. Beyond it, it is disconnected with 0x96.
	MessagesPerSecond float64
	BytesPerSecond    float64
	RatePatience      time.Duration
	// Sessions bounds the sessions, connected or not: 1,000,000. A client that
	// needs one more is refused with 0x97.
	Sessions int
	// RetainedMessages and RetainedBytes bound the retained messages: 1,000,000
	// and 1 GiB of topics, payloads and properties. A message beyond them is
	// refused with 0x97. Publishers who arrive together may exceed them by one
	// message each.
	RetainedMessages int
	RetainedBytes    int
	// SharedKeys and SharedBytes bound the data that callers of the server API
	// share: 10,000 keys, and 16 MiB of keys and values.
	SharedKeys  int
	SharedBytes int
	// SubscriptionsPerClient bounds the subscriptions of a session: 10,000. A
	// further one is refused with 0x97.
	SubscriptionsPerClient int
	// FiltersPerPacket bounds the filters of one SUBSCRIBE or UNSUBSCRIBE:
	// 10,000. More end the connection with 0x97.
	FiltersPerPacket int
	// MaxQoS is the highest quality of service, if LimitQoS.
	MaxQoS   mqtt.QoS
	LimitQoS bool
	// KeepAlive caps the keep-alive that a client asks for, in seconds, and is
	// used where it asks for none. 0: the client's word holds. MinKeepAlive is
	// used where it asks for less; 0: none. Both concern MQTT 5 only, for
	// others can't be told.
	KeepAlive    uint16
	MinKeepAlive uint16
	// SessionExpiry caps the Session Expiry Interval, in seconds; sessions of
	// 3.1 and 3.1.1 clients without clean session live so long: for ever.
	SessionExpiry uint32
	// ReceiveMaximum is how many unacknowledged QoS 1 and 2 messages the
	// broker takes of one client: 1,024.
	ReceiveMaximum uint16
	// TopicAliases is how many topic aliases a client may set: 64.
	TopicAliases uint16
	// InFlight is how many unacknowledged messages the broker sends: 1,024.
	InFlight uint16
	// QueueMessages and QueueBytes bound each session's queue: 10,000 and
	// 16 MiB.
	QueueMessages int
	QueueBytes    int
	// QueueBytesTotal bounds what waits in the queues of all sessions together,
	// a message counted once for each session that it waits for: 4 GiB. Beyond
	// it, QoS 0 is dropped that would have to wait; an eighth beyond it, what is
	// for clients who are away; a quarter beyond it, all that would have to wait.
	QueueBytesTotal int
	// Kept bounds QoS 1 and 2 in the queues of sessions that are kept on disk, in
	// place of the bounds above: 1,000,000 messages and 1 GiB for each, of which
	// 1,000 messages and 1 MiB stay in memory. Its budgets are the broker's.
	Kept session.KeptLimits
	// KeptBytesTotal bounds what waits only on disk, of all sessions together:
	// 64 GiB.
	KeptBytesTotal int
	// Overflow says what a full queue does.
	Overflow session.Overflow
	// QueueQoS0Offline queues QoS 0 messages for sessions without connection.
	QueueQoS0Offline bool
	// ControlBytes bounds the answers that wait to be written to one client
	// before the broker stops reading from it: 256 KiB.
	ControlBytes int
	// StoreTimeout bounds the wait for the retained store before a publisher
	// is told that its message was not kept: 5 s.
	StoreTimeout time.Duration
	// TakeoverTimeout bounds the wait for the end of a connection whose
	// session another connection wants: 10 s.
	TakeoverTimeout time.Duration
	// FarewellTimeout bounds the writing of the last packets of a connection:
	// 2 s.
	FarewellTimeout time.Duration
}

// Limits returns the limits in force, defaults included.
func (b *Broker) Limits() Limits { return *b.limits() }

// Flapping says when a client identifier connects too often. The zero value
// never does.
type Flapping struct {
	// Connects is how often one may connect, with success, Within a time: 1 min.
	Connects int
	Within   time.Duration
	// Ban is for how long it is banned then: 5 min.
	Ban time.Duration
}

func (l Limits) withDefaults() Limits {
	or(&l.Authentications, 1024)
	or(&l.Flapping.Within, time.Minute)
	or(&l.Flapping.Ban, 5*time.Minute)
	or(&l.RatePatience, time.Minute)
	or(&l.ConnectTimeout, 10*time.Second)
	or(&l.ConnectPacketSize, 16<<10)
	or(&l.ConnectWillSize, 64<<10)
	or(&l.PacketSize, 1<<20)
	or(&l.PacketTimeout, time.Minute)
	or(&l.IdleAfter, 2*time.Second)
	or(&l.WriteTimeout, time.Minute)
	or(&l.TopicLevels, 128)
	or(&l.ClientIDLength, 1024)
	or(&l.UserProperties, 1024)
	or(&l.UserPropertyBytes, 64<<10)
	or(&l.Sessions, 1_000_000)
	or(&l.RetainedMessages, 1_000_000)
	or(&l.RetainedBytes, 1<<30)
	or(&l.SharedKeys, 10_000)
	or(&l.SharedBytes, 16<<20)
	or(&l.SubscriptionsPerClient, 10_000)
	or(&l.FiltersPerPacket, 10_000)
	or(&l.SessionExpiry, neverExpires)
	or(&l.ReceiveMaximum, 1024)
	or(&l.TopicAliases, 64)
	or(&l.InFlight, 1024)
	or(&l.QueueMessages, 10_000)
	or(&l.QueueBytes, 16<<20)
	or(&l.QueueBytesTotal, 4<<30)
	or(&l.Kept.Messages, session.DefaultKeptMessages)
	or(&l.Kept.Bytes, session.DefaultKeptBytes)
	or(&l.Kept.MemoryMessages, session.DefaultMemoryMessages)
	or(&l.Kept.MemoryBytes, session.DefaultMemoryBytes)
	or(&l.KeptBytesTotal, 64<<30)
	or(&l.ControlBytes, 256<<10)
	or(&l.StoreTimeout, 5*time.Second)
	or(&l.TakeoverTimeout, 10*time.Second)
	or(&l.FarewellTimeout, 2*time.Second)
	if !l.LimitQoS {
		l.MaxQoS = mqtt.ExactlyOnce
	}
	return l
}

// decoding returns the limits that hold inside of a packet.
func (l *Limits) decoding() packet.Limits {
	return packet.Limits{
		ClientID: l.ClientIDLength, Will: int(l.ConnectWillSize),
		UserProperties: l.UserProperties, UserPropertyBytes: l.UserPropertyBytes, Filters: l.FiltersPerPacket,
	}
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// neverExpires is the Session Expiry Interval that means for ever.
const neverExpires = 0xFFFFFFFF
