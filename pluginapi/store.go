package pluginapi

import "context"

// Store keeps retained messages. The broker owns the index by topic, so that a
// plain key-value backend needs no knowledge of wildcards.
//
// Load is called once at start, before anything else. Apply is called with one
// batch after the other, revisions ascending; it makes all changes or none and
// returns when they are as durable as the store promises. It must skip a
// change whose revision is not above the one that it holds for the topic, so
// that the same batch may come twice. It returns the highest revision stored.
type Store interface {
	Load(ctx context.Context, yield func(Record) error) error
	Apply(ctx context.Context, changes []Change) (revision uint64, err error)
}

// Record is one stored message.
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

// Change is one change of the retained messages.
type Change struct {
	Op       ChangeOp
	Topic    string   // of Put and Delete
	Message  *Message // of Put
	Revision uint64
}

// Tombstone remembers a deletion.
type Tombstone struct {
	Topic    string
	Revision uint64
}

// Snapshotter is a companion of [Store] for moving to another store: it yields
// all records and all tombstones as of one revision, which it returns.
type Snapshotter interface {
	Snapshot(ctx context.Context, record func(Record) error, tombstone func(Tombstone) error) (revision uint64, err error)
}

// Stats describes a store.
type Stats struct {
	Messages uint64
	Bytes    uint64
	Revision uint64
	Details  map[string]string
}

// Statser is a companion of [Store] that tells how full it is.
type Statser interface {
	Stats(ctx context.Context) (Stats, error)
}
