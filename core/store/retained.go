package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// errEnded says that nothing is written any more.
var errEnded = errors.New("the store has ended")

// Retained keeps retained messages in the store of sessions: one sync serves both.
// It is a [retain.Recorder]: their changes are in the log of the sessions, so that a
// message and the queues that it goes into are written together if they are a group
// there.
type Retained struct{ store *Store }

// Retained returns the retained messages of the store. What is applied to them is
// written by [Store.Run].
func (s *Store) Retained() *Retained { return &Retained{s} }

// Ready returns why nothing can be written at present; nil if it can be.
func (r *Retained) Ready() error { return r.store.log.Failure() }

// Stored returns how many messages there were when the store was opened.
func (r *Retained) Stored() int { return r.store.retained }

// Load implements [retain.Store]. It may be called while changes are applied.
func (r *Retained) Load(ctx context.Context) iter.Seq2[retain.Record, error] {
	return func(yield func(retain.Record, error) bool) {
		r.store.mu.Lock()
		db := r.store.database
		db.readers.RLock()
		r.store.mu.Unlock()
		defer db.readers.RUnlock()
		for record, err := range db.retained() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(retain.Record{}, err)
				return
			}
			r.store.revision.Store(max(record.Revision, r.store.revision.Load()))
			if !yield(record, nil) {
				return
			}
		}
	}
}

// Apply implements [retain.Store]: it returns when the changes, which are written
// together, are as durable as they ask for. While nothing can be written it waits
// for that.
func (r *Retained) Apply(ctx context.Context, changes []retain.Change) error {
	if len(changes) == 0 {
		return nil
	}
	log := r.store.log
	group := log.Begin()
	for i := range changes {
		r.Record(changes[i])
	}
	log.Finish(group)
	return r.Recorded(ctx)
}

// Record implements [retain.Recorder]: the change is one of the log.
func (r *Retained) Record(c retain.Change) {
	switch c.Op {
	case retain.Put:
	case retain.Delete:
		c.Message = &mqtt.Message{Topic: c.Topic}
	default:
		c.Message = nil
	}
	r.store.retaining.Add(1)
	r.store.log.Retain(c.Message, c.Revision, session.Durability(c.Durability))
}

// Recorded implements [retain.Recorder].
func (r *Retained) Recorded(ctx context.Context) error {
	log := r.store.log
	position := log.End()
	if log.Done() >= position {
		return nil
	}
	written := make(chan struct{})
	log.After(position, func() { close(written) })
	select {
	case <-written:
		return nil
	case <-r.store.ended:
		if log.Done() >= position {
			return nil
		}
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

func retainedKey(dst []byte, topic string) []byte { return append(append(dst, keyRetained), topic...) }

// RetainedStats are the numbers of the retained messages in a store.
type RetainedStats struct {
	Pending  uint64 // changes that are not written yet
	Revision uint64 // of the last one that is; 0 before the messages are loaded
	Bytes    uint64 // that they occupy on the disk, about, without what was written last
}

func (s *Store) retainedStats() RetainedStats {
	s.mu.Lock()
	db := s.database
	s.mu.Unlock()
	return RetainedStats{
		Pending: uint64(max(0, s.retaining.Load())), Revision: s.revision.Load(), Bytes: db.retainedBytes(), //nolint:gosec // not negative
	}
}

func (d *database) retainedBytes() (bytes uint64) {
	if d == nil {
		return 0
	}
	d.readers.RLock()
	defer d.readers.RUnlock()
	if d.closed || d.DB == nil {
		return 0
	}
	defer func() { _ = recover() }() // of one that was given up
	bytes, err := d.EstimateDiskUsage([]byte{keyRetained}, []byte{keyRetained + 1})
	if err != nil {
		return 0
	}
	return bytes
}

// written counts what a batch has had of retained messages, and of queues that no
// longer stand still.
func (s *Store) written(changes []session.Change) {
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case session.ChangeRetain:
			s.retaining.Add(-1)
			s.revision.Store(c.Sequence)
		case session.ChangeClear, session.ChangeEnd:
			s.unreadable.note(c.Session, nil)
		}
	}
}

// retains are the changes of retained messages in a batch.
type retains struct {
	revision uint64 // of the last one; 0 if there is none

	key, value []byte
}

// add adds a change to a batch.
func (w *retains) add(b *pebble.Batch, c *session.Change) error {
	w.revision = c.Sequence
	m := c.Delivery.Message
	if m == nil {
		return b.DeleteRange([]byte{keyRetained}, []byte{keyRetained + 1}, nil)
	}
	w.key = retainedKey(w.key[:0], m.Topic)
	if len(m.Payload) == 0 {
		return b.Delete(w.key, nil)
	}
	w.value = appendMessage(binary.AppendUvarint(w.value[:0], c.Sequence), m)
	return b.Set(w.key, w.value, nil)
}

// flush writes the revision.
func (w *retains) flush(b *pebble.Batch) error {
	if w.revision == 0 {
		return nil
	}
	revision := binary.AppendUvarint(nil, w.revision)
	w.revision = 0
	return b.Set([]byte{keyRevision}, revision, nil)
}

// replace has another database take the place of one that was given up.
func (s *Store) replace(db *database) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.database = db
}

// retained yields the revision of the last change, without a message, and all
// messages.
func (d *database) retained() iter.Seq2[retain.Record, error] {
	return func(yield func(retain.Record, error) bool) {
		it, err := d.NewIter(&pebble.IterOptions{LowerBound: []byte{keyRevision}, UpperBound: []byte{keyRetained + 1}})
		if err != nil {
			yield(retain.Record{}, err)
			return
		}
		for it.First(); it.Valid(); it.Next() {
			record, err := retainedRecord(it)
			if !yield(record, err) || err != nil {
				_ = it.Close()
				return
			}
		}
		if err := it.Close(); err != nil {
			yield(retain.Record{}, err)
		}
	}
}

// retainedRecord reads what an iterator is at.
func retainedRecord(it *pebble.Iterator) (record retain.Record, err error) {
	key := it.Key()
	value, err := it.ValueAndErr()
	r := reader{b: value}
	if err == nil {
		record.Revision = r.number()
		if key[0] == keyRetained {
			record.Message = r.message()
		}
		err = r.end()
	}
	if err == nil && record.Message != nil && record.Message.Topic != string(key[1:]) {
		err = errValue
	}
	if err != nil {
		return retain.Record{}, fmt.Errorf("record %x: %w", key, err)
	}
	return record, nil
}

// checkRetained reads all retained messages and returns how many there are.
func checkRetained(d *database) (messages int, err error) {
	for record, err := range d.retained() {
		if err != nil {
			return 0, err
		}
		if record.Message != nil {
			messages++
		}
	}
	return messages, nil
}
