package topic

import (
	"strings"
	"sync/atomic"
)

// radix is a tree of paths, whose branches are told apart by whole levels. A
// chain of levels without a branch is one node, so that there are at most two
// nodes per path however deep it is. One goroutine at a time changes it; any
// number may walk it meanwhile.
//
// The wildcards "+" and "#" are levels like all others here, but every node
// knows its children of those names without a search.
type radix[T any] struct {
	root node[T] // without label and value
}

// node is one step of a path. label never changes: where a node must be cut or
// joined, a new one takes its place.
type node[T any] struct {
	label string // one level or several
	value atomic.Pointer[T]
	kids  atomic.Pointer[children[T]]
}

// key returns the first level of the label, by which the parent finds the node.
func (n *node[T]) key() string { return n.label[:levelEnd(n.label, 0)] }

// children are the nodes below a node.
type children[T any] struct {
	plus    atomic.Pointer[node[T]] // begins with the level "+"
	hash    atomic.Pointer[node[T]] // begins with the level "#"
	literal table[string, node[T], *node[T]]
}

// special returns the place of a wildcard child, or nil for any other key.
func (c *children[T]) special(key string) *atomic.Pointer[node[T]] {
	switch key {
	case "+":
		return &c.plus
	case "#":
		return &c.hash
	default:
		return nil
	}
}

func (n *node[T]) child(key string) *node[T] {
	kids := n.kids.Load()
	if kids == nil {
		return nil
	}
	if p := kids.special(key); p != nil {
		return p.Load()
	}
	return kids.literal.get(key)
}

// put adds kid, or replaces the child with the same key by it.
func (n *node[T]) put(kid *node[T]) {
	kids := n.kids.Load()
	if kids == nil {
		kids = new(children[T])
		n.kids.Store(kids)
	}
	if p := kids.special(kid.key()); p != nil {
		p.Store(kid)
		return
	}
	kids.literal.put(kid)
}

// drop removes the child with this key.
func (n *node[T]) drop(key string) {
	kids := n.kids.Load()
	if p := kids.special(key); p != nil {
		p.Store(nil)
	} else {
		kids.literal.remove(key)
	}
	if count, _ := kids.count(); count == 0 {
		n.kids.Store(nil)
	}
}

// count returns 0, 1 or, for more, 2, and one of the children. It is for the
// writer.
func (c *children[T]) count() (n int, some *node[T]) {
	if c == nil {
		return 0, nil
	}
	c.each(func(kid *node[T]) bool {
		n, some = n+1, kid
		return n < 2
	})
	return n, some
}

func (c *children[T]) each(yield func(*node[T]) bool) bool {
	if kid := c.plus.Load(); kid != nil && !yield(kid) {
		return false
	}
	if kid := c.hash.Load(); kid != nil && !yield(kid) {
		return false
	}
	return c.literal.each(yield)
}

// get returns the value at path, or nil.
func (r *radix[T]) get(path string) *T {
	n, rest := &r.root, path
	for {
		if n = n.child(rest[:levelEnd(rest, 0)]); n == nil {
			return nil
		}
		tail, ok := strings.CutPrefix(rest, n.label)
		switch {
		case !ok:
			return nil
		case tail == "":
			return n.value.Load()
		case tail[0] != '/':
			return nil
		}
		rest = tail[1:]
	}
}

// set stores v, which is not nil, at path and returns what was there.
func (r *radix[T]) set(path string, v *T) (old *T) {
	n, rest := &r.root, path
	for {
		kid := n.child(rest[:levelEnd(rest, 0)])
		if kid == nil {
			n.put(newNode(ownLabel(path, rest), v))
			return nil
		}
		common := commonLevels(kid.label, rest)
		if common < len(kid.label) {
			kid = kid.cut(common)
			if common == len(rest) {
				kid.value.Store(v)
			} else {
				kid.put(newNode(ownLabel(path, rest[common+1:]), v))
			}
			n.put(kid)
			return nil
		}
		if common == len(rest) {
			return kid.value.Swap(v)
		}
		n, rest = kid, rest[common+1:]
	}
}

// remove deletes the value at path and returns it.
func (r *radix[T]) remove(path string) (old *T) {
	var grandparent, parent *node[T]
	n, rest := &r.root, path
	for {
		grandparent, parent = parent, n
		if n = n.child(rest[:levelEnd(rest, 0)]); n == nil {
			return nil
		}
		tail, ok := strings.CutPrefix(rest, n.label)
		if !ok || (tail != "" && tail[0] != '/') {
			return nil
		}
		if tail == "" {
			break
		}
		rest = tail[1:]
	}
	if old = n.value.Swap(nil); old == nil {
		return nil
	}
	switch count, kid := n.kids.Load().count(); count {
	case 0:
		parent.drop(n.key())
		if grandparent != nil {
			parent.settle(grandparent)
		}
	case 1:
		parent.put(n.join(kid))
	}
	return old
}

// settle joins n with its only child if it has no value of its own.
func (n *node[T]) settle(parent *node[T]) {
	if n.value.Load() != nil {
		return
	}
	if count, kid := n.kids.Load().count(); count == 1 {
		parent.put(n.join(kid))
	}
}

func newNode[T any](label string, v *T) *node[T] {
	n := &node[T]{label: label}
	n.value.Store(v)
	return n
}

// moved returns a node that stands for n under another label. The children
// stay the same ones; values that n is given later do not reach it.
func (n *node[T]) moved(label string) *node[T] {
	m := newNode(label, n.value.Load())
	m.kids.Store(n.kids.Load())
	return m
}

// cut returns a new node for the first bytes of n's label, up to a separator,
// whose only child is the rest of n.
func (n *node[T]) cut(at int) *node[T] {
	top := newNode[T](ownLabel(n.label, n.label[:at]), nil)
	top.put(n.moved(ownLabel(n.label, n.label[at+1:])))
	return top
}

// join returns a new node for n, which has no value, and its only child.
func (n *node[T]) join(kid *node[T]) *node[T] {
	return kid.moved(n.label + "/" + kid.label)
}

// ownLabel returns label, a part of path, such that a node may keep it. It
// shares the memory of a short path. The memory of a long one is not shared:
// the node may outlive the rest of the path, and would hold on to all of it.
func ownLabel(path, label string) string {
	const short = 128
	if len(path) <= short {
		return label
	}
	return strings.Clone(label)
}

// commonLevels returns the length of the longest prefix of whole levels that a
// and b have in common, without the separator behind it.
func commonLevels(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	if (n == len(a) || a[n] == '/') && (n == len(b) || b[n] == '/') {
		return n
	}
	return max(0, strings.LastIndexByte(a[:n], '/'))
}
