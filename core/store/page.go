package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// errClosed says that a database is not read any more.
var errClosed = errors.New("the store is closed")

// Page reads what is queued in a session; see [session.Pages].
func (s *Store) Page(number, from, to uint64, messages, bytes int) (list []session.Stored, more bool, err error) {
	s.mu.Lock()
	db := s.database
	s.mu.Unlock()
	list, more, err = db.page(number, from, to, messages, bytes)
	s.wasRead(number, err)
	if err != nil {
		select {
		case s.unread <- struct{}{}:
		default:
		}
	}
	return list, more, err
}

func (d *database) page(number, from, to uint64, messages, bytes int) (list []session.Stored, more bool, err error) {
	d.readers.RLock()
	defer d.readers.RUnlock()
	if d.closed {
		return nil, false, errClosed
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errValue, r)
		}
	}()
	it, err := d.NewIter(&pebble.IterOptions{
		LowerBound: sequenceKey(nil, number, kindQueue, from), UpperBound: sequenceKey(nil, number, kindQueue, to+1),
	})
	if err != nil {
		return nil, false, err
	}
	for it.First(); it.Valid() && !more && err == nil; it.Next() {
		var m session.Stored
		if m, err = storedAt(d.DB, it); err != nil {
			break
		}
		list = append(list, m)
		bytes -= m.Delivery.Message.Size()
		more = len(list) >= messages || bytes <= 0
	}
	if err = errors.Join(err, it.Close()); err != nil && len(list) > 0 {
		return list, true, nil // whoever asks for what is behind it is told
	}
	return list, more, err
}

// storedAt reads the message that an iterator of a queue is at.
func storedAt(db *pebble.DB, it *pebble.Iterator) (m session.Stored, err error) {
	_, _, rest, ok := sessionOf(it.Key())
	value, err := it.ValueAndErr()
	if err != nil {
		return m, err
	}
	if !ok || len(rest) != 8 {
		return m, fmt.Errorf("record %x: %w", it.Key(), errValue)
	}
	r := reader{b: value}
	m.Sequence, m.Delivery = binary.BigEndian.Uint64(rest), r.delivery()
	if err := r.end(); err != nil {
		return m, fmt.Errorf("record %x: %w", it.Key(), err)
	}
	if n := m.Delivery.Shared; n != 0 {
		if m.Delivery.Message, err = sharedMessage(db, n); err != nil {
			return m, fmt.Errorf("record %x: %w", it.Key(), err)
		}
	}
	return m, nil
}
