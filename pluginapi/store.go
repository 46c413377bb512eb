package pluginapi

import "context"

// Store keeps retained messages. The broker owns the index by topic, so that a
// plain key-value backend needs no knowledge of wildcards.
//
// Load is called once at start, before anything else. It yields every record
// once, in any order, and returns the error of yield if there is one.
//
// Apply is called with one batch after the other, revisions ascending; it makes
// all changes or none and returns when they are as durable as the store promises.
// It must skip a change whose revision is not above the one that it holds for
// the topic, so that the same batch may come twice: a deletion is remembered with
// its revision, and a Clear counts for every topic. It returns the highest
// revision that it has seen, in this batch or before.
//
// The broker counts revisions on from the highest that it is told at start. That
// is [Stats.Revision] of a store with a [Statser], and otherwise that of the
// newest record; a store whose newest change may be a deletion needs a Statser.
// plugintest.TestStore checks all of this.
type Store interface {
	// Load yields all records.
	Load(ctx context.Context, yield func(Record) error) error
	// Apply makes changes, all or none.
	Apply(ctx context.Context, changes []Change) (revision uint64, err error)
}

// Record is one stored message with the revision of the change that put it.
type Record struct {
	Message  *Message
	Revision uint64
}

// ChangeOp is a kind of change.
type ChangeOp uint8

// The kinds of change.
const (
	Put ChangeOp = iota + 1
	Delete
	Clear
)

// Change is one change of the retained messages. Messages may have an empty
// payload; it is the broker that makes a Delete of a publication with one
// [MQTT-3.3.1-6].
type Change struct {
	Op       ChangeOp
	Topic    string   // of Put and Delete; "" for Clear
	Message  *Message // of Put
	Revision uint64
}

// Tombstone remembers the deletion of a topic's message, so that an older change
// does not bring it back.
type Tombstone struct {
	Topic    string
	Revision uint64
}

// Snapshotter is a companion of [Store] for moving to another store: it yields
// all records and all tombstones as of one revision, which it returns.
type Snapshotter interface {
	Snapshot(ctx context.Context, record func(Record) error, tombstone func(Tombstone) error) (revision uint64, err error)
}

// MessageLimiter is a companion of [Store] that tells how large a message may be:
// bytes of topic, payload and properties together; 0 is no limit. The broker
// refuses a larger one at once, and learns of another limit with the answer to
// the next Load or Apply. It is called from many goroutines and must not block.
type MessageLimiter interface {
	MaxMessageBytes() int
}

// Stats describes a store.
type Stats struct {
	Messages uint64            // stored now
	Bytes    uint64            // that the store occupies
	Revision uint64            // the highest it has seen, deletions included
	Details  map[string]string // anything else, for people
}

// Statser is a companion of [Store] that tells how full it is.
type Statser interface {
	Stats(ctx context.Context) (Stats, error)
}
