package logfile

import (
	"cmp"
	"slices"
)

// entry is where the newest line about a topic is.
type entry struct {
	rev     uint64
	off     int64
	size    int64 // with the newline
	deleted bool  // a tombstone
}

// index knows the newest line about every topic. It is what a file says when
// its lines are read in order.
type index struct {
	entries  map[string]*entry
	revision uint64 // highest seen
	// floor is the revision of the last clear: a tombstone for every topic
	// that has no entry.
	floor uint64

	messages   int
	tombstones int
	live       int64 // bytes of the lines that hold messages

	// watched says that new entries are noted in fresh and clears are counted,
	// for a compaction that goes on meanwhile.
	watched bool
	fresh   []*entry
	clears  int
}

func newIndex() *index { return &index{entries: make(map[string]*entry)} }

// stale reports whether a change of topic is already known, or was overtaken.
func (x *index) stale(topic string, rev uint64) bool {
	if e, ok := x.entries[topic]; ok {
		return rev <= e.rev
	}
	return rev <= x.floor
}

// record takes note of a line.
func (x *index) record(k *key, off, size int64) {
	x.revision = max(x.revision, k.Rev)
	if k.Op == opClear {
		x.clear(k.Rev)
		return
	}
	e, ok := x.entries[k.Topic]
	switch {
	case !ok:
		e = new(entry)
		x.entries[k.Topic] = e
		if x.watched {
			x.fresh = append(x.fresh, e)
		}
	case k.Rev <= e.rev:
		return
	default:
		x.forget(e)
	}
	*e = entry{rev: k.Rev, off: off, size: size, deleted: k.Op == opDelete}
	x.count(e)
}

func (x *index) count(e *entry) {
	if e.deleted {
		x.tombstones++
		return
	}
	x.messages++
	x.live += e.size
}

func (x *index) forget(e *entry) {
	if e.deleted {
		x.tombstones--
		return
	}
	x.messages--
	x.live -= e.size
}

// clear drops everything up to rev.
func (x *index) clear(rev uint64) {
	x.floor = max(x.floor, rev)
	if rev >= x.revision {
		x.entries = make(map[string]*entry)
		x.fresh = nil
		x.clears++
		x.messages, x.tombstones, x.live = 0, 0, 0
		return
	}
	for topic, e := range x.entries {
		if e.rev <= rev {
			x.remove(topic, e)
		}
	}
}

// remove forgets all about a topic.
func (x *index) remove(topic string, e *entry) {
	x.forget(e)
	delete(x.entries, topic)
	e.off = nowhere
}

// nowhere is the offset of an entry that is no longer in the index.
const nowhere = -1

// spot is an entry as it was at one moment.
type spot struct {
	entry *entry
	off   int64
	size  int64
	topic string // of a tombstone only
}

// spots returns all entries in no order; sortSpots puts them into that of the
// file, in which they are read fastest.
func (x *index) spots() (messages, tombstones []spot) {
	messages = make([]spot, 0, x.messages)
	tombstones = make([]spot, 0, x.tombstones)
	for topic, e := range x.entries {
		if e.deleted {
			tombstones = append(tombstones, spot{entry: e, off: e.off, size: e.size, topic: topic})
		} else {
			messages = append(messages, spot{entry: e, off: e.off, size: e.size})
		}
	}
	return messages, tombstones
}

func sortSpots(spots []spot) {
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(a.off, b.off) })
}
