package topic_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", topic.MaxLength)
	tests := []struct {
		s            string
		name, filter bool
	}{
		{"", false, false},
		{"/", true, true},
		{"a/b", true, true},
		{"Accounts payable", true, true},
		{"$SYS/x", true, true},
		{"a/\x00", false, false},
		{long, true, true},
		{long + "a", false, false},
		{"#", false, true},
		{"+", false, true},
		{"a/#", false, true},
		{"a/+/b", false, true},
		{"+/+/#", false, true},
		{"a/#/b", false, false},
		{"#/", false, false},
		{"a#", false, false},
		{"+a", false, false},
		{"a+/b", false, false},
		{"##", false, false},
		{"++", false, false},
		{"+#", false, false},
		{"$share", true, true},
		{"$share/", true, false},
		{"$share/g", true, false},
		{"$share/g/", true, false},
		{"$share//a", true, false},
		{"$share/g/a", true, true},
		{"$share/g//", true, true},
		{"$share/g/+/#", false, true},
		{"$share/g+/a", false, false},
		{"$share/#/a", false, false},
		{"$share/+/a", false, false},
		{"$share/g/a+", false, false},
		{"$share/g/#/a", false, false},
	}
	for _, tt := range tests {
		if err := topic.ValidateName(tt.s); (err == nil) != tt.name {
			t.Errorf("ValidateName(%.20q): %v", tt.s, err)
		}
		if err := topic.ValidateFilter(tt.s); (err == nil) != tt.filter {
			t.Errorf("ValidateFilter(%.20q): %v", tt.s, err)
		}
	}
}

func TestParseShared(t *testing.T) {
	tests := []struct {
		filter string
		want   topic.Shared
		shared bool
	}{
		{"a/b", topic.Shared{Filter: "a/b"}, false},
		{"$share", topic.Shared{Filter: "$share"}, false},
		{"$shared/g/a", topic.Shared{Filter: "$shared/g/a"}, false},
		{"$share/g/a/+", topic.Shared{Group: "g", Filter: "a/+"}, true},
		{"$share/g//a", topic.Shared{Group: "g", Filter: "/a"}, true},
		{"$share/$g/$share/h/a", topic.Shared{Group: "$g", Filter: "$share/h/a"}, true},
	}
	for _, tt := range tests {
		got, shared, err := topic.ParseShared(tt.filter)
		if got != tt.want || shared != tt.shared || err != nil {
			t.Errorf("ParseShared(%q) = %+v, %v, %v", tt.filter, got, shared, err)
		}
	}
}

func TestLevels(t *testing.T) {
	for s, want := range map[string]int{"": 1, "a": 1, "/": 2, "a/b": 2, "a//": 3} {
		if got := topic.Levels(s); got != want {
			t.Errorf("Levels(%q) = %d", s, got)
		}
	}
}
