package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// keepChanges bounds the memory that is kept from one batch to the next.
const keepChanges = 1 << 14

// Run writes what the log gathers, until ctx ends; then it writes the rest and
// syncs. When writing fails it says so to the log ([session.Log.Failure]), opens
// the store anew until that works, writes the same again and goes on. The error is
// that of the rest which could not be written.
func (s *Store) Run(ctx context.Context) error {
	var changes []session.Change
	var due <-chan time.Time // of the sync that was put off
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
		case <-ctx.Done():
			ended = true
		}
		var putOff bool
		var err error
		if changes, putOff, err = s.round(ctx, changes[:0], ended); err != nil {
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
	if putOff, err = s.write(ctx, changes, last); err != nil {
		return nil, false, err
	}
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
	repr := append([]byte(nil), b.Repr()...)
	if err := s.commit(b, sync); err != nil {
		if err := s.reopen(ctx, err, repr); err != nil {
			return false, err
		}
		return false, nil
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

// reopen opens the store again after a failure, for nobody knows what a file holds
// after a write or a sync of it has failed, and commits the batch that could not
// be written. It returns an error only when ctx ends before that works.
func (s *Store) reopen(ctx context.Context, cause error, repr []byte) error {
	s.log.Fail(cause)
	s.options.Logger.Error("sessions can't be written: what needs it is refused until they can",
		slog.String("folder", s.dir), slog.Any("error", cause))
	for {
		s.retire()
		select {
		case <-time.After(s.options.RetryEvery):
		case <-ctx.Done():
			return fmt.Errorf("sessions could not be written: %w", cause)
		}
		db, err := openDatabase(s.disk, s.dir, s.options.Logger)
		if err == nil {
			s.database = db
			if err = s.again(repr); err == nil {
				break
			}
		} else if db.DB != nil {
			db.retire()
		}
		s.options.Logger.Debug("sessions still can't be written", slog.Any("error", err))
		cause = err
	}
	s.log.Fail(nil)
	s.options.Logger.Info("sessions are written again", slog.String("folder", s.dir))
	return nil
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
