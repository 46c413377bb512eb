package topic

import (
	"hash/maphash"
	"sync/atomic"
)

// seed makes the hashes of this process unlike any other's, so that nobody can
// choose topics that collide.
var seed = maphash.MakeSeed()

func hashOf[Q comparable](q Q) uint64 { return maphash.Comparable(seed, q) }

// element is what a table holds: a pointer to a T that knows its key.
type element[Q comparable, T any] interface {
	*T
	key() Q
}

// table is a hash table of pointers that is read without a lock while one
// goroutine at a time changes it. The zero value is an empty table.
//
// It grows by extendible hashing: a small table is one segment, and beyond
// maxGroups the leading bits of the hash choose a segment from a directory. So
// no single change copies more than a segment or the directory, however many
// elements there are, and readers never wait. A segment that was replaced is
// never written again: who still reads it sees the moment at which it was
// replaced.
type table[Q comparable, T any, P element[Q, T]] struct {
	// root is the only segment, or one without groups, which says that there
	// is a directory. Nil means empty.
	root      atomic.Pointer[segment[T]]
	directory atomic.Pointer[directory[T]]
	live      int // for the writer only
}

const (
	maxDepth = 24 // beyond it segments grow instead of being split

	// mergeBelow is how many elements a table with a directory is left with
	// when it goes back to a single segment.
	mergeBelow = maxGroups
)

// directory maps the first bits of a hash to segments. A segment with a
// smaller depth than bits stands in several neighbouring places.
type directory[T any] struct {
	bits   uint8
	places []atomic.Pointer[segment[T]]
}

func (d *directory[T]) at(h uint64) int { return int(h >> (64 - d.bits)) }

// span is the number of places that s has in d.
func (d *directory[T]) span(s *segment[T]) int { return 1 << (d.bits - s.depth) }

// set puts what r returns into the places of s, which h belongs to. It begins
// with the last one: a reader on its way up then finds either what was there
// before, and skips all its places, or what is there now.
func (d *directory[T]) set(h uint64, s *segment[T], r func(place int) *segment[T]) {
	span := d.span(s)
	first := d.at(h) &^ (span - 1)
	for i := span - 1; i >= 0; i-- {
		d.places[first+i].Store(r(i))
	}
}

// segment returns the segment that h belongs to and the directory it was found
// in, both of which may be nil.
func (t *table[Q, T, P]) segment(h uint64) (*segment[T], *directory[T]) {
	for {
		root := t.root.Load()
		if root == nil || len(root.groups) > 0 {
			return root, nil
		}
		// Without a directory the table has just become one segment again.
		if d := t.directory.Load(); d != nil {
			return d.places[d.at(h)].Load(), d
		}
	}
}

// get returns the element with key q, or nil.
func (t *table[Q, T, P]) get(q Q) *T {
	h := hashOf(q)
	s, _ := t.segment(h)
	if s == nil {
		return nil
	}
	_, e := find[Q, T, P](s, h, q)
	return e
}

// each calls yield for every element until it returns false, and reports
// whether it never did.
func (t *table[Q, T, P]) each(yield func(*T) bool) bool {
	c := t.cursor()
	for e := c.next(); e != nil; e = c.next() {
		if !yield(e) {
			return false
		}
	}
	return true
}

// put adds e in place of the element with the same key and returns that.
func (t *table[Q, T, P]) put(e *T) (old *T) {
	q := P(e).key()
	h := hashOf(q)
	for {
		s, d := t.segment(h)
		if s == nil {
			s = newSegment[T](1, 0)
			t.root.Store(s)
		}
		if slot, old := find[Q, T, P](s, h, q); old != nil {
			slot.Store(e)
			return old
		}
		if s.live < s.room() {
			s.insert(h, e)
			t.live++
			return nil
		}
		t.grow(s, d, h)
	}
}

// remove deletes the element with key q and returns it.
func (t *table[Q, T, P]) remove(q Q) (old *T) {
	h := hashOf(q)
	s, d := t.segment(h)
	if s == nil {
		return nil
	}
	if _, old = find[Q, T, P](s, h, q); old == nil {
		return nil
	}
	t.live--
	if t.live == 0 {
		t.root.Store(nil)
		t.directory.Store(nil)
		return old
	}
	s.remove(h, old)
	switch {
	case d != nil && t.live <= mergeBelow:
		t.merge()
	case s.live < s.room()/8:
		t.replace(s, d, h, t.rebuild(s, s.live))
	}
	return old
}

