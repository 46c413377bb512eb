package users

import (
	"errors"
	"slices"
	"strings"
)

// What stands for the client identifier and the user name in filters.
const (
	clientIDMark = "%c"
	usernameMark = "%u"
)

var (
	errEmbedded = errors.New("%c and %u must fill a whole level, as in a/%c/b")
	errShare    = errors.New("write the filter without $share/group: shared subscriptions are granted by what they match")
)

// checkFilter returns nil if s can be the filter of a rule.
func checkFilter(s string) error {
	if strings.HasPrefix(s, "$share/") {
		return errShare
	}
	if err := checkSyntax(s); err != nil {
		return err
	}
	for level := range strings.SplitSeq(s, "/") {
		if len(level) > len(clientIDMark) && (strings.Contains(level, clientIDMark) || strings.Contains(level, usernameMark)) {
			return errEmbedded
		}
	}
	return nil
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

// holds reports whether a filter has a placeholder.
func holds(filter, mark string) bool {
	return slices.Contains(strings.Split(filter, "/"), mark)
}
