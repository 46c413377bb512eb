package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// What bounds the memory that is kept from one batch to the next: changes, and bytes
// of a batch.
const (
	keepChanges = 1 << 14
	keepRepr    = 1 << 20
)

// Run writes what the log gathers, until ctx ends; then it writes the rest and
// syncs. When writing fails it says so to the log ([session.Log.Failure]), opens
// the store anew until that works, writes the same again and goes on. The error is
// that of the rest which could not be written.
func (s *Store) Run(ctx context.Context) error {
	defer close(s.ended)
	if s.unwritten != nil {
		o := s.opening
		s.opening = nil
		if err := s.comeBack(ctx, o, nil); err != nil {
			return err
		}
	}
	var changes []session.Change
	var due <-chan time.Time   // of the sync that was put off
	var again <-chan time.Time // when those may try again who could not read
	for {
		ended := false
		select {
		case <-s.log.Ready():
		case <-due:
			due = nil
			if err := s.files.sync(); err != nil {
				if err := s.reopen(ctx, err, nil); err != nil {
					return err
				}
			}
			continue
		case <-s.unread:
			if again == nil {
				again = time.After(s.options.RetryEvery)
			}
			continue
		case <-again:
			again = nil
			s.log.Readable()
			continue
		case <-ctx.Done():
			ended = true
		}
		var putOff bool
		var err error
		if changes, putOff, err = s.round(ctx, changes[:0], ended); err != nil {
			if !ended {
				s.fail(err) // for good: what it changes can't be known
			}
			return err
		}
		if putOff && due == nil {
			due = time.After(s.options.SyncEvery)
		}
		if ended {
			return s.files.sync()
		}
	}
}

// round takes what was gathered, writes and commits it, and reports whether its
// sync was put off. last says that it is not to be.
func (s *Store) round(ctx context.Context, changes []session.Change, last bool) (_ []session.Change, putOff bool, err error) {
	changes, upTo := s.log.Take(changes)
	if upTo == 0 {
		return changes, false, nil
	}
	putOff, err = s.write(ctx, changes, last)
	if err != nil {
		return nil, false, err
	}
	s.written(changes)
	s.log.Commit(upTo)
	clear(changes)
	if cap(changes) > keepChanges {
		changes = nil
	}
	return changes, putOff, nil
}

// write commits changes as one batch, and reports whether their sync was put off.
func (s *Store) write(ctx context.Context, changes []session.Change, last bool) (putOff bool, err error) {
	sync := last
	for i := range changes {
		sync = sync || changes[i].Sync
		putOff = putOff || !changes[i].Lax
	}
	b := s.NewBatch()
	defer func() { _ = b.Close() }()
	if err := s.build.build(b, s.DB, changes); err != nil {
		return false, fmt.Errorf("the store can't be read: %w", err)
	}
	if b.Empty() {
		return false, nil
	}
	repr := append(s.repr[:0], b.Repr()...)
	s.counts.batch(len(changes))
	if err := s.commit(b, sync); err != nil {
		if err := s.reopen(ctx, err, repr); err != nil {
			return false, err
		}
		return false, nil
	}
	if s.repr = repr; cap(repr) > keepRepr {
		s.repr = nil
	}
	return putOff && !sync, nil
}

// commit writes a batch to the write-ahead log, which is synced if that is asked
// for.
func (d *database) commit(b *pebble.Batch, sync bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: %v", r)
		}
	}()
	d.files.relaxed.Store(!sync)
	err = d.Apply(b, pebble.Sync)
	return errors.Join(err, d.failure())
}

// again commits a batch that may have been committed in part.
func (s *Store) again(repr []byte) error {
	b := s.NewBatch()
	defer func() { _ = b.Close() }()
	if repr == nil {
		// Something has to be written to know that it can be.
		if err := b.Set(formatKey(), []byte{format}, nil); err != nil {
			return err
		}
	} else if err := b.SetRepr(repr); err != nil {
		return err
	}
	return s.commit(b, true)
}
