package topic_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

func TestMatch(t *testing.T) {
	tests := []struct {
		filter, name string
		want         bool
	}{
		// The examples of section 4.7.1.
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/#", "sport", true},
		{"#", "sport", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		// 4.7.2 and 4.7.3.
		{"#", "$SYS/uptime", false},
		{"+/uptime", "$SYS/uptime", false},
		{"+/#", "$SYS", false},
		{"$SYS/#", "$SYS/uptime", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/$x", true},
		{"a/+", "a/$x", true},
		{"ACCOUNTS", "Accounts", false},
		{"/finance", "finance", false},
		// Empty levels.
		{"/", "/", true},
		{"+/", "/", true},
		{"//", "//", true},
		{"/+/", "//", true},
		{"/#", "/", true},
		{"/#", "/a", true},
		{"/#", "a", false},
		{"a//b", "a/b", false},
		{"a/+/b", "a//b", true},
		{"a/#", "a/", true},
		{"a/#", "ab", false},
		{"a/#", "ab/c", false},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		// Malformed input matches nothing.
		{"a/#/b", "a/#/b", false},
		{"#", "#", false},
		{"+", "+", false},
		{"a+", "a+", false},
		{"a+", "ab", false},
		{"#/a", "b/a", false},
		{"\xff", "\xff", true},
		{"", "", true},
	}
	for _, tt := range tests {
		if got := topic.Match(tt.filter, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.filter, tt.name, got)
		}
	}
}

func TestMatchIsNaiveMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		filter, name := anyFilters.Draw(t, "filter"), rapid.OneOf(names, filters).Draw(t, "name")
		if got, want := topic.Match(filter, name), naiveMatch(filter, name); got != want {
			t.Fatalf("Match(%q, %q) = %v, naive %v", filter, name, got, want)
		}
	})
}

// everyName returns all names of at most n levels from a few: enough to tell
// any two filters of less than n levels apart that are made of the same ones,
// for "x" is a level that no filter has.
func everyName(n int) []string {
	var all []string
	for _, first := range []string{"", "a", "$s", "x", "$x"} {
		all = append(all, first)
		if n > 1 {
			for _, rest := range everyName(n - 1) {
				all = append(all, first+"/"+rest)
			}
		}
	}
	return all
}

func TestCoversAndOverlapsByEveryName(t *testing.T) {
	universe := everyName(4)
	few := paths(3, "", "a", "$s", "+", "#")
	rapid.Check(t, func(t *rapid.T) {
		a, b := few.Draw(t, "a"), few.Draw(t, "b")
		valid := topic.ValidateFilter(a+"/a") == nil && topic.ValidateFilter("a/"+b) == nil
		if strings.HasSuffix(a, "#") {
			valid = topic.ValidateFilter("a/"+a) == nil && topic.ValidateFilter("a/"+b) == nil
		}
		covers, overlaps := valid, false
		for _, name := range universe {
			inA, inB := naiveMatch(a, name), naiveMatch(b, name)
			covers = covers && (inA || !inB)
			overlaps = overlaps || (valid && inA && inB)
		}
		if got := topic.Covers(a, b); got != covers {
			t.Fatalf("Covers(%q, %q) = %v", a, b, got)
		}
		if got := topic.Overlaps(a, b); got != overlaps {
			t.Fatalf("Overlaps(%q, %q) = %v", a, b, got)
		}
	})
}

func TestCovers(t *testing.T) {
	tests := []struct {
		wide, narrow string
		want         bool
	}{
		{"#", "a", true},
		{"#", "#", true},
		{"#", "+/+", true},
		{"+/#", "#", true},
		{"#", "+/#", true},
		{"#", "$SYS/#", false},
		{"$SYS/#", "$SYS/+/x", true},
		{"a/#", "a", true},
		{"a/#", "a/#", true},
		{"a/+/#", "a/#", false},
		{"a/#", "a/+/#", true},
		{"a/+", "a/b", true},
		{"a/b", "a/+", false},
		{"a/+", "a/#", false},
		{"+", "#", false},
		{"a", "a", true},
		{"a", "b", false},
		{"a/#/b", "a/#/b", false},
		{"#", "a+", false},
		{"a+", "a+", false},
	}
	for _, tt := range tests {
		if got := topic.Covers(tt.wide, tt.narrow); got != tt.want {
			t.Errorf("Covers(%q, %q) = %v", tt.wide, tt.narrow, got)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{"", "/", "a/b", "+/+", "a/#", "#", "$share/g/a/+", "$share/g", "$share//a", "a/#/b", "a+", "\x00", "$SYS/#", "\xff/+"} {
		f.Add(s, "a/b")
		f.Add("a/+/#", s)
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		matched := topic.Match(filter, name)
		if want := naiveMatch(filter, name); matched != want {
			t.Fatalf("Match(%q, %q) = %v, naive %v", filter, name, matched, want)
		}
		if matched != treeMatches(filter, name) {
			t.Fatalf("the tree differs from Match(%q, %q) = %v", filter, name, matched)
		}
		// The index holds names only; what is none is not its question.
		validName := topic.ValidateName(name) == nil
		if validName && topic.ValidateFilter("x/"+filter) == nil && matched != indexMatches(filter, name) {
			t.Fatalf("the index differs from Match(%q, %q) = %v", filter, name, matched)
		}
		covers, overlaps := topic.Covers(filter, name), topic.Overlaps(filter, name)
		if overlaps != topic.Overlaps(name, filter) {
			t.Fatalf("Overlaps(%q, %q) is not symmetric", filter, name)
		}
		if validName && topic.ValidateFilter("x/"+filter) == nil && (covers != matched || overlaps != matched) {
			t.Fatalf("for the name %[2]q: Match(%[1]q) = %[3]v, Covers %[4]v, Overlaps %[5]v", filter, name, matched, covers, overlaps)
		}
		sh, shared, err := topic.ParseShared(filter)
		if (err == nil) != (topic.ValidateFilter(filter) == nil) {
			t.Fatalf("ParseShared and ValidateFilter differ about %q", filter)
		}
		if err == nil && shared && "$share/"+sh.Group+"/"+sh.Filter != filter {
			t.Fatalf("ParseShared(%q) = %+v", filter, sh)
		}
	})
}

func treeMatches(filter, name string) bool {
	var tree topic.Tree[int, int]
	tree.Set(filter, 1, 1)
	tree.Set(filter+"/x", 2, 2) // so that nodes are cut
	found := false
	tree.Match(name, func(_ string, k, _ int) bool { found = found || k == 1; return true })
	return found
}

func indexMatches(filter, name string) bool {
	var index topic.Index[int]
	index.Set(name, 1)
	index.Set(name+"/x", 2)
	found := false
	index.Match(filter, func(_ string, v int) bool { found = found || v == 1; return true })
	return found
}
