package session

import (
	"sync"
	"time"
	"unsafe"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// item is a message with its place in the order of the session.
type item struct {
	mqtt.Delivery
	sequence uint64
}

// chunkLen makes a chunk fill an allocation of 512 bytes: little enough for
// one message that waits in each of many sessions.
const chunkLen = (512 - unsafe.Sizeof(uintptr(0))) / unsafe.Sizeof(item{})

// chunk is a piece of a queue. Empty places are zero.
type chunk struct {
	items [chunkLen]item
	next  *chunk
}

// chunks lets a session that is idle most of the time own no chunk, and one
// that is busy get one without allocating.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

// queue is a list of messages in chunks. It allocates as it grows and gives
// back as it shrinks. The zero value is empty.
type queue struct {
	head, tail  *chunk // nil when empty
	first, last int    // of the first item in head, and past the last in tail
	count       int
	bytes       int

	// soonest is a moment before which nothing in the queue expires; zero if
	// nothing does.
	soonest time.Time
}

func (q *queue) push(it item) {
	switch {
	case q.tail == nil:
		c := chunks.Get().(*chunk)
		q.head, q.tail, q.first, q.last = c, c, 0, 0
	case q.last == len(q.tail.items):
		c := chunks.Get().(*chunk)
		q.tail.next, q.tail, q.last = c, c, 0
	}
	q.tail.items[q.last] = it
	q.last++
	q.count++
	q.bytes += it.Message.Size()
}

// front returns the first item of a queue that is not empty.
func (q *queue) front() *item { return &q.head.items[q.first] }

// pop takes the first item of a queue that is not empty.
func (q *queue) pop() item {
	it := q.head.items[q.first]
	q.head.items[q.first] = item{}
	q.first++
	q.count--
	q.bytes -= it.Message.Size()
	switch {
	case q.count == 0:
		chunks.Put(q.head)
		*q = queue{}
	case q.first == len(q.head.items):
		c := q.head
		q.head, q.first = c.next, 0
		c.next = nil
		chunks.Put(c)
	}
	return it
}

// expires tells the queue of a moment at which the item pushed last expires.
func (q *queue) expires(at time.Time) {
	if q.soonest.IsZero() || at.Before(q.soonest) {
		q.soonest = at
	}
}

// items returns a copy of all items, first to last.
func (q *queue) items() []item {
	all := make([]item, 0, q.count)
	at := q.first
	for c := q.head; c != nil; c, at = c.next, 0 {
		end := len(c.items)
		if c == q.tail {
			end = q.last
		}
		all = append(all, c.items[at:end]...)
	}
	return all
}

// retain keeps the items, in order, for which keep says so, and returns how
// many it removed.
func (q *queue) retain(keep func(*item) bool) (removed int) {
	soonest := q.soonest
	for range q.count {
		it := q.pop()
		if keep(&it) {
			q.push(it)
		} else {
			removed++
		}
	}
	if q.count > 0 {
		q.soonest = soonest
	}
	return removed
}
