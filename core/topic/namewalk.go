package topic

import "strings"

// nameWalk is one search of a tree of names for those that a filter matches.
// A literal level of the filter leads to one child, a wildcard to all of them;
// only the latter are kept on a stack, as cursors, so that a node with a
// million children costs no more than one with two.
type nameWalk[V any] struct {
	filter string
	yield  func(name string, v V) bool
}

// below is the position in the filter from which on everything matches.
const below = -1

// fan is a node whose children are all to be looked at, from the position pos
// in the filter on.
type fan[V any] struct {
	kids kidCursor[item[V]]
	pos  int
	root bool // leave out names that begin with '$' [MQTT-4.7.2-1]
}

// run visits the names below root.
func (w *nameWalk[V]) run(root *node[item[V]]) {
	var room [8]fan[V]
	fans := room[:0]
	n, pos := root, 0
	for {
		if n == nil {
			if len(fans) == 0 {
				return
			}
			if n, pos = w.advance(&fans[len(fans)-1]); n == nil {
				fans = fans[:len(fans)-1]
				continue
			}
		}
		level, last := w.level(pos)
		if pos == below || pos > len(w.filter) || (level == "#" && last) {
			if v := n.value.Load(); v != nil && !w.yield(v.name, v.v) {
				return
			}
		}
		switch {
		case pos > len(w.filter):
			n = nil
		case level == "#" || level == "+":
			if level == "#" {
				pos = below
			}
			fans = append(fans, fan[V]{n.kids.Load().cursor(), pos, n == root})
			n = nil
		default:
			n, pos = w.enter(n.child(level), pos)
		}
	}
}

// level returns the filter's level at pos, and whether it is the last one. The
// position below counts as another "#".
func (w *nameWalk[V]) level(pos int) (level string, last bool) {
	if pos == below {
		return "#", true
	}
	if pos > len(w.filter) {
		return "", true
	}
	end := levelEnd(w.filter, pos)
	return w.filter[pos:end], end == len(w.filter)
}

// advance returns the next child that matches, or nil.
func (w *nameWalk[V]) advance(f *fan[V]) (*node[item[V]], int) {
	for {
		kid := f.kids.next()
		if kid == nil {
			return nil, 0
		}
		if f.root && strings.HasPrefix(kid.label, "$") {
			continue
		}
		if n, pos := w.enter(kid, f.pos); n != nil {
			return n, pos
		}
	}
}

// enter matches the levels of n's label against the filter from pos on. It
// returns the node and the position behind them, or nil if they do not match.
func (w *nameWalk[V]) enter(n *node[item[V]], pos int) (*node[item[V]], int) {
	if n == nil || pos == below {
		return n, pos
	}
	for rest, more := n.label, true; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if pos > len(w.filter) {
			return nil, 0
		}
		level, last := w.level(pos)
		switch {
		case level == "#" && last:
			return n, below
		case level != "+" && level != name:
			return nil, 0
		}
		pos += len(level) + 1
	}
	return n, pos
}

// kidCursor goes through the children of a node.
type kidCursor[T any] struct {
	special [2]*node[T]
	literal cursor[node[T]]
}

func (c *children[T]) cursor() kidCursor[T] {
	if c == nil {
		return kidCursor[T]{}
	}
	return kidCursor[T]{[2]*node[T]{c.plus.Load(), c.hash.Load()}, c.literal.cursor()}
}

// next returns one child more, or nil after the last one.
func (c *kidCursor[T]) next() *node[T] {
	for i, n := range c.special {
		if n != nil {
			c.special[i] = nil
			return n
		}
	}
	return c.literal.next()
}
