package store

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// place is where a message waits.
type place struct{ session, sequence uint64 }

// builder makes batches of changes. It belongs to the goroutine that writes.
type builder struct {
	refs    refs
	totals  totals
	flights flights
	retains retains

	skip    []bool        // changes that cancel one another
	queued  map[place]int // where a ChangeQueue is
	removed map[place]struct{}
	ended   map[uint64]int // where the ChangeEnd of a session is
	cleared map[uint64]struct{}

	key, value []byte
}

// newBuilder makes one that goes on from what was loaded.
func newBuilder(l *loader) *builder {
	return &builder{
		refs: newRefs(l.highest), totals: newTotals(l.large), flights: flights{sent: l.flights},
		queued: make(map[place]int), removed: make(map[place]struct{}),
		ended: make(map[uint64]int), cleared: make(map[uint64]struct{}),
	}
}

// build adds changes to a batch. db is read for what a session that ends leaves
// behind, and for how many queues a message is in.
func (w *builder) build(b *pebble.Batch, db *pebble.DB, changes []session.Change) error {
	w.refs.trim()
	w.flights.follow(changes)
	w.cancel(changes)
	for i := range changes {
		if w.skip[i] {
			continue
		}
		if err := w.add(b, db, &changes[i]); err != nil {
			return err
		}
	}
	if err := w.refs.flush(b); err != nil {
		return err
	}
	if err := w.flights.flush(b); err != nil {
		return err
	}
	if err := w.retains.flush(b); err != nil {
		return err
	}
	return w.totals.flush(b)
}

// survey finds what cancel has to know.
func (w *builder) survey(changes []session.Change) (cancels bool) {
	clear(w.queued)
	clear(w.removed)
	clear(w.ended)
	clear(w.cleared)
	queues, removes := false, false
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case session.ChangeQueue:
			queues = true
			w.totals.note(c)
		case session.ChangeRemove:
			removes = true
			w.totals.note(c)
		case session.ChangeClear:
			w.totals.note(c)
			w.cleared[c.Session] = struct{}{}
		case session.ChangeEnd:
			w.ended[c.Session] = i
			w.totals.forget(c.Session)
		}
	}
	return queues && removes || len(w.ended)+len(w.cleared) > 0
}

// cancel finds the messages that were queued and are done with before they were
// ever written, and those of sessions that end.
func (w *builder) cancel(changes []session.Change) {
	w.skip = append(w.skip[:0], make([]bool, len(changes))...)
	if !w.survey(changes) {
		return
	}
	for i := range changes {
		c := &changes[i]
		at := place{c.Session, c.Sequence}
		end, ends := w.ended[c.Session]
		switch {
		case ends && i < end && c.Kind == session.ChangeRemove:
			if _, here := w.queued[at]; !here {
				w.removed[at] = struct{}{} // add takes its reference away
				continue
			}
			w.skip[i] = true
		case ends && i < end && c.Kind == session.ChangeClear:
			w.skip[i] = true // the end does it
			changes[end].Shared = changes[end].Shared || c.Shared
		case ends && i < end:
			w.skip[i] = true
			if c.Kind == session.ChangeQueue {
				w.queued[at] = i
			}
		case c.Kind == session.ChangeQueue:
			w.queued[at] = i
		case c.Kind == session.ChangeRemove:
			if q, here := w.queued[at]; here {
				w.skip[q] = true
				w.skip[i] = c.Delivery.QoS != mqtt.ExactlyOnce
				changes[i].Delivery.Shared = 0 // no reference was counted
			} else if _, clears := w.cleared[c.Session]; clears {
				w.removed[at] = struct{}{}
			}
		}
	}
}

