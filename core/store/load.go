package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// loader reads everything once, at the start: the sessions, and how often each
// shared message is referred to.
type loader struct {
	db       *pebble.DB
	refs     map[uint64]int
	shared   map[uint64]*mqtt.Message // read so far
	sessions []*session.State
	highest  uint64 // number that was given out

	messages int      // waiting, in all sessions
	orphans  []uint64 // shared messages that nobody refers to
}

func load(db *pebble.DB) (*loader, error) {
	l := &loader{db: db, refs: make(map[uint64]int), shared: make(map[uint64]*mqtt.Message)}
	if err := l.readSessions(); err != nil {
		return nil, err
	}
	if err := l.readMessages(); err != nil {
		return nil, err
	}
	l.shared = nil
	return l, nil
}

func (l *loader) each(first byte, f func(key, value []byte) error) error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{first}, UpperBound: []byte{first + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		v, err := it.ValueAndErr()
		if err == nil {
			err = f(it.Key(), v)
		}
		if err != nil {
			_ = it.Close()
			return fmt.Errorf("record %x: %w", it.Key(), err)
		}
	}
	return it.Close()
}

func (l *loader) readSessions() error {
	var st *session.State
	var bound map[uint64]session.Stored
	return l.each(keySession, func(key, value []byte) error {
		number, kind, rest, ok := sessionOf(key)
		if !ok {
			return errValue
		}
		if st == nil || st.Number != number {
			st = &session.State{Number: number}
			bound = make(map[uint64]session.Stored)
			l.sessions = append(l.sessions, st)
			l.highest = max(l.highest, number)
		}
		return l.read(st, bound, kind, rest, value)
	})
}

// read takes one record of a session into its state.
func (l *loader) read(st *session.State, bound map[uint64]session.Stored, kind byte, rest, value []byte) error {
	r := reader{b: value}
	switch kind {
	case kindProfile:
		st.Profile = r.profile()
	case kindSubscription:
		st.Subscriptions = append(st.Subscriptions, r.subscription(rest))
	case kindReceived:
		if len(rest) != 2 {
			return errValue
		}
		st.Received = append(st.Received, binary.BigEndian.Uint16(rest))
	case kindSent:
		st.Sent = r.number()
	case kindBound:
		if len(rest) != 8 || len(value) != 3 {
			return errValue
		}
		bound[binary.BigEndian.Uint64(rest)] = session.Stored{ID: binary.BigEndian.Uint16(value), Released: value[2] != 0}
		return nil
	case kindQueue:
		if len(rest) != 8 {
			return errValue
		}
		sequence := binary.BigEndian.Uint64(rest)
		m := bound[sequence]
		m.Sequence, m.Delivery = sequence, r.delivery()
		if err := r.end(); err != nil {
			return err
		}
		if err := l.share(&m.Delivery); err != nil {
			return err
		}
		st.Messages = append(st.Messages, m)
		l.messages++
		return nil
	default:
		return errValue
	}
	return r.end()
}

// share gives a delivery the message that it shares with others.
func (l *loader) share(d *mqtt.Delivery) error {
	n := d.Shared
	if n == 0 {
		return nil
	}
	m := l.shared[n]
	if m == nil {
		value, closer, err := l.db.Get(messageKey(nil, n))
		if err != nil {
			return fmt.Errorf("message %d: %w", n, err)
		}
		r := reader{b: value}
		m = r.message()
		_ = closer.Close()
		if err := r.end(); err != nil {
			return err
		}
		l.shared[n] = m
	}
	l.refs[n]++
	l.highest = max(l.highest, n)
	d.Message = m
	return nil
}

// readMessages finds the shared messages that nobody refers to.
func (l *loader) readMessages() error {
	return l.each(keyMessage, func(key, _ []byte) error {
		if len(key) != 9 {
			return errValue
		}
		n := binary.BigEndian.Uint64(key[1:])
		l.highest = max(l.highest, n)
		if l.refs[n] == 0 {
			l.orphans = append(l.orphans, n)
		}
		return nil
	})
}

// collect removes what nobody refers to.
func (l *loader) collect() error {
	for _, n := range l.orphans {
		if err := l.db.Delete(messageKey(nil, n), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

// Load yields the sessions that were kept, in the order in which they were made,
// once. A session that was not described, because the broker ended in the middle
// of its first change, is none. Called before anything is appended to the log.
func (s *Store) Load(ctx context.Context) iter.Seq2[*session.State, error] {
	return func(yield func(*session.State, error) bool) {
		states := s.states
		s.states = nil
		for i, st := range states {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			states[i] = nil
			if st.Profile.ClientID != "" && !yield(st, nil) {
				return
			}
		}
	}
}
