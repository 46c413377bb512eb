package ban

import (
	"iter"
	"net/netip"
	"time"
)

// What follows is called with the list's mu held.

func (l *List) get(k Kind, value string) (Ban, bool) {
	if k == Address {
		b, ok := l.networks.byPrefix[prefixOf(value)]
		return b, ok
	}
	b, ok := l.names[name{k, value}]
	return b, ok
}

func (l *List) put(b Ban) {
	if before, ok := l.get(b.Kind, b.Value); ok {
		l.remove(before)
	}
	if b.Transient {
		l.own++
	}
	if b.Kind == Address {
		l.networks.put(prefixOf(b.Value), b)
		return
	}
	if l.names == nil {
		l.names = make(map[name]Ban)
	}
	l.names[name{b.Kind, b.Value}] = b
}

func (l *List) remove(b Ban) {
	if b.Transient {
		l.own--
	}
	if b.Kind == Address {
		l.networks.remove(prefixOf(b.Value))
		return
	}
	delete(l.names, name{b.Kind, b.Value})
}

// size counts all entries, or the transient ones.
func (l *List) size(transient bool) int {
	if transient {
		return l.own
	}
	return len(l.names) + l.networks.len()
}

// prune removes what has ended.
func (l *List) prune(now time.Time) {
	for b := range l.all() {
		if b.expired(now) {
			l.remove(b) // a map may lose what is being visited
		}
	}
}

func (l *List) all() iter.Seq[Ban] {
	return func(yield func(Ban) bool) {
		for _, b := range l.names {
			if !yield(b) {
				return
			}
		}
		for _, b := range l.networks.byPrefix {
			if !yield(b) {
				return
			}
		}
	}
}

// prefixOf reads a value in its canonical form.
func prefixOf(value string) netip.Prefix {
	p, _ := ParseNetwork(value)
	return p
}

// networks are banned networks. What it takes to find an address grows with the
// number of different lengths of prefixes alone.
type networks struct {
	byPrefix map[netip.Prefix]Ban
	lengths  [2][129]int // how many have that many bits; IPv4, IPv6
}

func (n *networks) len() int { return len(n.byPrefix) }

func (n *networks) put(p netip.Prefix, b Ban) {
	if n.byPrefix == nil {
		n.byPrefix = make(map[netip.Prefix]Ban)
	}
	n.byPrefix[p] = b
	n.lengths[family(p.Addr())][p.Bits()]++
}

func (n *networks) remove(p netip.Prefix) {
	delete(n.byPrefix, p)
	n.lengths[family(p.Addr())][p.Bits()]--
}

// match returns the smallest network in force that holds an address.
func (n *networks) match(a netip.Addr, now time.Time) (Ban, bool) {
	lengths := &n.lengths[family(a)]
	for bits := a.BitLen(); bits > 0; bits-- {
		if lengths[bits] == 0 {
			continue
		}
		p, _ := a.Prefix(bits) // fails for lengths that a does not have
		if b, ok := n.byPrefix[p]; ok && !b.expired(now) {
			return b, true
		}
	}
	return Ban{}, false
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
