package topic

// filterWalk is one search of a tree of filters for those that match a name.
// At every node at most two ways lead on: the name's next level and "+". One
// is taken at once and the other kept for later, so that what is kept is at most one
// step per level and no step is taken twice.
type filterWalk[K comparable, V any] struct {
	name  string
	yield func(filter string, key K, v V) bool
}

// step is a node to look at, at the position in the name up to which the way
// to the node has matched. A position behind the end means the whole name.
type step[T any] struct {
	node *node[T]
	pos  int
}

// run visits everything below root.
func (w *filterWalk[K, V]) run(root *node[leaf[K, V]]) {
	var room [16]step[leaf[K, V]]
	later := room[:0]
	at := step[leaf[K, V]]{node: root}
	dollar := w.name != "" && w.name[0] == '$'
	for {
		kids := at.node.kids.Load()
		var literal, plus, hash *node[leaf[K, V]]
		if kids != nil {
			wild := at.node != root || !dollar // [MQTT-4.7.2-1]
			if wild {
				hash = kids.hash.Load()
				plus = kids.plus.Load()
			}
			if at.pos <= len(w.name) {
				literal = kids.literal.get(w.name[at.pos:levelEnd(w.name, at.pos)])
			} else {
				plus = nil
			}
		}
		if hash != nil && !w.report(hash) {
			return
		}
		next, ok := w.enter(literal, at.pos)
		if !ok {
			return
		}
		other, ok := w.enter(plus, at.pos)
		if !ok {
			return
		}
		switch {
		case next.node == nil && other.node != nil:
			next = other
		case other.node != nil:
			later = append(later, other)
		}
		if next.node == nil {
			if len(later) == 0 {
				return
			}
			next = later[len(later)-1]
			later = later[:len(later)-1]
		}
		at = next
	}
}

// enter matches the label of n against the name from pos on, reports the
// node's value if that used the name up, and returns the step to go on from: none if the
// label does not match or nothing below it can. ok is false when yield is.
func (w *filterWalk[K, V]) enter(n *node[leaf[K, V]], pos int) (next step[leaf[K, V]], ok bool) {
	if n == nil {
		return next, true
	}
	pos, p := consume(n.label, w.name, pos)
	if p == mismatch {
		return next, true
	}
	if p == matchedAll && !w.report(n) {
		return next, false
	}
	if n.kids.Load() == nil {
		return next, true
	}
	return step[leaf[K, V]]{n, pos}, true
}

// report yields the values at n.
func (w *filterWalk[K, V]) report(n *node[leaf[K, V]]) bool {
	l := n.value.Load()
	return l == nil || l.each(w.yield)
}
