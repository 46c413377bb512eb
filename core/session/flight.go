package session

import (
	"math/bits"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// flight holds the messages that were sent and whose last acknowledgement has
// not come, by packet identifier and in order. The zero value is empty.
//
// The table is addressed by the low bits of the identifier, and an identifier
// whose place is taken is not given out. Identifiers are given out in turn,
// so that nearly always the place is free, a lookup is one comparison, and
// growing cannot bring two identifiers to one place: they differ already in
// fewer bits.
type flight struct {
	table    *table // nil when empty
	count    int
	unsent   int    // PUBLISHes due, which the client's window doesn't know yet
	lastID   uint16 // given out last
	sent     chain  // await PUBACK or PUBREC, in the order of sending
	released chain  // await PUBCOMP, in the order of their PUBRECs
}

// flying is one message in flight; a free place has id 0.
type flying struct {
	item
	id         uint16
	prev, next uint16 // identifiers of its neighbours in its chain, 0 for none
	released   bool   // past its PUBREC
	due        bool   // to be sent again
}

// chain is a list of messages in flight by their identifiers. due is the
// first one to be sent again, 0 for none.
type chain struct{ head, tail, due uint16 }

// table is the storage of a flight. Its length is a power of two.
type table struct{ places []flying }

const (
	minTableBits = 3
	maxTableBits = 16
)

// tables keeps tables of each length (in bits) that are empty, so that a
// session which has nothing in flight owns none.
var tables [maxTableBits + 1]sync.Pool

func newTable(length int) *table {
	if t, ok := tables[bits.Len(uint(length-1))].Get().(*table); ok {
		return t
	}
	return &table{places: make([]flying, length)}
}

// put gives a table back whose places are all free.
func (t *table) put() { tables[bits.Len(uint(len(t.places)-1))].Put(t) }

func (t *table) place(id uint16) *flying { return &t.places[int(id)&(len(t.places)-1)] }

// get returns the message with this identifier, nil if there is none.
func (f *flight) get(id uint16) *flying {
	if f.table == nil || id == 0 {
		return nil
	}
	if m := f.table.place(id); m.id == id {
		return m
	}
	return nil
}

// add puts a message in flight and returns its packet identifier, which is
// not 0 and not in use [MQTT-2.2.1-4]. There must be one: at most 65,534
// messages in flight before. The caller sees to that by its window.
func (f *flight) add(it item) uint16 {
	f.grow()
	for {
		f.lastID++
		if f.lastID != 0 && f.table.place(f.lastID).id == 0 {
			break
		}
	}
	m := f.table.place(f.lastID)
	*m = flying{item: it, id: f.lastID}
	f.link(&f.sent, m)
	f.count++
	return m.id
}

// grow makes sure that the table has a free place, and on the whole one in
// four, so that the search for one is short.
func (f *flight) grow() {
	if f.table == nil {
		f.table = newTable(1 << minTableBits)
		return
	}
	old := f.table
	length := len(old.places)
	if (f.count+1)*4 <= length*3 || length == 1<<maxTableBits {
		return
	}
	f.table = newTable(2 * length)
	for i := range old.places {
		if m := &old.places[i]; m.id != 0 {
			*f.table.place(m.id) = *m
			*m = flying{}
		}
	}
	old.put()
}

// remove takes a message out of flight.
func (f *flight) remove(m *flying) mqtt.Delivery {
	d := m.Delivery
	f.unlink(m)
	*m = flying{}
	f.count--
	if f.count == 0 {
		f.table.put()
		f.table = nil
	}
	return d
}

// release notes that the PUBREC of a message came: only its PUBREL is to be
// sent from now on.
func (f *flight) release(m *flying) {
	f.unlink(m)
	m.released, m.due = true, false
	f.link(&f.released, m)
}

// link puts a message at the end of a chain.
func (f *flight) link(c *chain, m *flying) {
	m.prev, m.next = c.tail, 0
	if c.tail != 0 {
		f.table.place(c.tail).next = m.id
	} else {
		c.head = m.id
	}
	c.tail = m.id
}

// unlink takes a message out of its chain.
func (f *flight) unlink(m *flying) {
	f.settle(m)
	c := f.chainOf(m)
	if m.prev != 0 {
		f.table.place(m.prev).next = m.next
	} else {
		c.head = m.next
	}
	if m.next != 0 {
		f.table.place(m.next).prev = m.prev
	} else {
		c.tail = m.prev
	}
}

func (f *flight) chainOf(m *flying) *chain {
	if m.released {
		return &f.released
	}
	return &f.sent
}

// reconnected makes everything due.
func (f *flight) reconnected() {
	f.unsent = f.makeDue(&f.sent)
	f.makeDue(&f.released)
}

func (f *flight) makeDue(c *chain) (n int) {
	for id := c.head; id != 0; n++ {
		m := f.table.place(id)
		m.due = true
		id = m.next
	}
	c.due = c.head
	return n
}

// duePublish and dueRelease return the message whose PUBLISH or PUBREL is to
// be sent again next, nil if none is.
func (f *flight) duePublish() *flying { return f.get(f.sent.due) }
func (f *flight) dueRelease() *flying { return f.get(f.released.due) }

// settle notes that a message is no longer due.
func (f *flight) settle(m *flying) {
	if !m.due {
		return
	}
	m.due = false
	if !m.released {
		f.unsent--
	}
	c := f.chainOf(m)
	if c.due != m.id {
		return
	}
	c.due = m.next
	// Behind the due ones of the released chain are those whose PUBREC came
	// over this connection, and their PUBRELs went out as the answer.
	if next := f.get(c.due); next != nil && !next.due {
		c.due = 0
	}
}

// drain empties the flight and returns what awaited a PUBACK or PUBREC, in
// the order of sending.
func (f *flight) drain() []mqtt.Delivery {
	var rest []mqtt.Delivery
	for f.sent.head != 0 {
		rest = append(rest, f.remove(f.get(f.sent.head)))
	}
	for f.released.head != 0 {
		f.remove(f.get(f.released.head))
	}
	return rest
}
