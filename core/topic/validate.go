package topic

import (
	"errors"
	"strings"
)

// MaxLength is the greatest length of a topic name or filter in bytes
// [MQTT-4.7.3-3].
const MaxLength = 65535

const (
	sharePrefix = "$share/"
	wildcards   = "+#"
)

// What is wrong with a name or a filter. The broker answers all of them with
// the same reason code, so that callers need not tell them apart.
var (
	errEmpty     = errors.New("topic is empty")
	errTooLong   = errors.New("topic is longer than 65535 bytes")
	errNUL       = errors.New("topic contains U+0000")
	errWildcard  = errors.New("topic name contains a wildcard")
	errGlued     = errors.New("wildcard does not fill a whole level")
	errHashInner = errors.New("'#' is not the last level")
	errShareName = errors.New("share name is empty or contains a wildcard")
	errShareless = errors.New("shared subscription has no topic filter")
)

// ValidateName returns nil if s can be published to: not empty
// [MQTT-4.7.3-1], at most [MaxLength] bytes [MQTT-4.7.3-3], without U+0000
// [MQTT-4.7.3-2] and without wildcards [MQTT-3.3.2-2]. It allocates nothing.
// Whether s is valid UTF-8 is the packet decoder's question, and whether a
// client may publish to a '$' topic is the broker's.
func ValidateName(s string) error {
	if err := validateText(s); err != nil {
		return err
	}
	if hasWildcardByte(s) {
		return errWildcard
	}
	return nil
}

// ValidateFilter returns nil if s can be subscribed to: the rules of
// [ValidateName], but with "+" as whole levels [MQTT-4.7.1-2] and "#" as the
// last whole level [MQTT-4.7.1-1]. A filter that begins with "$share/" is
// checked as a shared subscription [MQTT-4.8.2-1] [MQTT-4.8.2-2]. It allocates
// nothing.
func ValidateFilter(s string) error {
	_, _, err := ParseShared(s)
	return err
}

// Levels returns the number of levels of a name or filter: one more than it
// has separators. The empty string has one, empty, level.
func Levels(s string) int { return strings.Count(s, "/") + 1 }

// Shared is a shared subscription's filter, taken apart.
type Shared struct {
	Group  string // the ShareName: not empty, without '/', '+' and '#'
	Filter string // what is matched against topic names
}

// ParseShared takes a valid filter apart. For "$share/group/filter" it returns
// the parts and true; for any other filter it returns a Shared with an empty
// Group, the filter itself and false. An error says that the filter is not
// valid (see [ValidateFilter]). The parts share memory with filter.
func ParseShared(filter string) (sh Shared, shared bool, err error) {
	if err := validateText(filter); err != nil {
		return Shared{}, false, err
	}
	rest, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return Shared{Filter: filter}, false, validateWildcards(filter)
	}
	group, inner, found := strings.Cut(rest, "/")
	switch {
	case group == "" || hasWildcardByte(group):
		return Shared{}, true, errShareName
	case !found || inner == "":
		return Shared{}, true, errShareless
	}
	if err := validateWildcards(inner); err != nil {
		return Shared{}, true, err
	}
	return Shared{Group: group, Filter: inner}, true, nil
}

// validateText checks what names and filters have in common.
func validateText(s string) error {
	switch {
	case s == "":
		return errEmpty
	case len(s) > MaxLength:
		return errTooLong
	case strings.IndexByte(s, 0) >= 0:
		return errNUL
	}
	return nil
}

// validateWildcards checks that wildcards fill whole levels and that '#' is
// the last of them.
func validateWildcards(filter string) error {
	if !hasWildcardByte(filter) {
		return nil
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return errHashInner
		case len(level) > 1 && hasWildcardByte(level):
			return errGlued
		}
	}
	return nil
}

// hasWildcardByte reports whether s contains '+' or '#'. Two passes of
// IndexByte beat ContainsAny, which builds a set first.
func hasWildcardByte(s string) bool {
	return strings.IndexByte(s, '+') >= 0 || strings.IndexByte(s, '#') >= 0
}
