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
	// QoS levels. A message in flight never does.
	Overflow Overflow
}

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
	if l.ReceiveMaximum == 0 {
		l.ReceiveMaximum = math.MaxUint16
	}
	return l
}
