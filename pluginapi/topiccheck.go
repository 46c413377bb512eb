package pluginapi

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTopic is the most bytes of a topic name or filter [MQTT-4.7.3-3].
const maxTopic = 65535

// CheckTopic says why topic is not a topic name to which a message can be
// published, nil if it is one: it is not empty [MQTT-4.7.3-1], at most 65,535
// bytes of UTF-8 without U+0000 [MQTT-4.7.3-2], and has no wildcards
// [MQTT-4.7.0-1]. A plugin that makes topics out of what clients send, checks
// them with this.
func CheckTopic(topic string) error {
	if err := checkTopicText("topic", topic); err != nil {
		return err
	}
	if i := strings.IndexAny(topic, "+#"); i >= 0 {
		return fmt.Errorf("topic %.100q: a topic name has no wildcard %q", topic, topic[i])
	}
	return nil
}

// CheckFilter says why filter is not a topic filter that can be subscribed or
// granted, nil if it is one: "+" fills a whole level [MQTT-4.7.1-2], "#" the last
// one [MQTT-4.7.1-1], and behind "$share/" there are a group without wildcards
// and a filter [MQTT-4.8.2-1] [MQTT-4.8.2-2]. A plugin that has filters in its
// configuration checks them with this in [Plugin.Check].
func CheckFilter(filter string) error {
	if err := checkTopicText("filter", filter); err != nil {
		return err
	}
	rest := filter
	if strings.HasPrefix(filter, "$share/") {
		group, inner, ok := SplitShared(filter)
		if !ok {
			return fmt.Errorf("filter %.100q: a shared subscription is $share/GROUP/FILTER", filter)
		}
		if strings.ContainsAny(group, "+#") {
			return fmt.Errorf("filter %.100q: the name of a group has no wildcards", filter)
		}
		rest = inner
	}
	for rest != "" {
		level, after, more := strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return fmt.Errorf("filter %.100q: # is only allowed as the last level", filter)
		case level != "#" && level != "+" && strings.ContainsAny(level, "+#"):
			return fmt.Errorf("filter %.100q: a wildcard has to fill a whole level, unlike in %.100q", filter, level)
		}
		rest = after
	}
	return nil
}

func checkTopicText(what, s string) error {
	switch {
	case s == "":
		return errors.New(what + " is empty")
	case len(s) > maxTopic:
		return fmt.Errorf("%s of %d bytes: %d is the most", what, len(s), maxTopic)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s %.100q: is not valid UTF-8", what, s)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%s %.100q: has a zero character", what, s)
	}
	return nil
}

// Captures returns what stands for the wildcards of a filter in a topic: one
// level for each "+", and for "#" all that is left, which may be empty. ok is
// false if the filter does not match; see [Match].
//
//	Captures("sensors/+/#", "sensors/7/temp/max") is "7", "temp/max"
func Captures(filter, topic string) (captures []string, ok bool) {
	if !Match(filter, topic) {
		return nil, false
	}
	if _, rest, shared := SplitShared(filter); shared {
		filter = rest
	}
	for filter != "" {
		var level, name string
		level, filter, _ = strings.Cut(filter, "/")
		if level == "#" {
			return append(captures, topic), true
		}
		name, topic, _ = strings.Cut(topic, "/")
		if level == "+" {
			captures = append(captures, name)
		}
	}
	return captures, true
}
