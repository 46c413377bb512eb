package topic

import (
	"sync"
	"sync/atomic"
)

// Tree holds values at topic filters, many per filter, told apart by a key:
// the subscriptions of a broker. The zero value is an empty tree; a Tree must
// not be copied after first use.
//
// It is safe for concurrent use. [Tree.Match] takes no lock and allocates
// nothing, so that any number of goroutines may call it all the time; changes
// take turns on a mutex. Match sees every value that was there before it began
// and that nobody changes meanwhile, exactly once; of a change made meanwhile
// it sees the old state or the new one.
//
// Filters without wildcards, of which there are most, lie in a hash table;
// only those with wildcards make up a tree. A value at a filter of its own
// costs about 80 bytes without and 150 with wildcards, beside what K and V
// point to and the filter's own text.
type Tree[K comparable, V any] struct {
	exact    table[string, leaf[K, V], *leaf[K, V]]
	wildcard radix[leaf[K, V]]

	changes    clock
	generation atomic.Uint64
	values     atomic.Int64

	mu sync.Mutex // taken by every change
}

// Set stores v under key at filter and returns the value that was there. The
// filter should be valid (see [ValidateFilter]) and come without
// "$share/group/"; a malformed one is stored but never matches. The tree keeps
// the filter's memory.
func (t *Tree[K, V]) Set(filter string, key K, v V) (old V, existed bool) {
	exact := isExact(filter)
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.leaf(filter, exact)
	next, old, existed := l.with(filter, key, v)
	if next != l {
		if exact {
			t.exact.put(next)
		} else {
			t.wildcard.set(filter, next)
		}
	}
	if !existed {
		t.values.Add(1)
	}
	t.changed(filter, exact)
	return old, existed
}

// Delete removes what key has at filter and returns it.
func (t *Tree[K, V]) Delete(filter string, key K) (old V, existed bool) {
	exact := isExact(filter)
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.leaf(filter, exact)
	next, old, existed := l.without(key)
	if !existed {
		return old, false
	}
	switch {
	case next == nil && exact:
		t.exact.remove(filter)
	case next == nil:
		t.wildcard.remove(filter)
	case next != l && exact:
		t.exact.put(next)
	case next != l:
		t.wildcard.set(filter, next)
	}
	t.values.Add(-1)
	t.changed(filter, exact)
	return old, true
}

// Get returns the value of key at exactly this filter.
func (t *Tree[K, V]) Get(filter string, key K) (v V, found bool) {
	return t.leaf(filter, isExact(filter)).get(key)
}

// Match calls yield for every value at a filter that matches name, in no
// particular order, until yield returns false. A key that has values at
// several matching filters comes up once for each of them. yield may change
// the tree. A malformed name matches nothing.
func (t *Tree[K, V]) Match(name string, yield func(filter string, key K, v V) bool) {
	if hasWildcardByte(name) {
		return
	}
	if l := t.exact.get(name); l != nil && !l.each(yield) {
		return
	}
	if t.wildcard.root.kids.Load() != nil {
		walk := filterWalk[K, V]{name: name, yield: yield}
		walk.run(&t.wildcard.root)
	}
}

// Len returns the number of values in the tree.
func (t *Tree[K, V]) Len() int { return int(t.values.Load()) }

// Generation returns a number that grows with every change of the tree. A
// change is visible to [Tree.Match] before the number grows, so that what was
// matched after reading a generation is current for as long as the generation
// stays the same. [Tree.Stamp] is the same for the matches of one name.
func (t *Tree[K, V]) Generation() uint64 { return t.generation.Load() }

// Stamp returns the state of what matches name. Take it before [Tree.Match];
// what was matched is current for as long as [Tree.Current] says so.
func (t *Tree[K, V]) Stamp(name string) Stamp { return t.changes.stamp(name) }

// Restamp is Stamp for the name that s was taken for, be it from another tree.
// It is the cheaper one of the two.
func (t *Tree[K, V]) Restamp(s Stamp) Stamp {
	s.sum = t.changes.sum(&s.buckets)
	return s
}

// Current reports whether what matches the name of s is still the same as when
// s was taken. It may say no although it is, which is the rarer the less the changed
// filters have in common with the name.
func (t *Tree[K, V]) Current(s Stamp) bool { return t.changes.sum(&s.buckets) == s.sum }

// leaf returns what is stored at filter, or nil.
func (t *Tree[K, V]) leaf(filter string, exact bool) *leaf[K, V] {
	if exact {
		return t.exact.get(filter)
	}
	return t.wildcard.get(filter)
}

func (t *Tree[K, V]) changed(filter string, exact bool) {
	t.changes.tick(filter, exact)
	t.generation.Add(1)
}

// isExact reports whether filter can only match a name that equals it, if it
// matches at all: wildcards have no meaning in a malformed filter, and none
// matches a name with wildcard characters.
func isExact(filter string) bool {
	return !hasWildcardByte(filter) || validateWildcards(filter) != nil
}
