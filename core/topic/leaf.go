package topic

// leaf is everything that is stored at one filter. Most filters have one value,
// which then lies in the leaf itself; a few lie in a slice, many in a table. A
// leaf is never changed but for its table: another one takes its place.
type leaf[K comparable, V any] struct {
	filter string
	entry[K, V]
	more *more[K, V] // nil: entry is the only value; else entry is unused
}

type entry[K comparable, V any] struct {
	k K
	v V
}

// more holds the values of a leaf that has several.
type more[K comparable, V any] struct {
	few  []entry[K, V]
	many *table[K, entry[K, V], *entry[K, V]] // used if not nil
}

const (
	maxFew  = 8 // above it a slice becomes a table
	minMany = 4 // at it a table becomes a slice again
)

func (l *leaf[K, V]) key() string { return l.filter }
func (e *entry[K, V]) key() K     { return e.k }
func (m *more[K, V]) index(k K) int {
	for i := range m.few {
		if m.few[i].k == k {
			return i
		}
	}
	return -1
}

// each calls yield for every value until it returns false, and reports whether
// it never did.
func (l *leaf[K, V]) each(yield func(filter string, key K, v V) bool) bool {
	switch {
	case l.more == nil:
		return yield(l.filter, l.k, l.v)
	case l.more.many != nil:
		return l.more.many.each(func(e *entry[K, V]) bool { return yield(l.filter, e.k, e.v) })
	}
	for i := range l.more.few {
		if e := &l.more.few[i]; !yield(l.filter, e.k, e.v) {
			return false
		}
	}
	return true
}

// with returns the leaf, l itself or a new one, that has v at k, and what was
// there before. l may be nil.
func (l *leaf[K, V]) with(filter string, k K, v V) (next *leaf[K, V], old V, existed bool) {
	e := entry[K, V]{k, v}
	switch {
	case l == nil:
		return &leaf[K, V]{filter: filter, entry: e}, old, false
	case l.more == nil && l.k == k:
		return &leaf[K, V]{filter: l.filter, entry: e}, l.v, true
	case l.more == nil:
		return l.several(&more[K, V]{few: []entry[K, V]{l.entry, e}}), old, false
	case l.more.many != nil:
		if was := l.more.many.put(&e); was != nil {
			return l, was.v, true
		}
		return l, old, false
	}
	few := append(make([]entry[K, V], 0, len(l.more.few)+1), l.more.few...)
	if i := l.more.index(k); i >= 0 {
		old, existed = few[i].v, true
		few[i] = e
	} else {
		few = append(few, e)
	}
	if len(few) <= maxFew {
		return l.several(&more[K, V]{few: few}), old, existed
	}
	many := new(table[K, entry[K, V], *entry[K, V]])
	for _, e := range few {
		many.put(&e)
	}
	return l.several(&more[K, V]{many: many}), old, existed
}

// without returns the leaf, l itself or a new one, that has nothing at k, or
// nil if nothing is left, and what was there before. l may be nil.
func (l *leaf[K, V]) without(k K) (next *leaf[K, V], old V, existed bool) {
	switch {
	case l == nil:
		return nil, old, false
	case l.more == nil:
		if l.k != k {
			return l, old, false
		}
		return nil, l.v, true
	case l.more.many != nil:
		was := l.more.many.remove(k)
		if was == nil {
			return l, old, false
		}
		if l.more.many.live > minMany {
			return l, was.v, true
		}
		few := make([]entry[K, V], 0, minMany)
		l.more.many.each(func(e *entry[K, V]) bool { few = append(few, *e); return true })
		return l.several(&more[K, V]{few: few}), was.v, true
	}
	i := l.more.index(k)
	if i < 0 {
		return l, old, false
	}
	old = l.more.few[i].v
	few := append(make([]entry[K, V], 0, len(l.more.few)-1), l.more.few[:i]...)
	few = append(few, l.more.few[i+1:]...)
	if len(few) == 1 {
		return &leaf[K, V]{filter: l.filter, entry: few[0]}, old, true
	}
	return l.several(&more[K, V]{few: few}), old, true
}

func (l *leaf[K, V]) several(m *more[K, V]) *leaf[K, V] {
	return &leaf[K, V]{filter: l.filter, more: m}
}

// get returns the value at k. l may be nil.
func (l *leaf[K, V]) get(k K) (v V, found bool) {
	switch {
	case l == nil:
		return v, false
	case l.more == nil:
		if l.k != k {
			return v, false
		}
		return l.v, true
	case l.more.many != nil:
		if e := l.more.many.get(k); e != nil {
			return e.v, true
		}
		return v, false
	}
	if i := l.more.index(k); i >= 0 {
		return l.more.few[i].v, true
	}
	return v, false
}
