package store

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// place is where a message waits.
type place struct{ session, sequence uint64 }

// builder makes batches of changes. It belongs to the goroutine that writes.
type builder struct {
	refs map[uint64]int // queues that a shared message is in; never 0

	skip    []bool        // changes that cancel one another
	queued  map[place]int // where a ChangeQueue is
	removed map[place]struct{}
	ended   map[uint64]int // where the ChangeEnd of a session is

	key, value []byte
}

func newBuilder() *builder {
	return &builder{
		refs: make(map[uint64]int), queued: make(map[place]int), removed: make(map[place]struct{}), ended: make(map[uint64]int),
	}
}

// build adds changes to a batch. db is read for what a session that ends leaves
// behind.
func (w *builder) build(b *pebble.Batch, db *pebble.DB, changes []session.Change) error {
	w.cancel(changes)
	for i := range changes {
		if w.skip[i] {
			continue
		}
		if err := w.add(b, db, &changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// cancel finds the messages that were queued and are done with before they were
// ever written, and those of sessions that end.
func (w *builder) cancel(changes []session.Change) {
	w.skip = append(w.skip[:0], make([]bool, len(changes))...)
	clear(w.queued)
	clear(w.removed)
	clear(w.ended)
	queues, removes := false, false
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case session.ChangeQueue:
			queues = true
		case session.ChangeRemove:
			removes = true
		case session.ChangeEnd:
			w.ended[c.Session] = i
		}
	}
	if !(queues && removes) && len(w.ended) == 0 {
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
		return w.end(b, db, c.Session)
	case session.ChangeSubscribe:
		w.value = appendSubscription(w.value[:0], c.Subscription)
		return w.set(b, append(sessionKey(w.key[:0], c.Session, kindSubscription), c.Subscription.Filter...))
	case session.ChangeUnsubscribe:
		return w.delete(b, append(sessionKey(w.key[:0], c.Session, kindSubscription), c.Subscription.Filter...))
	case session.ChangeQueue:
		return w.queue(b, c)
	case session.ChangeRemove:
		return w.remove(b, c)
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

func (w *builder) queue(b *pebble.Batch, c *session.Change) error {
	if n := c.Delivery.Shared; n != 0 {
		if w.refs[n] == 0 {
			w.value = appendMessage(w.value[:0], c.Delivery.Message)
			if err := w.set(b, messageKey(w.key[:0], n)); err != nil {
				return err
			}
		}
		w.refs[n]++
	}
	w.value = appendDelivery(w.value[:0], &c.Delivery)
	return w.set(b, sequenceKey(w.key[:0], c.Session, kindQueue, c.Sequence))
}

func (w *builder) remove(b *pebble.Batch, c *session.Change) error {
	if err := w.unref(b, c.Delivery.Shared); err != nil {
		return err
	}
	if c.Delivery.QoS == mqtt.ExactlyOnce {
		if err := w.delete(b, sequenceKey(w.key[:0], c.Session, kindBound, c.Sequence)); err != nil {
			return err
		}
	}
	return w.delete(b, sequenceKey(w.key[:0], c.Session, kindQueue, c.Sequence))
}

// unref takes a reference to a shared message away, and the message with the last
// one.
func (w *builder) unref(b *pebble.Batch, number uint64) error {
	if number == 0 || w.refs[number] == 0 {
		return nil
	}
	if w.refs[number]--; w.refs[number] > 0 {
		return nil
	}
	delete(w.refs, number)
	return w.delete(b, messageKey(w.key[:0], number))
}

// end removes all of a session. What it has queued before this batch is in db.
func (w *builder) end(b *pebble.Batch, db *pebble.DB, number uint64) error {
	from, to := sessionRange(number)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: sessionKey(nil, number, kindQueue), UpperBound: to})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		_, _, rest, _ := sessionOf(it.Key())
		if len(rest) != 8 {
			continue
		}
		if _, gone := w.removed[place{number, binary.BigEndian.Uint64(rest)}]; gone {
			continue
		}
		r := reader{b: it.Value()}
		if d, _ := r.head(); !r.bad {
			if err := w.unref(b, d.Shared); err != nil {
				_ = it.Close()
				return err
			}
		}
	}
	if err := it.Close(); err != nil {
		return err
	}
	return b.DeleteRange(from, to, nil)
}
