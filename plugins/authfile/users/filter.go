package users

import (
	"errors"
	"strings"
)

// What stands for the client identifier and the user name in filters.
const (
	clientIDMark = "%c"
	usernameMark = "%u"
)

var errShare = errors.New("must be written without $share/group: shared subscriptions are granted by what they match")

// checkFilter returns nil if s can be the filter of a rule.
func checkFilter(s string) error {
	if strings.HasPrefix(s, "$share/") {
		return errShare
	}
	return checkSyntax(s)
}

// checkSyntax checks a topic filter as MQTT 5, section 4.7, has it.
func checkSyntax(s string) error {
	switch {
	case s == "":
		return errors.New("is empty")
	case len(s) > 65535:
		return errors.New("is longer than 65535 bytes")
	case strings.Contains(s, "\x00"):
		return errors.New("contains U+0000")
	}
	levels := strings.Split(s, "/")
	for i, level := range levels {
		switch {
		case level == "#" && i < len(levels)-1:
			return errors.New("has a level after '#'")
		case len(level) > 1 && strings.ContainsAny(level, "+#"):
			return errors.New("has a wildcard that does not fill a whole level")
		}
	}
	return nil
}