// grow makes room in s, or in the two segments that take its place.
func (t *table[Q, T, P]) grow(s *segment[T], d *directory[T], h uint64) {
	if len(s.groups) < maxGroups || s.depth >= maxDepth {
		t.replace(s, d, h, t.rebuild(s, 2*s.live))
		return
	}
	low, high := newSegment[T](s.live/2, s.depth+1), newSegment[T](s.live/2, s.depth+1)
	s.each(func(e *T) {
		eh := hashOf(P(e).key())
		half := &low
		if eh>>(63-s.depth)&1 == 1 {
			half = &high
		}
		if (*half).live == (*half).room() {
			*half = t.rebuild(*half, (*half).live+1)
		}
		(*half).insert(eh, e)
	})
	t.split(s, d, h, low, high)
}

// split publishes low and high in place of s.
func (t *table[Q, T, P]) split(s *segment[T], d *directory[T], h uint64, low, high *segment[T]) {
	wider := d == nil || s.depth == d.bits
	if wider {
		d = widen(s, d)
	}
	half := d.span(s) / 2
	d.set(h, s, func(place int) *segment[T] {
		if place < half {
			return low
		}
		return high
	})
	if wider {
		t.directory.Store(d)
	}
	if t.root.Load() == s {
		t.root.Store(new(segment[T])) // only now: it sends readers to the directory
	}
}

// widen returns a directory twice as large as d, or one of two places for s.
func widen[T any](s *segment[T], d *directory[T]) *directory[T] {
	if d == nil {
		d = &directory[T]{places: make([]atomic.Pointer[segment[T]], 1)}
		d.places[0].Store(s)
	}
	w := &directory[T]{bits: d.bits + 1, places: make([]atomic.Pointer[segment[T]], 2*len(d.places))}
	for i := range w.places {
		w.places[i].Store(d.places[i/2].Load())
	}
	return w
}

// rebuild returns a copy of s with room for n elements.
func (t *table[Q, T, P]) rebuild(s *segment[T], n int) *segment[T] {
	r := newSegment[T](n, s.depth)
	s.each(func(e *T) { r.insert(hashOf(P(e).key()), e) })
	return r
}

// replace publishes r in place of s.
func (t *table[Q, T, P]) replace(s *segment[T], d *directory[T], h uint64, r *segment[T]) {
	if d == nil {
		t.root.Store(r)
		return
	}
	d.set(h, s, func(int) *segment[T] { return r })
}

// merge makes one segment of all.
func (t *table[Q, T, P]) merge() {
	r := newSegment[T](t.live, 0)
	t.each(func(e *T) bool {
		r.insert(hashOf(P(e).key()), e)
		return true
	})
	t.root.Store(r)
	t.directory.Store(nil)
}

// cursor goes through the elements of a table. An element that is there all the
// time comes up once, whatever else changes meanwhile.
type cursor[T any] struct {
	segment   *segment[T]
	directory *directory[T] // nil if segment is the only one
	place     int           // of the segment after this one in the directory
	slot      int           // the next one to look at
}

func (t *table[Q, T, P]) cursor() cursor[T] {
	s, d := t.segment(0)
	c := cursor[T]{segment: s, directory: d}
	if d != nil {
		c.place = d.span(s)
	}
	return c
}

// next returns one element more, or nil after the last one.
func (c *cursor[T]) next() *T {
	if c.segment == nil {
		return nil
	}
	for {
		for c.slot < len(c.segment.groups)*groupSlots {
			e := c.segment.groups[c.slot/groupSlots].slots[c.slot%groupSlots].Load()
			c.slot++
			if e != nil {
				return e
			}
		}
		if c.directory == nil || c.place == len(c.directory.places) {
			return nil
		}
		c.segment = c.directory.places[c.place].Load()
		c.place += c.directory.span(c.segment)
		c.slot = 0
	}
}
