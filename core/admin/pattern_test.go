package admin

import (
	"regexp"
	"strings"
	"testing"
)

// byRegexp is the plain way to say what a pattern matches.
func byRegexp(p, s string) bool {
	if p == "" {
		return true
	}
	expr := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(p))
	return regexp.MustCompile(`(?s)^(?:` + expr + `)$`).MatchString(s)
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "anything", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"a*", "a", true},
		{"*b", "aab", true},
		{"a*b*c", "axxbyybc", true},
		{"a*b*c", "axxbyyb", false},
		{"?", "ü", true},
		{"??", "ü", false},
		{"*", "", true},
		{"a?c", "a/c", true},
		{"a.c", "abc", false},
		{strings.Repeat("a*", 200) + "b", strings.Repeat("a", 1000), false}, // in no time
	} {
		if got := pattern(tt.pattern).matches(tt.text); got != tt.want {
			t.Errorf("%.20q matches %.20q: %v", tt.pattern, tt.text, got)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add("a*b?c", "aüb/c")
	f.Fuzz(func(t *testing.T, p, s string) {
		p, s = strings.ToValidUTF8(p, ""), strings.ToValidUTF8(s, "")
		if len(p) > 50 || len(s) > 50 {
			return
		}
		if got, want := pattern(p).matches(s), byRegexp(p, s); got != want {
			t.Errorf("%q matches %q: %v", p, s, got)
		}
	})
}
