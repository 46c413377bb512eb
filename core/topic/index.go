package topic

import (
	"sync"
	"sync/atomic"
)

// Index holds one value per topic name and looks them up by filter: the
// retained messages of a broker. The zero value is an empty index; an Index
// must not be copied after first use.
//
// It is safe for concurrent use: [Index.Get] and [Index.Match] take no lock,
// changes take turns on a mutex. Match sees every value that was there before
// it began and that nobody changes meanwhile, exactly once; of a change made
// meanwhile it sees the old state or the new one.
type Index[V any] struct {
	names radix[item[V]]
	count atomic.Int64

	mu sync.Mutex // taken by every change
}

// item is a value with the name that it is stored at.
type item[V any] struct {
	name string
	v    V
}

// Set stores v at name and returns the value that was there. The name should
// be valid (see [ValidateName]). The index keeps the name's memory.
func (x *Index[V]) Set(name string, v V) (old V, existed bool) {
	next := &item[V]{name, v}
	x.mu.Lock()
	defer x.mu.Unlock()
	if was := x.names.set(name, next); was != nil {
		return was.v, true
	}
	x.count.Add(1)
	return old, false
}

// Delete removes the value at name and returns it.
func (x *Index[V]) Delete(name string) (old V, existed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.names.remove(name)
	if was == nil {
		return old, false
	}
	x.count.Add(-1)
	return was.v, true
}

// Get returns the value at name.
func (x *Index[V]) Get(name string) (v V, found bool) {
	if at := x.names.get(name); at != nil {
		return at.v, true
	}
	return v, false
}

// Len returns the number of values.
func (x *Index[V]) Len() int { return int(x.count.Load()) }

// Match calls yield for every value whose name filter matches, in no
// particular order, until yield returns false. It visits only branches that
// can match. yield may change the index. A malformed filter matches nothing.
func (x *Index[V]) Match(filter string, yield func(name string, v V) bool) {
	if validateWildcards(filter) != nil {
		return
	}
	walk := nameWalk[V]{filter: filter, yield: yield}
	walk.run(&x.names.root)
}

// All calls yield for every value, those whose name begins with "$" included,
// in no particular order, until yield returns false. yield may change the
// index.
func (x *Index[V]) All(yield func(name string, v V) bool) {
	later := []*node[item[V]]{&x.names.root}
	for len(later) > 0 {
		n := later[len(later)-1]
		later = later[:len(later)-1]
		if at := n.value.Load(); at != nil && !yield(at.name, at.v) {
			return
		}
		if kids := n.kids.Load(); kids != nil {
			kids.each(func(kid *node[item[V]]) bool {
				later = append(later, kid)
				return true
			})
		}
	}
}
