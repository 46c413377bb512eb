package bucket

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Load yields all messages. It may be called at any time; see [Store.Snapshot].
func (s *Store) Load(ctx context.Context, yield func(pluginapi.Record) error) error {
	_, err := s.Snapshot(ctx, yield, nil)
	return err
}

// Snapshot yields all messages and, unless tombstone is nil, all deletions that
// are remembered, each key once. Everything up to the revision that it returns
// is in it. Changes go on meanwhile, and a key that is changed before its turn
// comes with the newer revision. What can't be read is left out and logged. The
// error is that of a callback, of ctx, or of reading.
func (s *Store) Snapshot(ctx context.Context, record func(pluginapi.Record) error,
	tombstone func(pluginapi.Tombstone) error,
) (uint64, error) {
	left, from, revision, err := s.begin(ctx)
	if err != nil || len(left) == 0 {
		return revision, err
	}
	unreadable := 0
	err = s.conn.read(ctx, from, false, func(m *stored) error {
		if _, ok := left[m.key]; !ok {
			return nil // it is new, or had its turn
		}
		v, payload, err := decodeValue(m.key, m.data)
		if err != nil {
			unreadable++
			s.log.Error("a key of the bucket can't be read and is left out", slog.String("key", m.key), slog.Any("error", err))
			return nil
		}
		delete(left, m.key)
		switch {
		case !m.deleted():
			return record(pluginapi.Record{Message: v.Message(v.Topic, payload), Revision: v.Rev})
		case tombstone != nil:
			return tombstone(pluginapi.Tombstone{Topic: v.Topic, Revision: v.Rev})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if unreadable > 0 {
		s.status.unreadable(unreadable)
	}
	return revision, nil
}

// begin returns the keys to be read, where in the stream they begin, and the
// revision of which that is true.
func (s *Store) begin(ctx context.Context) (keys map[string]struct{}, from, revision uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, 0, 0, errClosed
	}
	if s.suspect {
		if err := s.catchUp(ctx); err != nil {
			return nil, 0, 0, fmt.Errorf("bucket %s: %w", s.config.Bucket, err)
		}
	}
	keys = make(map[string]struct{}, len(s.index.keys))
	for key := range s.index.keys {
		keys[key] = struct{}{}
	}
	return keys, s.index.head.FloorSequence, s.index.revision, nil
}
