package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// refsInMemory bounds the counts that are kept in memory.
const refsInMemory = 1 << 17

// refs counts the queues that each shared message is in. The counts are on disk,
// written with what changes them; those of late are in memory too.
type refs struct {
	counts map[uint64]int
	dirty  map[uint64]struct{} // to be written with the batch
	newest uint64              // the highest number that was ever counted
	above  uint64              // what is above and not in counts is not on disk
}

func newRefs(highest uint64) refs {
	return refs{counts: make(map[uint64]int), dirty: make(map[uint64]struct{}), newest: highest, above: highest}
}

// trim lets go of memory. Called between batches.
func (r *refs) trim() {
	if len(r.counts) > refsInMemory {
		r.counts, r.above = make(map[uint64]int), r.newest
	}
}

func (r *refs) get(db *pebble.DB, number uint64) (int, error) {
	if n, ok := r.counts[number]; ok || number > r.above {
		return n, nil
	}
	return storedRefs(db, number)
}

// countless is the count of a message whose count can't be read: it stays.
const countless = 1 << 30

// add changes a count and returns what it was before. A count on a damaged part of
// the disk holds up nothing: its message is written again, and never removed.
func (r *refs) add(db *pebble.DB, number uint64, change int) (before int, err error) {
	before, err = r.get(db, number)
	if damaged(err) {
		r.counts[number] = countless
		r.dirty[number] = struct{}{}
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r.counts[number] = max(0, before+change)
	r.dirty[number] = struct{}{}
	r.newest = max(r.newest, number)
	return before, nil
}

// flush writes what has changed. A message that is in no queue goes.
func (r *refs) flush(b *pebble.Batch) error {
	var key, value []byte
	for number := range r.dirty {
		n := r.counts[number]
		key = refsKey(key[:0], number)
		if n > 0 {
			value = binary.AppendUvarint(value[:0], uint64(n))
			if err := b.Set(key, value, nil); err != nil {
				return err
			}
			continue
		}
		if err := b.Delete(key, nil); err != nil {
			return err
		}
		if err := b.Delete(messageKey(key[:0], number), nil); err != nil {
			return err
		}
		// It stays in memory as zero until the next trim: the disk may have it still.
	}
	clear(r.dirty)
	return nil
}

// damaged reports whether an error is about what is on the disk.
func damaged(err error) bool { return pebble.IsCorruptionError(err) || errors.Is(err, errValue) }

// storedRefs reads a count.
func storedRefs(db *pebble.DB, number uint64) (int, error) {
	value, closer, err := db.Get(refsKey(nil, number))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = closer.Close() }()
	r := reader{b: value}
	n := r.below(1 << 32)
	return int(n), r.end() //nolint:gosec // checked
}

// sharedMessage reads a message.
func sharedMessage(db *pebble.DB, number uint64) (*mqtt.Message, error) {
	value, closer, err := db.Get(messageKey(nil, number))
	if err != nil {
		return nil, fmt.Errorf("message %d: %w", number, err)
	}
	defer func() { _ = closer.Close() }()
	r := reader{b: value}
	m := r.message()
	return m, r.end()
}
