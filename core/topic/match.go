package topic

import "strings"

// Match reports whether filter matches name (section 4.7): "+" stands for any
// one level, a last "#" for the parent level and everything below it, and a
// wildcard in the first level never stands for one that begins with '$'
// [MQTT-4.7.2-1]. Everything else is compared byte by byte, case included.
//
// A name that contains a wildcard character is not a topic name and matches
// nothing; hence neither does a filter with a misplaced wildcard. A shared
// subscription's filter is matched without its "$share/group/" (see
// [ParseShared]). Match allocates nothing.
func Match(filter, name string) bool {
	if hasWildcardByte(name) || !wildcardFits(filter, name) {
		return false
	}
	_, end := consume(filter, name, 0)
	return end == matchedAll
}

// Covers reports whether every name that narrow matches is matched by wide
// too: whether a grant for wide allows a subscription to narrow. "$"-topics
// count: "#" does not cover "$SYS/#", and "#" and "+/#" cover each other. A
// malformed filter covers nothing and is covered by nothing.
func Covers(wide, narrow string) bool {
	if validateWildcards(wide) != nil || validateWildcards(narrow) != nil || !wildcardFits(wide, narrow) {
		return false
	}
	w, n := newLevels(wide), newLevels(narrow)
	for {
		wl, wok := w.next()
		if wok && wl == "#" {
			return true
		}
		nl, nok := n.next()
		switch {
		case wok != nok:
			return false
		case !wok:
			return true
		case nl == "#":
			return false // narrow may end here, where wide wants one level more
		case wl != "+" && wl != nl:
			return false
		}
	}
}

// Overlaps reports whether some name is matched by both filters: whether a
// rule for one has a say about the other. A malformed filter overlaps nothing.
func Overlaps(a, b string) bool {
	if validateWildcards(a) != nil || validateWildcards(b) != nil || !wildcardFits(a, b) || !wildcardFits(b, a) {
		return false
	}
	as, bs := newLevels(a), newLevels(b)
	for {
		al, aok := as.next()
		bl, bok := bs.next()
		switch {
		case aok && al == "#", bok && bl == "#":
			return true
		case aok != bok:
			return false
		case !aok:
			return true
		case al != "+" && bl != "+" && al != bl:
			return false
		}
	}
}

// wildcardFits is the rule of [MQTT-4.7.2-1]: a first level that begins with
// '$' is not matched by a wildcard.
func wildcardFits(filter, name string) bool {
	return name == "" || name[0] != '$' || filter == "" || (filter[0] != '+' && filter[0] != '#')
}

// How far consume came.
type progress uint8

const (
	mismatch     progress = iota
	matchedLabel          // the label is used up, the name is not
	matchedAll            // both are used up, or the label's '#' took the rest
)

// consume matches the levels of label, which may be a filter or a part of one,
// against the levels of name from byte pos on, and returns the position of the
// first level that is left if there is one. A name that is used up has the
// position len(name)+1: one past the separator that does not follow.
func consume(label, name string, pos int) (next int, p progress) {
	for {
		level, rest, more := strings.Cut(label, "/")
		if level == "#" && !more {
			return len(name) + 1, matchedAll
		}
		if pos > len(name) {
			return pos, mismatch
		}
		end := levelEnd(name, pos)
		if level != "+" && level != name[pos:end] {
			return pos, mismatch
		}
		pos = end + 1
		if !more {
			if pos > len(name) {
				return pos, matchedAll
			}
			return pos, matchedLabel
		}
		label = rest
	}
}

// levelEnd returns the index of the first separator of s at or after pos, or
// len(s).
func levelEnd(s string, pos int) int {
	if i := strings.IndexByte(s[pos:], '/'); i >= 0 {
		return pos + i
	}
	return len(s)
}

// levels walks the levels of a filter. A filter that is nothing but "#" is
// walked as "+/#", which matches the same names: so "#" always means "zero or
// more levels further down".
type levels struct {
	rest string
	done bool
}

func newLevels(filter string) levels {
	if filter == "#" {
		filter = "+/#"
	}
	return levels{rest: filter}
}

func (l *levels) next() (level string, ok bool) {
	if l.done {
		return "", false
	}
	level, rest, more := strings.Cut(l.rest, "/")
	l.rest, l.done = rest, !more
	return level, true
}
