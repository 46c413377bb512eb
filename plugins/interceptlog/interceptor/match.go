package interceptor

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// matcher says to which calls a rule applies. Empty parts match everything.
type matcher struct {
	filters []string
	clients []glob
	users   []glob
	origins []pluginapi.Origin
	qos     []pluginapi.QoS
	retain  *bool
}

// matches reports whether the matcher applies to s as it is now, after the
// rules before.
func (m *matcher) matches(s *subject) bool {
	if len(m.filters) > 0 && !slices.ContainsFunc(m.filters, s.under) {
		return false
	}
	if len(m.clients) > 0 && !anyGlob(m.clients, s.client) || len(m.users) > 0 && !anyGlob(m.users, s.user) {
		return false
	}
	if len(m.qos) > 0 && !slices.Contains(m.qos, s.qos()) {
		return false
	}
	if s.message == nil {
		return true
	}
	return (len(m.origins) == 0 || slices.Contains(m.origins, s.message.Origin)) &&
		(m.retain == nil || *m.retain == s.message.Retain)
}

func anyGlob(globs []glob, s string) bool {
	for i := range globs {
		if globs[i].match(s) {
			return true
		}
	}
	return false
}

// glob is a pattern: * is any text, ? any one character, \ takes the meaning
// from the character behind it.
type glob struct {
	exact, prefix bool   // the pattern is text, but for a * at its end if prefix
	text          string // then
	pattern       []globPart
}

// globPart is a * with the characters up to the next.
type globPart struct {
	star  bool
	runes []rune // anyRune for ?
}

const anyRune rune = -1

func parseGlob(s string) glob {
	parts := []globPart{{}}
	escaped := false
	for _, r := range s {
		last := &parts[len(parts)-1]
		switch {
		case escaped:
			escaped = false
			last.runes = append(last.runes, r)
		case r == '\\':
			escaped = true
		case r == '*':
			parts = append(parts, globPart{star: true})
		case r == '?':
			last.runes = append(last.runes, anyRune)
		default:
			last.runes = append(last.runes, r)
		}
	}
	plain := !slices.Contains(parts[0].runes, anyRune)
	switch {
	case plain && len(parts) == 1:
		return glob{exact: true, text: string(parts[0].runes)}
	case plain && len(parts) == 2 && len(parts[1].runes) == 0:
		return glob{prefix: true, text: string(parts[0].runes)}
	}
	return glob{pattern: parts}
}

func (g *glob) match(s string) bool {
	switch {
	case g.exact:
		return s == g.text
	case g.prefix:
		return strings.HasPrefix(s, g.text)
	}
	last := len(g.pattern) - 1
	for i, p := range g.pattern {
		switch {
		case !p.star: // the first
			rest, ok := p.begin(s)
			if !ok || last == 0 && rest != "" {
				return false
			}
			s = rest
		case i == last:
			return p.end(s)
		default:
			var ok bool
			if s, ok = p.find(s); !ok {
				return false
			}
		}
	}
	return true
}

// begin takes the characters from the beginning of s.
func (p *globPart) begin(s string) (rest string, ok bool) {
	for _, want := range p.runes {
		if s == "" {
			return "", false
		}
		r, n := utf8.DecodeRuneInString(s)
		if want != anyRune && want != r {
			return "", false
		}
		s = s[n:]
	}
	return s, true
}

// find takes them where they come first; that leaves the most to the others.
func (p *globPart) find(s string) (rest string, ok bool) {
	for {
		if rest, ok := p.begin(s); ok {
			return rest, true
		}
		if s == "" {
			return "", false
		}
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
}

// end reports whether s ends in them.
func (p *globPart) end(s string) bool {
	skip := utf8.RuneCountInString(s) - len(p.runes)
	if skip < 0 {
		return false
	}
	for range skip {
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
	rest, ok := p.begin(s)
	return ok && rest == ""
}

// overlap reports whether some topic is matched by both filters, which are
// valid and not of shared subscriptions.
func overlap(a, b string) bool {
	if strings.HasPrefix(a, "$") != strings.HasPrefix(b, "$") {
		return false // wildcards at the first level do not match $-topics
	}
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		switch {
		case x == "#" || y == "#":
			return true
		case x != "+" && y != "+" && x != y:
			return false
		case moreA && moreB:
			a, b = restA, restB
		case moreA:
			return restA == "#"
		case moreB:
			return restB == "#"
		default:
			return true
		}
	}
}

// checkFilter says what is wrong with a topic filter, "" for nothing.
func checkFilter(f string) string {
	levels := strings.Split(f, "/")
	for i, l := range levels {
		switch {
		case l == "#" && i < len(levels)-1:
			return "has a # that is not its last level"
		case l != "#" && l != "+" && strings.ContainsAny(l, "#+"):
			return "has a wildcard that is not a whole level"
		}
	}
	switch {
	case f == "":
		return "is empty"
	case len(f) > maxTopic:
		return "is longer than 65535 bytes"
	case strings.ContainsRune(f, 0):
		return "has a NUL character"
	case strings.HasPrefix(f, "$share/"):
		return "is that of a shared subscription; write what comes after the group"
	}
	return ""
}

const maxTopic = 65535

// validTopic reports whether a message may have this topic.
func validTopic(t string) bool {
	return t != "" && len(t) <= maxTopic && !strings.ContainsAny(t, "+#\x00")
}
