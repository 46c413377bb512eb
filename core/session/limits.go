package session

import (
	"math"
	"sync/atomic"
)

// The bounds that a zero field of [Limits] means.
const (
	DefaultQueueMessages = 1000
	DefaultQueueBytes    = 8 << 20
	DefaultInFlight      = 1024

	DefaultKeptMessages   = 1_000_000
	DefaultKeptBytes      = 1 << 30
	DefaultMemoryMessages = 1000
	DefaultMemoryBytes    = 1 << 20
)

// Overflow says what gives way when a message meets a full queue.
type Overflow uint8

// The overflow policies.
const (
	// DropOldest drops from the front of the queue until the new message
	// fits: the receiver sees the newest state.
	DropOldest Overflow = iota
	// DropNewest drops the message that came last.
	DropNewest
)

// Limits bound what one session may hold. The zero value is usable.
type Limits struct {
	// Waiting counts the bytes that wait in the queues of all sessions that have
	// it; nil: nobody counts. While a client is connected, what waits for it is
	// counted in steps of 4 KiB.
	Waiting *atomic.Int64

	// QueueMessages and QueueBytes both bound the messages that wait to be
	// sent; bytes are counted by mqtt.Message.Size. Messages in flight are
	// not in the queue. Zero means the default.
	QueueMessages int
	QueueBytes    int

	// InFlight is the broker's own cap on messages sent and not yet
	// acknowledged; the client's Receive Maximum may lower it. Zero means
	// DefaultInFlight.
	InFlight uint16

	// ReceiveMaximum is how many QoS 1 and QoS 2 messages an MQTT 5 client
	// may have sent without having been answered: what its CONNACK said.
	// Zero means 65,535, which is what a CONNACK without the property says.
	ReceiveMaximum uint16

	// AliasMaximum is the highest topic alias that the client may use: what
	// its CONNACK said. Zero means that it may use none.
	AliasMaximum uint16

	// QueueQoS0Offline keeps messages of QoS 0 while the client is away.
	QueueQoS0Offline bool

	// Overflow says what gives way when the queue is full, alike for all
	// QoS levels, but for what Kept is about. A message in flight never does.
	Overflow Overflow

	// Kept bounds QoS 1 and 2 in the queue of a session that is kept in a store
	// from which it can be read again, in place of the above. Nil means the
	// defaults. It must not change any more.
	Kept *KeptLimits
}

// KeptLimits bound the queue of a session that is kept. Most of it is only on
// disk.
type KeptLimits struct {
	// Messages and Bytes bound what waits, wherever it does. Zero means
	// DefaultKeptMessages and DefaultKeptBytes.
	Messages, Bytes int
	// MemoryMessages and MemoryBytes are how much of it stays in memory when
	// there is more; reading and writing take half as much again. Zero means
	// DefaultMemoryMessages and DefaultMemoryBytes.
	MemoryMessages, MemoryBytes int
	// Full says what becomes of a message for which there is no room.
	Full Full
	// Memory and Disk are what all sessions have in memory, and what they have
	// only on disk; nil is no bound. While Memory is exceeded, only a few
	// messages of a queue stay in memory; while Disk is, there is no room for
	// what would have to go there.
	Memory, Disk Budget
}

// Budget is an amount of bytes that all sessions share.
type Budget interface {
	Used() *atomic.Int64
	Exceeded() bool
}

// Full says what becomes of a message of QoS 1 or 2 that meets the full queue of a
// session that is kept.
type Full uint8

// What a full queue does.
const (
	// EndSession ends the session: its client learns that it has missed
	// something.
	EndSession Full = iota
	// RefuseMessage has the publisher told, who asks [Session.HasRoom] before;
	// what nobody can be told of is dropped.
	RefuseMessage
	// DropOldestKept and DropNewestKept lose messages that were acknowledged.
	DropOldestKept
	DropNewestKept
)

// withDefaults returns l with its zero fields filled in.
func (l Limits) withDefaults() Limits {
	if l.QueueMessages <= 0 {
		l.QueueMessages = DefaultQueueMessages
	}
	if l.QueueBytes <= 0 {
		l.QueueBytes = DefaultQueueBytes
	}
	if l.InFlight == 0 {
		l.InFlight = DefaultInFlight
	}
	l.Kept = l.Kept.withDefaults()
	if l.ReceiveMaximum == 0 {
		l.ReceiveMaximum = math.MaxUint16
	}
	return l
}

var defaultKept = &KeptLimits{
	Messages: DefaultKeptMessages, Bytes: DefaultKeptBytes,
	MemoryMessages: DefaultMemoryMessages, MemoryBytes: DefaultMemoryBytes,
}

func (p *KeptLimits) withDefaults() *KeptLimits {
	if p == nil {
		return defaultKept
	}
	if p.Messages > 0 && p.Bytes > 0 && p.MemoryMessages > 0 && p.MemoryBytes > 0 {
		return p
	}
	l := *p
	if l.Messages <= 0 {
		l.Messages = DefaultKeptMessages
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultKeptBytes
	}
	if l.MemoryMessages <= 0 {
		l.MemoryMessages = DefaultMemoryMessages
	}
	if l.MemoryBytes <= 0 {
		l.MemoryBytes = DefaultMemoryBytes
	}
	return &l
}
