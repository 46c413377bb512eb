package pluginapi

import "strings"

// Match reports whether a topic filter matches a topic name: "+" is any one
// level, "#" at the end any number of levels and the parent
// [MQTT-4.7.1-2], and neither matches a first level that begins with "$"
// [MQTT-4.7.2-1]. A "$share/GROUP/" prefix of the filter is skipped. It
// allocates nothing.
func Match(filter, topic string) bool {
	if _, rest, ok := SplitShared(filter); ok {
		filter = rest
	}
	if strings.HasPrefix(topic, "$") && !strings.HasPrefix(filter, "$") {
		return false
	}
	for {
		level, filters, more := strings.Cut(filter, "/")
		if level == "#" {
			return !more
		}
		name, topics, deeper := strings.Cut(topic, "/")
		if level != "+" && level != name {
			return false
		}
		switch {
		case more && deeper:
			filter, topic = filters, topics
		case more:
			return filters == "#"
		default:
			return !deeper
		}
	}
}

// SplitShared takes the filter of a shared subscription apart:
// "$share/workers/jobs/#" into "workers" and "jobs/#". ok is false for any other
// filter.
func SplitShared(filter string) (group, rest string, ok bool) {
	s, ok := strings.CutPrefix(filter, "$share/")
	if !ok {
		return "", "", false
	}
	group, rest, ok = strings.Cut(s, "/")
	if !ok || group == "" || rest == "" {
		return "", "", false
	}
	return group, rest, true
}

// Expand puts a client identifier for %c and a user name for %u into a filter,
// as the broker does with the filters of grants. Such a value stands for one
// level: if a value that the filter needs is empty or has a "/", "+" or "#" in
// it, the filter matches nothing and ok is false.
func Expand(filter, clientID, username string) (expanded string, ok bool) {
	for _, v := range [...]struct{ name, value string }{{"%c", clientID}, {"%u", username}} {
		if strings.Contains(filter, v.name) && (v.value == "" || strings.ContainsAny(v.value, "/+#")) {
			return "", false
		}
	}
	// One pass, so that a value with %u in it stays what it is.
	return strings.NewReplacer("%c", clientID, "%u", username).Replace(filter), true
}
