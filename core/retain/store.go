package retain

import (
	"context"
	"iter"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Record is one retained message as a store gives it back.
type Record struct {
	// Message is the retained message. It is nil in a record that tells only
	// a revision, see [Store.Load].
	Message *mqtt.Message

	// Revision is that of the Put which wrote the message.
	Revision uint64
}

// Op is what a Change does.
type Op uint8

// The operations. Zero is none of them.
const (
	Put    Op = iota + 1 // Message is now the retained message of Topic
	Delete               // Topic has no retained message any more
	Clear                // no topic has one any more
)

// String names the operation in lower case.
func (o Op) String() string {
	switch o {
	case Put:
		return "put"
	case Delete:
		return "delete"
	case Clear:
		return "clear"
	default:
		return "unknown"
	}
}

// Change is one step of the retained messages.
type Change struct {
	Op       Op
	Topic    string        // "" for Clear
	Message  *mqtt.Message // for Put only; immutable, may be kept
	Revision uint64        // greater than that of every change before it

	// Durability is what the publisher was promised, for a store that can tell
	// them apart; others promise the same for all.
	Durability Durability
}

// Store keeps retained messages beyond the life of the broker. It needs to
// know nothing about topics: the index matches wildcards. One broker writes to
// it.
type Store interface {
	// Load yields everything that is kept, in any order, once each. It is
	// called before any Apply. An error ends the sequence and the start of
	// the broker.
	//
	// The index counts on above the highest revision it is told. A store that
	// refuses old revisions and whose newest change was a Delete or a Clear
	// must therefore yield that revision as well: in a record without
	// Message.
	Load(ctx context.Context) iter.Seq2[Record, error]

	// Apply makes changes durable, all of them or, seen from outside, none.
	// It is called from one goroutine, never again before it has returned,
	// with revisions that only grow from change to change and from call to
	// call; there may be gaps. After an error the same changes come again, for
	// nobody knows whether they were applied: a store that has already applied
	// a revision skips it and answers nil. What changes point to must not be
	// modified and may be kept, the slice must not. Apply returns soon after
	// ctx is done.
	Apply(ctx context.Context, changes []Change) error
}

// Limiter is a [Store] that does not take messages of any size. A message that
// is larger is refused before anything changes, for the store would refuse it
// for ever.
type Limiter interface {
	Store
	// MaxMessageBytes is the largest [mqtt.Message.Size]; 0 is no limit. It
	// may change. It is called from many goroutines and must not block.
	MaxMessageBytes() int
}

// Readier is a [Store] that knows whether anything can be written at present.
type Readier interface {
	Store
	// Ready returns why not, or nil. It is called from many goroutines and must
	// not block.
	Ready() error
}
