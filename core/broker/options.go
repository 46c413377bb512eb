package broker

import (
	"log/slog"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
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
	// Version is what $SYS/broker/version says.
	Version string
	Limits  Limits
	// SysInterval is how often $SYS is published. Zero means 10 s, negative
	// never.
	SysInterval time.Duration
}

// Limits bound what clients may ask for. A zero field means the default that
// its comment names.
type Limits struct {
	// ConnectTimeout bounds the time to a complete CONNECT: 10 s.
	ConnectTimeout time.Duration
	// ConnectPacketSize bounds the CONNECT, in bytes: 16 KiB.
	ConnectPacketSize uint32
	// PacketSize bounds every later packet, in bytes: 1 MiB. It is the Maximum
	// Packet Size of the CONNACK.
	PacketSize uint32
	// TopicLevels bounds the levels of topic names and filters: 128.
	TopicLevels int
	// Connections bounds the open connections: no bound.
	Connections int
	// SubscriptionsPerClient bounds the subscriptions of a session: 10,000.
	SubscriptionsPerClient int
	// MaxQoS is the highest quality of service, if LimitQoS.
	MaxQoS   mqtt.QoS
	LimitQoS bool
	// KeepAlive caps the keep-alive that a client asks for, in seconds, and is
	// used where it asks for none. 0: the client's word holds.
	KeepAlive uint16
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

func (l Limits) withDefaults() Limits {
	or(&l.ConnectTimeout, 10*time.Second)
	or(&l.ConnectPacketSize, 16<<10)
	or(&l.PacketSize, 1<<20)
	or(&l.TopicLevels, 128)
	or(&l.SubscriptionsPerClient, 10_000)
	or(&l.SessionExpiry, neverExpires)
	or(&l.ReceiveMaximum, 1024)
	or(&l.TopicAliases, 64)
	or(&l.InFlight, 1024)
	or(&l.QueueMessages, 10_000)
	or(&l.QueueBytes, 16<<20)
	or(&l.ControlBytes, 256<<10)
	or(&l.StoreTimeout, 5*time.Second)
	or(&l.TakeoverTimeout, 10*time.Second)
	or(&l.FarewellTimeout, 2*time.Second)
	if !l.LimitQoS {
		l.MaxQoS = mqtt.ExactlyOnce
	}
	return l
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// neverExpires is the Session Expiry Interval that means for ever.
const neverExpires = 0xFFFFFFFF
