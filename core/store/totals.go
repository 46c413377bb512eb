package store

import (
	"encoding/binary"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// A session with more than that in its queue has a record of the totals, so that
// a start need not count.
const (
	totalsFromMessages = 64
	totalsFromBytes    = 64 << 10
)

// totals are those of sessions, as they are after a batch.
type totals struct {
	stored  map[uint64]struct{} // the sessions that have a record
	changed map[uint64]session.Totals
}

func newTotals(stored map[uint64]struct{}) totals {
	return totals{stored: stored, changed: make(map[uint64]session.Totals)}
}

func isLarge(t *session.Totals) bool {
	return t.Messages > totalsFromMessages || t.Bytes > totalsFromBytes
}

// note remembers the totals after a change, if they concern a record.
func (t *totals) note(c *session.Change) {
	if !isLarge(&c.Totals) {
		if len(t.stored) == 0 && len(t.changed) == 0 {
			return
		}
		_, stored := t.stored[c.Session]
		if _, changed := t.changed[c.Session]; !stored && !changed {
			return
		}
	}
	t.changed[c.Session] = c.Totals
}

// forget is for a session that has ended.
func (t *totals) forget(number uint64) {
	delete(t.stored, number)
	delete(t.changed, number)
}

// flush writes what has changed.
func (t *totals) flush(b *pebble.Batch) error {
	var key, value []byte
	for number, now := range t.changed {
		key = sessionKey(key[:0], number, kindTotals)
		if isLarge(&now) {
			value = appendTotals(value[:0], &now)
			if err := b.Set(key, value, nil); err != nil {
				return err
			}
			t.stored[number] = struct{}{}
		} else if _, stored := t.stored[number]; stored {
			if err := b.Delete(key, nil); err != nil {
				return err
			}
			delete(t.stored, number)
		}
	}
	clear(t.changed)
	return nil
}

func appendTotals(dst []byte, t *session.Totals) []byte {
	for _, n := range []int64{int64(t.Messages), int64(t.Bytes), int64(t.Shared), int64(t.Grouped), t.Soonest} {
		dst = binary.AppendUvarint(dst, uint64(max(0, n))) //nolint:gosec // not negative
	}
	return dst
}

func (r *reader) totals() (t session.Totals) {
	n := func() int64 { return int64(r.below(math.MaxInt64)) } //nolint:gosec // checked
	t.Messages, t.Bytes, t.Shared, t.Grouped = int(n()), int(n()), int(n()), int(n())
	t.Soonest = n()
	return t
}
