package topic

import (
	"math/bits"
	"sync/atomic"
)

const (
	groupSlots = 7

	// groupLoad is how many elements a group has on average when its segment
	// is full, so that few of them overflow.
	groupLoad = 5

	// maxGroups fills an allocation of 8 KiB.
	maxGroups = 126
)

// segment is a hash table of fixed size. An element lies in the group that its
// hash chooses or, if that is full, in one of those behind it.
type segment[T any] struct {
	groups []group[T]
	depth  uint8 // how many leading hash bits the elements share
	live   int   // elements; for the writer only
}

// group is one cache line: seven elements, and a word that usually tells
// without looking at any of them which one can be the right one. Byte i of tags
// belongs to slot i and is zero if that is empty; byte 7 counts the elements that
// passed the group because it was full, and stays at 255 once it is there.
type group[T any] struct {
	tags  atomic.Uint64
	slots [groupSlots]atomic.Pointer[T]
}

// newSegment makes an empty segment with room for n elements.
func newSegment[T any](n int, depth uint8) *segment[T] {
	groups := 1
	if n > groupSlots {
		groups = 1 << bits.Len(uint(n-1)/groupLoad)
	}
	// The runtime puts a word before large objects. One group less makes room
	// for it, or the next size class would be taken.
	switch {
	case groups == maxGroups+2:
		groups = maxGroups
	case groups >= 16 && groups < maxGroups:
		groups--
	}
	if groups*groupLoad < n && n > groupSlots {
		groups *= 2
	}
	return &segment[T]{groups: make([]group[T], groups), depth: depth}
}

// room is the number of elements at which the segment is full.
func (s *segment[T]) room() int {
	if len(s.groups) == 1 {
		return groupSlots
	}
	return len(s.groups) * groupLoad
}

// home is the group that an element with this hash should be in. The directory
// goes by the first bits of the hash, home by the last and the tag by others.
func (s *segment[T]) home(h uint64) int {
	return int(uint64(uint32(h)) * uint64(len(s.groups)) >> 32)
}

func (s *segment[T]) after(i int) int {
	if i++; i < len(s.groups) {
		return i
	}
	return 0
}

// tagOf is never zero, which means an empty slot.
func tagOf(h uint64) uint64 { return max(h>>32&0xFF, 1) }

const (
	lowBits  = 0x0001010101010101 // of the tags of all slots
	highBits = 0x0080808080808080
)

// find returns the place of the element with key q, which has the hash h, and
// the element; nil and nil if there is none.
func find[Q comparable, T any, P element[Q, T]](s *segment[T], h uint64, q Q) (*atomic.Pointer[T], *T) {
	i := s.home(h)
	for range s.groups {
		g := &s.groups[i]
		tags := g.tags.Load()
		// The bytes that equal the tag become zero, and the classic test for
		// zero bytes finds them, and rarely one more.
		same := tags ^ tagOf(h)*lowBits
		for hits := (same - lowBits) &^ same & highBits; hits != 0; hits &= hits - 1 {
			slot := &g.slots[bits.TrailingZeros64(hits)/8]
			if e := slot.Load(); e != nil && P(e).key() == q {
				return slot, e
			}
		}
		if tags>>56 == 0 {
			break // nothing has ever gone past
		}
		i = s.after(i)
	}
	return nil, nil
}

// insert adds e, which is not there yet, to a segment that is not full.
func (s *segment[T]) insert(h uint64, e *T) {
	for i := s.home(h); ; i = s.after(i) {
		g := &s.groups[i]
		tags := g.tags.Load()
		for slot := range g.slots {
			if tags>>(8*slot)&0xFF == 0 {
				g.slots[slot].Store(e)
				g.tags.Store(tags | tagOf(h)<<(8*slot))
				s.live++
				return
			}
		}
		if tags>>56 < 0xFF {
			g.tags.Store(tags + 1<<56)
		}
	}
}

// remove deletes e, which is there and has the hash h.
func (s *segment[T]) remove(h uint64, e *T) {
	for i := s.home(h); ; i = s.after(i) {
		g := &s.groups[i]
		tags := g.tags.Load()
		for slot := range g.slots {
			if g.slots[slot].Load() == e {
				g.tags.Store(tags &^ (0xFF << (8 * slot)))
				g.slots[slot].Store(nil)
				s.live--
				return
			}
		}
		if tags>>56 < 0xFF {
			g.tags.Store(tags - 1<<56)
		}
	}
}

// each calls f for every element.
func (s *segment[T]) each(f func(*T)) {
	for i := range s.groups {
		for j := range s.groups[i].slots {
			if e := s.groups[i].slots[j].Load(); e != nil {
				f(e)
			}
		}
	}
}
