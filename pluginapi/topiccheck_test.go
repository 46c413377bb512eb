package pluginapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// What the broker's own package says of names and filters holds here too.
func TestCheckTopicAndFilter(t *testing.T) {
	for _, s := range []string{
		"", "a", "/", "a/b", "a//b", "+", "#", "a/+", "a/#", "+/+/#", "#/a", "a/#/b", "a+", "a/b#", "+a/b", "$SYS/#", "$SYS", "$share",
		"$share/", "$share/g", "$share/g/", "$share/g/a", "$share/g/a/#", "$share/g/#/a", "$share/+/a", "$share/g#/a", "$share//a",
		"a\x00b", "ü/日本", strings.Repeat("x", 65535), strings.Repeat("x", 65536), "a/", "a/+/",
	} {
		if got, want := pluginapi.CheckTopic(s) == nil, topic.ValidateName(s) == nil; got != want {
			t.Errorf("CheckTopic(%.40q) is fine: %v, want %v", s, got, want)
		}
		if got, want := pluginapi.CheckFilter(s) == nil, topic.ValidateFilter(s) == nil; got != want {
			t.Errorf("CheckFilter(%.40q) is fine: %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"\xff", "a/\xc3\x28"} {
		if pluginapi.CheckTopic(s) == nil || pluginapi.CheckFilter(s) == nil {
			t.Errorf("%q is fine, and is not UTF-8", s)
		}
	}
}

func TestCaptures(t *testing.T) {
	for _, c := range []struct {
		filter, topic string
		want          []string
		ok            bool
	}{
		{"a/b", "a/b", nil, true},
		{"a/b", "a/c", nil, false},
		{"a/+", "a/b", []string{"b"}, true},
		{"+/+", "/b", []string{"", "b"}, true},
		{"+/x/#", "a/x/b/c", []string{"a", "b/c"}, true},
		{"a/#", "a", []string{""}, true},
		{"#", "a/b", []string{"a/b"}, true},
		{"#", "$SYS/b", nil, false},
		{"$share/g/a/+", "a/b", []string{"b"}, true},
		{"a/+/", "a/b/", []string{"b"}, true},
	} {
		got, ok := pluginapi.Captures(c.filter, c.topic)
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("Captures(%q, %q) = %q, %v; want %q, %v", c.filter, c.topic, got, ok, c.want, c.ok)
		}
	}
}
