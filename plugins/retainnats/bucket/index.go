package bucket

import "time"

// entry is what is known of a key.
type entry struct {
	rev uint64
	// forgotten is when the server forgets that the key was deleted; zero if
	// the key holds a message.
	forgotten time.Time
}

func (e entry) deleted() bool { return !e.forgotten.IsZero() }

// index knows the revision of every key. It is what the stream says when its
// messages are read in order.
type index struct {
	keys     map[string]entry
	head     head
	revision uint64 // highest seen
	last     uint64 // sequence up to which the stream was taken over

	messages   int
	tombstones int
	sweepAt    int // at how many tombstones to look for those to be forgotten
}

// sweepMin is the least number of tombstones that are looked through.
const sweepMin = 1024

// never is when a tombstone is forgotten that is kept for ever.
var never = time.Unix(1<<60, 0)

func newIndex() *index { return &index{keys: make(map[string]entry), sweepAt: sweepMin} }

// stale reports whether a change of a key is already known, or was overtaken.
func (x *index) stale(key string, rev uint64) bool {
	if e, ok := x.keys[key]; ok {
		return rev <= e.rev
	}
	return rev <= x.head.Floor
}

// record takes note of what a key holds at a sequence of the stream.
func (x *index) record(key string, e entry) {
	x.revision = max(x.revision, e.rev)
	if old, ok := x.keys[key]; ok {
		x.uncount(old)
	}
	x.keys[key] = e
	if e.deleted() {
		x.tombstones++
	} else {
		x.messages++
	}
}

func (x *index) uncount(e entry) {
	if e.deleted() {
		x.tombstones--
	} else {
		x.messages--
	}
}

// setHead takes over a head, and forgets what it clears.
func (x *index) setHead(h head) {
	x.revision = max(x.revision, h.Revision)
	if h.Floor > x.head.Floor {
		for key, e := range x.keys {
			if e.rev <= h.Floor {
				x.uncount(e)
				delete(x.keys, key)
			}
		}
	}
	x.head = h
}

// sweep forgets the deletions that the server has forgotten, now and then.
func (x *index) sweep(now time.Time) {
	if x.tombstones < x.sweepAt {
		return
	}
	for key, e := range x.keys {
		if e.deleted() && now.After(e.forgotten) {
			x.uncount(e)
			delete(x.keys, key)
		}
	}
	x.sweepAt = max(sweepMin, 2*x.tombstones)
}