func (w *builder) add(b *pebble.Batch, db *pebble.DB, c *session.Change) error {
	switch c.Kind {
	case session.ChangeProfile:
		w.value = appendProfile(w.value[:0], c.Profile)
		return w.set(b, sessionKey(w.key[:0], c.Session, kindProfile))
	case session.ChangeEnd:
		return w.end(b, db, c)
	case session.ChangeClear:
		return w.clear(b, db, c)
	case session.ChangeSubscribe:
		w.value = appendSubscription(w.value[:0], c.Subscription)
		return w.set(b, append(sessionKey(w.key[:0], c.Session, kindSubscription), c.Subscription.Filter...))
	case session.ChangeUnsubscribe:
		return w.delete(b, append(sessionKey(w.key[:0], c.Session, kindSubscription), c.Subscription.Filter...))
	case session.ChangeQueue:
		return w.queue(b, db, c)
	case session.ChangeRemove:
		return w.remove(b, db, c)
	case session.ChangeSent:
		w.value = binary.AppendUvarint(w.value[:0], c.Sequence)
		return w.set(b, sessionKey(w.key[:0], c.Session, kindSent))
	case session.ChangeBind, session.ChangeRelease:
		w.value = append(binary.BigEndian.AppendUint16(w.value[:0], c.ID), 0)
		if c.Kind == session.ChangeRelease {
			w.value[2] = 1
		}
		return w.set(b, sequenceKey(w.key[:0], c.Session, kindBound, c.Sequence))
	case session.ChangeReceive:
		w.value = w.value[:0]
		return w.set(b, receivedKey(w.key[:0], c.Session, c.ID))
	case session.ChangeForget:
		return w.delete(b, receivedKey(w.key[:0], c.Session, c.ID))
	case session.ChangeRetain:
		return w.retains.add(b, c)
	default:
		return nil
	}
}

func (w *builder) set(b *pebble.Batch, key []byte) error {
	w.key = key
	return b.Set(key, w.value, nil)
}

func (w *builder) delete(b *pebble.Batch, key []byte) error {
	w.key = key
	return b.Delete(key, nil)
}

func (w *builder) queue(b *pebble.Batch, db *pebble.DB, c *session.Change) error {
	if n := c.Delivery.Shared; n != 0 {
		before, err := w.refs.add(db, n, 1)
		if err != nil {
			return err
		}
		if before == 0 {
			w.value = appendMessage(w.value[:0], c.Delivery.Message)
			if err := w.set(b, messageKey(w.key[:0], n)); err != nil {
				return err
			}
		}
	}
	w.value = appendDelivery(w.value[:0], &c.Delivery)
	return w.set(b, sequenceKey(w.key[:0], c.Session, kindQueue, c.Sequence))
}

func (w *builder) remove(b *pebble.Batch, db *pebble.DB, c *session.Change) error {
	if n := c.Delivery.Shared; n != 0 {
		if _, err := w.refs.add(db, n, -1); err != nil {
			return err
		}
	}
	if c.Delivery.QoS == mqtt.ExactlyOnce {
		if err := w.delete(b, sequenceKey(w.key[:0], c.Session, kindBound, c.Sequence)); err != nil {
			return err
		}
	}
	return w.delete(b, sequenceKey(w.key[:0], c.Session, kindQueue, c.Sequence))
}

// end removes all of a session.
func (w *builder) end(b *pebble.Batch, db *pebble.DB, c *session.Change) error {
	from, to := sessionRange(c.Session)
	if c.Shared {
		if err := w.unref(db, c.Session, 0, math.MaxUint64-1); err != nil {
			return err
		}
	}
	return b.DeleteRange(from, to, nil)
}

// clear removes a part of a queue.
func (w *builder) clear(b *pebble.Batch, db *pebble.DB, c *session.Change) error {
	if c.Shared {
		if err := w.unref(db, c.Session, c.Sequence, c.Until); err != nil {
			return err
		}
	}
	from, to := sequenceKey(nil, c.Session, kindQueue, c.Sequence), sequenceKey(nil, c.Session, kindQueue, c.Until+1)
	return b.DeleteRange(from, to, nil)
}

// unref takes away the references of a part of a queue that was written before
// this batch.
func (w *builder) unref(db *pebble.DB, number, from, to uint64) error {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: sequenceKey(nil, number, kindQueue, from), UpperBound: sequenceKey(nil, number, kindQueue, to+1),
	})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		_, _, rest, _ := sessionOf(it.Key())
		if len(rest) != 8 {
			continue
		}
		if _, gone := w.removed[place{number, binary.BigEndian.Uint64(rest)}]; gone {
			continue
		}
		r := reader{b: it.Value()}
		if d, _ := r.head(); !r.bad && d.Shared != 0 {
			_, err = w.refs.add(db, d.Shared, -1)
		}
	}
	if err = errors.Join(err, it.Close()); damaged(err) {
		return nil // what could not be read keeps its message
	}
	return err
}
