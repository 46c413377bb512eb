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
type Tree[K comparable, V any] struct {
	mu         sync.RWMutex
	filters    map[string]map[K]V
	generation atomic.Uint64
	values     int
}

// Set stores v under key at filter and returns the value that was there. The
// filter should be valid (see [ValidateFilter]) and come without
// "$share/group/"; a malformed one is stored but never matches. The tree keeps
// the filter's memory.
func (t *Tree[K, V]) Set(filter string, key K, v V) (old V, existed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.filters[filter]
	if at == nil {
		at = make(map[K]V)
		if t.filters == nil {
			t.filters = make(map[string]map[K]V)
		}
		t.filters[filter] = at
	}
	old, existed = at[key]
	if !existed {
		t.values++
	}
	at[key] = v
	t.generation.Add(1)
	return old, existed
}

// Delete removes what key has at filter and returns it.
func (t *Tree[K, V]) Delete(filter string, key K) (old V, existed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old, existed = t.filters[filter][key]
	if !existed {
		return old, false
	}
	delete(t.filters[filter], key)
	if len(t.filters[filter]) == 0 {
		delete(t.filters, filter)
	}
	t.values--
	t.generation.Add(1)
	return old, true
}

// Match calls yield for every value at a filter that matches name, in no
// particular order, until yield returns false. A key that has values at
// several matching filters comes up once for each of them. yield may change
// the tree. A malformed name matches nothing.
func (t *Tree[K, V]) Match(name string, yield func(filter string, key K, v V) bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for filter, at := range t.filters {
		if !Match(filter, name) {
			continue
		}
		for k, v := range at {
			if !yield(filter, k, v) {
				return
			}
		}
	}
}

// Len returns the number of values in the tree.
func (t *Tree[K, V]) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.values
}

// Generation returns a number that grows with every change of the tree. A
// change is visible to [Tree.Match] before the number grows, so that what was
// matched after reading a generation is current for as long as the generation
// stays the same.
func (t *Tree[K, V]) Generation() uint64 { return t.generation.Load() }
