package topic

import "sync"

// Index holds one value per topic name and looks them up by filter: the
// retained messages of a broker. The zero value is an empty index; an Index
// must not be copied after first use.
//
// It is safe for concurrent use: [Index.Get] and [Index.Match] take no lock,
// changes take turns on a mutex. Match sees every value that was there before
// it began and that nobody changes meanwhile, exactly once; of a change made
// meanwhile it sees the old state or the new one.
type Index[V any] struct {
	mu    sync.RWMutex
	names map[string]V
}

// Set stores v at name and returns the value that was there. The name should
// be valid (see [ValidateName]). The index keeps the name's memory.
func (x *Index[V]) Set(name string, v V) (old V, existed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.names == nil {
		x.names = make(map[string]V)
	}
	old, existed = x.names[name]
	x.names[name] = v
	return old, existed
}

// Delete removes the value at name and returns it.
func (x *Index[V]) Delete(name string) (old V, existed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	old, existed = x.names[name]
	delete(x.names, name)
	return old, existed
}

// Get returns the value at name.
func (x *Index[V]) Get(name string) (v V, found bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	v, found = x.names[name]
	return v, found
}

// Len returns the number of values.
func (x *Index[V]) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.names)
}

// Match calls yield for every value whose name filter matches, in no
// particular order, until yield returns false. It visits only branches that
// can match. yield may change the index. A malformed filter matches nothing.
func (x *Index[V]) Match(filter string, yield func(name string, v V) bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for name, v := range x.names {
		if Match(filter, name) && !yield(name, v) {
			return
		}
	}
}
