package store

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// flights are the packet identifiers of messages of QoS 1 that are in flight. What
// was sent at once has one record, which goes with the last acknowledgement of it;
// what is acknowledged before it was written has none.
type flights struct {
	sent  map[uint64][]*flightRecord // by session, in the order of places
	dirty []*flightRecord            // to be written, or removed
}

// flightRecord is what the store has of messages that were sent at once.
type flightRecord struct {
	session     uint64
	first, last uint64            // places
	left        int               // not acknowledged
	bound       []session.Binding // until it is written
	stored      bool
	noted       bool // is dirty
}

// follow brings the records up to date with changes.
func (f *flights) follow(changes []session.Change) {
	for i := range changes {
		switch c := &changes[i]; c.Kind {
		case session.ChangeSent:
			if n := len(c.Bound); n > 0 {
				r := &flightRecord{session: c.Session, first: c.Bound[0].Sequence, last: c.Bound[n-1].Sequence, left: n, bound: c.Bound}
				f.sent[c.Session] = append(f.sent[c.Session], r)
				f.note(r)
			}
		case session.ChangeRemove:
			if c.Delivery.QoS == mqtt.AtLeastOnce && len(f.sent) > 0 {
				f.done(c.Session, c.Sequence)
			}
		case session.ChangeEnd:
			for _, r := range f.sent[c.Session] {
				r.left, r.stored = 0, false // goes with the session
			}
			delete(f.sent, c.Session)
		}
	}
}

func (f *flights) note(r *flightRecord) {
	if !r.noted {
		r.noted = true
		f.dirty = append(f.dirty, r)
	}
}

// done is for a message that is acknowledged.
func (f *flights) done(number, sequence uint64) {
	list := f.sent[number]
	i, found := slices.BinarySearchFunc(list, sequence, func(r *flightRecord, sequence uint64) int {
		switch {
		case r.last < sequence:
			return -1
		case r.first > sequence:
			return 1
		default:
			return 0
		}
	})
	if !found {
		return
	}
	r := list[i]
	if r.left--; r.left > 0 {
		return
	}
	f.note(r)
	if list = slices.Delete(list, i, i+1); len(list) > 0 {
		f.sent[number] = list
	} else {
		delete(f.sent, number)
	}
}

// flush writes what has changed.
func (f *flights) flush(b *pebble.Batch) error {
	var key, value []byte
	for _, r := range f.dirty {
		key = sequenceKey(key[:0], r.session, kindFlight, r.first)
		switch {
		case r.left > 0:
			value = appendBindings(value[:0], r.bound)
			if err := b.Set(key, value, nil); err != nil {
				return err
			}
			r.stored = true
		case r.stored:
			if err := b.Delete(key, nil); err != nil {
				return err
			}
		}
		r.bound, r.noted = nil, false
	}
	clear(f.dirty)
	f.dirty = f.dirty[:0]
	return nil
}

func appendBindings(dst []byte, list []session.Binding) []byte {
	last := uint64(0)
	for _, x := range list {
		dst = binary.AppendUvarint(dst, x.Sequence-last)
		dst = binary.AppendUvarint(dst, uint64(x.ID))
		last = x.Sequence
	}
	return dst
}

func (r *reader) bindings() (list []session.Binding) {
	last := uint64(0)
	for len(r.b) > 0 && !r.bad {
		last += r.number()
		list = append(list, session.Binding{Sequence: last, ID: uint16(r.below(math.MaxUint16))}) //nolint:gosec // checked
	}
	return list
}

// rebind gives messages that were sent the identifiers that a record has of them.
func (p *partial) rebind(list []session.Binding) {
	if len(list) == 0 {
		return
	}
	r := &flightRecord{session: p.Number, first: list[0].Sequence, last: list[len(list)-1].Sequence, stored: true}
	for _, x := range list {
		i, found := slices.BinarySearchFunc(p.Messages, x.Sequence, func(m session.Stored, sequence uint64) int {
			switch {
			case m.Sequence < sequence:
				return -1
			case m.Sequence > sequence:
				return 1
			default:
				return 0
			}
		})
		if found && p.Messages[i].ID == 0 && p.Messages[i].Delivery.QoS == mqtt.AtLeastOnce {
			p.Messages[i].ID = x.ID
			r.left++
		}
	}
	if r.left > 0 {
		p.flights = append(p.flights, r)
	}
}
