package bucket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Options are the choices that a store is opened with.
type Options struct {
	// Config is the plugin's configuration, checked.
	Config Config
	// Instance is the name under which the plugin runs, for people.
	Instance string
	// Logger is told when the server goes and comes. Nil means no log.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Errors of a store.
var (
	errClosed = errors.New("store is closed")
	errTaken  = errors.New("another writer has taken the bucket over")
)

// Store is a bucket and an index of its keys in memory. All methods may be
// called from many goroutines at once; changes take turns.
type Store struct {
	config Config
	log    *slog.Logger
	now    func() time.Time
	writer string // who this store is, in the head
	status status
	conn   *connection

	mu    sync.Mutex // guards the fields below, and is held while changes are written
	index *index
	// suspect says that what the bucket holds is not known, after an answer
	// that did not come: it is read before the next change.
	suspect bool
	// unpurged says that the bucket holds what was cleared.
	unpurged bool
	closed   bool
}

// Open connects, reads what the keys' revisions are and takes the bucket over.
// The error says what to do about it. It leaves nothing running but the
// connection, until Close.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{config: o.Config, log: o.Logger, now: o.Now, index: newIndex(), writer: nuid.Next()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if host, err := os.Hostname(); err == nil {
		s.writer = fmt.Sprintf("%s on %s (%s)", o.Instance, host, s.writer)
	}
	var err error
	if s.conn, err = connect(ctx, &s.config, o.Instance, &s.status, s.log); err != nil {
		return nil, err
	}
	s.status.began(s.conn.nc.ConnectedUrlRedacted())
	if err := s.open(ctx); err != nil {
		s.conn.nc.Close()
		return nil, fmt.Errorf("bucket %s: %w", s.config.Bucket, err)
	}
	return s, nil
}

// open reads the bucket and takes it over.
func (s *Store) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		err := s.takeOver(ctx)
		if err == nil || !errors.Is(err, errOvertaken) {
			return err
		}
	}
}

// takeOver makes this store the writer. The caller holds mu.
func (s *Store) takeOver(ctx context.Context) error {
	h := s.index.head
	h.Format, h.Schema, h.Revision = formatName, schemaVersion, s.index.revision
	h.Writer, h.Since = s.writer, s.now().UTC()
	m, err := headMessage(h, s.conn.subject)
	if err != nil {
		return err
	}
	last, err := s.conn.publish(ctx, []*nats.Msg{m}, s.index.last)
	if err != nil {
		return err
	}
	s.index.last = last
	s.index.setHead(h)
	s.status.numbers(s.index)
	return s.purge(ctx)
}

// catchUp takes over what the bucket holds and the index does not know. The
// caller holds mu.
func (s *Store) catchUp(ctx context.Context) error {
	info, err := s.conn.info(ctx)
	if err != nil {
		return err
	}
	last := max(s.index.last, info.State.LastSeq)
	foreign := 0
	err = s.conn.read(ctx, s.index.last+1, true, func(m *stored) error {
		last = max(last, m.sequence)
		if m.key == headKey {
			return nil
		}
		revision, ok := revisionOf(m.header)
		if !ok {
			foreign++
			return nil
		}
		e := entry{rev: revision}
		if m.deleted() {
			e.forgotten = s.forgotten(m.time)
		}
		s.index.record(m.key, e)
		return nil
	})
	if err != nil {
		return err
	}
	h, found, err := s.conn.head(ctx)
	if err != nil {
		return err
	}
	if found {
		s.index.setHead(h)
	}
	s.index.last = last
	s.unpurged = info.State.FirstSeq < s.index.head.FloorSequence
	s.suspect = false
	if foreign > 0 {
		s.status.foreign(s.log, foreign)
	}
	s.status.numbers(s.index)
	return nil
}

// forgotten is when the server forgets a deletion of that time.
func (s *Store) forgotten(deleted time.Time) time.Time {
	if s.config.RememberDeletions == 0 {
		return never
	}
	return deleted.Add(s.config.RememberDeletions)
}

// purge has the server remove what was cleared. That it could not is no
// failure: what was cleared does not count. The caller holds mu.
func (s *Store) purge(ctx context.Context) error {
	if !s.unpurged {
		return nil
	}
	if err := s.conn.purge(ctx, s.index.head.FloorSequence); err != nil {
		s.log.Debug("what was cleared is not yet removed", slog.Any("error", err))
		return nil
	}
	s.unpurged = false
	return nil
}

// MaxMessageBytes is how large a message may be: topic, payload and properties,
// with room for how they are written. It changes with the server.
func (s *Store) MaxMessageBytes() int {
	return max(1, s.conn.largest(&s.config)-overhead-recordOverhead)
}

// recordOverhead is room for what is written of a message beside its topic,
// payload and properties.
const recordOverhead = 512

// Close closes the connection. Everything that was acknowledged is at the
// server. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.status.closing()
	s.conn.nc.Close()
	return nil
}

// Stats tells how full the bucket is. While the server is away the bytes are
// those that it told last.
func (s *Store) Stats(ctx context.Context) (pluginapi.Stats, error) {
	if info, err := s.conn.info(ctx); err == nil {
		s.status.measured(info.State.Bytes)
	}
	return s.Numbers().stats(&s.config), ctx.Err()
}
