package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// each shows all records whose keys begin with a byte.
func each(db *pebble.DB, first byte, f func(key, value []byte) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{first}, UpperBound: []byte{first + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		v, e := it.ValueAndErr()
		if e == nil {
			e = f(it.Key(), v)
		}
		if e != nil {
			err = fmt.Errorf("record %x: %w", it.Key(), e)
		}
	}
	return errors.Join(err, it.Close())
}

// countRefs reads all queues for how often each shared message is referred to.
func countRefs(db *pebble.DB) (map[uint64]int, error) {
	counts := make(map[uint64]int)
	err := each(db, keySession, func(key, value []byte) error {
		if _, kind, _, ok := sessionOf(key); !ok || kind != kindQueue {
			return nil
		}
		r := reader{b: value}
		if d, _ := r.head(); d.Shared != 0 {
			counts[d.Shared]++
		}
		if r.bad {
			return errValue
		}
		return nil
	})
	return counts, err
}

// upgradeBatch is the size of the batches of an upgrade.
const upgradeBatch = 1 << 20

// upgrade writes down what format 1 did not have: how many queues the shared
// messages are in. It may be cut short at any moment and begin again.
func upgrade(db *pebble.DB) error {
	counts, err := countRefs(db)
	if err != nil {
		return err
	}
	w := refs{counts: counts, dirty: make(map[uint64]struct{})}
	for number := range counts {
		w.dirty[number] = struct{}{}
	}
	err = each(db, keyMessage, func(key, _ []byte) error {
		if len(key) != 9 {
			return errValue
		}
		w.dirty[binary.BigEndian.Uint64(key[1:])] = struct{}{} // flush removes those that nobody refers to
		return nil
	})
	if err != nil {
		return err
	}
	for len(w.dirty) > 0 {
		b := db.NewBatch()
		part := refs{counts: counts, dirty: make(map[uint64]struct{})}
		for number := range w.dirty {
			if part.dirty[number] = struct{}{}; len(part.dirty) > upgradeBatch/64 {
				break
			}
		}
		for number := range part.dirty {
			delete(w.dirty, number)
		}
		if err := errors.Join(part.flush(b), b.Commit(pebble.NoSync), b.Close()); err != nil {
			return err
		}
	}
	return db.Set(formatKey(), binary.AppendUvarint(nil, format), pebble.Sync)
}

// verify reads everything and compares what is counted in the store with what is
// there.
func verify(db *pebble.DB, l *loader) (r Report, err error) {
	counts, err := countRefs(db)
	if err != nil {
		return r, err
	}
	for _, st := range l.sessions {
		r.Sessions++
		r.Subscriptions += len(st.Subscriptions)
		var found session.Totals
		if err := eachQueued(db, st.Number, 0, func(m *session.Stored) { found.Add(&m.Delivery) }); err != nil {
			return r, err
		}
		r.Messages += found.Messages
		found.Soonest = st.Totals.Soonest // that of messages that are gone may be sooner
		if found != st.Totals {
			return r, fmt.Errorf("session %d has %+v, and it says %+v: %w", st.Number, found, st.Totals, errValue)
		}
	}
	err = each(db, keyMessage, func(key, _ []byte) error {
		if len(key) != 9 {
			return errValue
		}
		number := binary.BigEndian.Uint64(key[1:])
		n, err := storedRefs(db, number)
		switch {
		case err != nil:
			return err
		case counts[number] == 0:
			r.Unused++
		case n != counts[number]:
			return fmt.Errorf("%d queues have it, and it says %d: %w", counts[number], n, errValue)
		default:
			r.Shared++
		}
		return nil
	})
	return r, err
}
