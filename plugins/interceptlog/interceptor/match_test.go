package interceptor

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestGlob(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"abc", "abc", true},
		{"abc", "abcd", false},
		{"*", "", true},
		{"a*", "a", true},
		{"a*", "ba", false},
		{"*a", "bba", true},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"?", "ü", true},
		{"?", "", false},
		{"a?c*", "abc", true},
		{"*??", "a", false},
		{"*??", "ab", true},
		{`a\*`, "a*", true},
		{`a\*`, "ab", false},
		{`\\`, `\`, true},
		{"**a**", "bab", true},
	}
	for _, test := range tests {
		g := parseGlob(test.pattern)
		if got := g.match(test.s); got != test.want {
			t.Errorf("%q matches %q: %v", test.pattern, test.s, got)
		}
	}
}

func TestGlobAsRegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune(`ab*?ü`)), 0, 8, -1).Draw(t, "pattern")
		s := rapid.StringOfN(rapid.RuneFrom([]rune(`abü*`)), 0, 10, -1).Draw(t, "s")
		re := "(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern)) + "$"
		g := parseGlob(pattern)
		if got, want := g.match(s), regexp.MustCompile(re).MatchString(s); got != want {
			t.Fatalf("%q matches %q: %v", pattern, s, got)
		}
	})
}

// TestOverlap compares with trying all topics, the empty one too, which only
// filters can have.
func TestOverlap(t *testing.T) {
	levels := []string{"", "a", "b", "$x"}
	var topics []string
	for _, a := range levels {
		topics = append(topics, a)
		for _, b := range levels {
			topics = append(topics, a+"/"+b)
			for _, c := range levels {
				topics = append(topics, a+"/"+b+"/"+c, a+"/"+b+"/"+c+"/a")
			}
		}
	}
	filter := rapid.Custom(func(t *rapid.T) string {
		ls := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "b", "+", "$x"}), 1, 3).Draw(t, "levels")
		if rapid.Bool().Draw(t, "rest") {
			ls = append(ls[:len(ls)-1], "#")
		}
		return strings.Join(ls, "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := filter.Draw(t, "a"), filter.Draw(t, "b")
		if a == "" || b == "" {
			return
		}
		want := false
		for _, topic := range topics {
			want = want || pluginapi.Match(a, topic) && pluginapi.Match(b, topic)
		}
		if got := overlap(a, b); got != want || overlap(b, a) != got {
			t.Fatalf("%q and %q overlap: %v", a, b, got)
		}
	})
}

func TestTemplates(t *testing.T) {
	s := &subject{message: message("a/b/c", ""), client: "c", user: "u"}
	for in, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"{{}}":                      "{}",
		"{{{client}}}":              "{c}",
		"{time}":                    "2026-03-01T12:30:00.123Z",
		"{unix}.{unix_ms}":          "1772368200.1772368200123",
		"{topic}|{topic.1}":         "a/b/c|a",
		"{topic.3}{topic.4}":        "c",
		"{topic.1+}|{topic.2+}":     "a/b/c|b/c",
		"{topic.4+}|{client}{user}": "|cu",
	} {
		tmpl, err := parseTemplate(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := string(tmpl.expand(nil, s)); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"{", "}", "{client", "a}b", "{}", "{Client}", "{topic.}", "{topic.-1}", "{topic.x+}", "{{}"} {
		if _, err := parseTemplate(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestReasonCodes(t *testing.T) {
	for n := firstFailure; n <= lastFailure; n++ {
		var c reasonCode
		if strings.HasPrefix(n.String(), "reason code") {
			continue
		}
		name := `"` + strings.ReplaceAll(strings.ToUpper(n.String()), " ", "_") + `"`
		if err := c.UnmarshalJSON([]byte(name)); err != nil || pluginapi.ReasonCode(c) != n {
			t.Errorf("%s is %d, %v", name, c, err)
		}
	}
}
