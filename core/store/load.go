package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// What a start reads of a queue, beside what may have been sent. The rest is read
// when its client is back.
const (
	headMessages = 16
	headBytes    = 16 << 10
)

// loader reads what a start needs.
type loader struct {
	db       *pebble.DB
	it       *pebble.Iterator // over all sessions
	sessions []*session.State
	large    map[uint64]struct{} // sessions that have a record of their totals
	flights  map[uint64][]*flightRecord
	highest  uint64 // number that was given out
	messages int    // waiting, in all sessions
}

func load(db *pebble.DB) (*loader, error) {
	l := &loader{db: db, large: make(map[uint64]struct{}), flights: make(map[uint64][]*flightRecord)}
	for _, first := range []byte{keyMessage, keyRefs} {
		if err := l.findHighest(first); err != nil {
			return nil, err
		}
	}
	var err error
	if l.it, err = db.NewIter(&pebble.IterOptions{LowerBound: []byte{keySession}, UpperBound: []byte{keySession + 1}}); err != nil {
		return nil, err
	}
	for l.it.First(); l.it.Valid() && err == nil; {
		err = l.readSession()
	}
	return l, errors.Join(err, l.it.Close())
}

// findHighest looks at the last of the keys that are a byte and a number.
func (l *loader) findHighest(first byte) error {
	it, err := l.db.NewIter(&pebble.IterOptions{LowerBound: []byte{first}, UpperBound: []byte{first + 1}})
	if err != nil {
		return err
	}
	if it.Last() {
		if len(it.Key()) != 9 {
			return errors.Join(errValue, it.Close())
		}
		l.highest = max(l.highest, binary.BigEndian.Uint64(it.Key()[1:]))
	}
	return it.Close()
}

// partial is a session that is being read.
type partial struct {
	*session.State
	bound   map[uint64]session.Stored
	totals  *session.Totals // its record; nil for none
	flights []*flightRecord
	whole   bool // the queue has nothing that was not read
}

// readSession reads the session that the iterator is at, and leaves it at the
// next.
func (l *loader) readSession() error {
	number, _, _, ok := sessionOf(l.it.Key())
	if !ok {
		return fmt.Errorf("record %x: %w", l.it.Key(), errValue)
	}
	p := &partial{State: &session.State{Number: number}, bound: make(map[uint64]session.Stored), whole: true}
	for l.it.Valid() {
		n, kind, rest, ok := sessionOf(l.it.Key())
		if !ok {
			return fmt.Errorf("record %x: %w", l.it.Key(), errValue)
		}
		if n != number {
			break
		}
		if kind == kindQueue {
			if err := l.readQueue(p); err != nil {
				return err
			}
			continue
		}
		value, err := l.it.ValueAndErr()
		if err == nil {
			err = p.read(kind, rest, value)
		}
		if err != nil {
			return fmt.Errorf("record %x: %w", l.it.Key(), err)
		}
		l.it.Next()
	}
	if err := l.complete(p); err != nil {
		return err
	}
	l.sessions = append(l.sessions, p.State)
	l.highest = max(l.highest, number)
	l.messages += p.Totals.Messages
	return l.it.Error()
}

// read takes a record, but for those of the queue.
func (p *partial) read(kind byte, rest, value []byte) error {
	r := reader{b: value}
	switch kind {
	case kindProfile:
		p.Profile = r.profile()
	case kindSubscription:
		p.Subscriptions = append(p.Subscriptions, r.subscription(rest))
	case kindReceived:
		if len(rest) != 2 {
			return errValue
		}
		p.Received = append(p.Received, binary.BigEndian.Uint16(rest))
	case kindSent:
		p.Sent = r.number()
	case kindBound:
		if len(rest) != 8 || len(value) != 3 {
			return errValue
		}
		p.bound[binary.BigEndian.Uint64(rest)] = session.Stored{ID: binary.BigEndian.Uint16(value), Released: value[2] != 0}
		return nil
	case kindFlight:
		if len(rest) != 8 {
			return errValue
		}
		p.rebind(r.bindings())
	case kindTotals:
		t := r.totals()
		p.totals = &t
	default:
		return errValue
	}
	return r.end()
}

// readQueue reads what may have been sent and the beginning of the rest, and
// leaves the iterator behind the queue.
func (l *loader) readQueue(p *partial) error {
	sent := p.Sent
	for sequence := range p.bound {
		sent = max(sent, sequence)
	}
	messages, bytes := headMessages, headBytes
	for l.it.Valid() {
		if n, kind, _, _ := sessionOf(l.it.Key()); n != p.Number || kind != kindQueue {
			return nil
		}
		m, err := storedAt(l.db, l.it)
		if err != nil {
			return err
		}
		if m.Sequence > sent {
			if messages == 0 || bytes <= 0 {
				p.whole = false
				break
			}
			messages, bytes = messages-1, bytes-m.Delivery.Message.Size()
		}
		b := p.bound[m.Sequence]
		m.ID, m.Released = b.ID, b.Released
		p.Messages = append(p.Messages, m)
		p.Last = m.Sequence
		p.Totals.Add(&m.Delivery)
		l.it.Next()
	}
	behind := sessionKey(nil, p.Number, kindQueue+1)
	if !p.whole && l.it.SeekLT(behind) {
		_, _, rest, _ := sessionOf(l.it.Key())
		if len(rest) != 8 {
			return errValue
		}
		p.Last = binary.BigEndian.Uint64(rest)
	}
	l.it.SeekGE(behind)
	return nil
}

// complete finds the totals of a session that was read.
func (l *loader) complete(p *partial) error {
	if p.totals != nil {
		l.large[p.Number] = struct{}{}
	}
	if len(p.flights) > 0 {
		l.flights[p.Number] = p.flights
	}
	switch {
	case p.whole:
		return nil
	case p.totals != nil:
		p.Totals = *p.totals
		return nil
	}
	read := p.Messages[len(p.Messages)-1].Sequence
	return eachQueued(l.db, p.Number, read+1, func(m *session.Stored) { p.Totals.Add(&m.Delivery) })
}

// eachQueued reads a queue from a place on.
func eachQueued(db *pebble.DB, number, from uint64, f func(*session.Stored)) error {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: sequenceKey(nil, number, kindQueue, from), UpperBound: sessionKey(nil, number, kindQueue+1),
	})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var m session.Stored
		if m, err = storedAt(db, it); err == nil {
			f(&m)
		}
	}
	return errors.Join(err, it.Close())
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
