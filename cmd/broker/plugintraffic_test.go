//go:build unix

package main

import (
	"regexp"
	"strings"
	"testing"
)

// What goes to and from plugins, and what a store tells of itself, is shown.
func TestPluginTraffic(t *testing.T) {
	s := newThreePlugins(t, threePlugins)
	p := s.start()
	c := p.connect5("pub")
	for range 3 {
		c.publish("kept", 1, true, "x")
	}
	c.publish("stamp/x", 1, false, "{}")
	info := func(name string) string {
		t.Helper()
		var out strings.Builder
		if status := run([]string{"plugin", "info", name, "--run-dir", p.path("run")}, strings.NewReader(""), &out, &out); status != 0 {
			t.Fatalf("status %d: %s", status, out.String())
		}
		return out.String()
	}
	for name, pattern := range map[string]string{
		"interceptlog": `stream +[1-9]\d* calls in [1-9]\d* frames on 1 streams; \d of \d+ frames away, \d+ of 16777216 bytes queued; 0 answers came too late`,
		"retainjson":   `store +1 messages, [1-9]\d* bytes, revision 3`,
	} {
		if got := info(name); !regexp.MustCompile(pattern).MatchString(got) {
			t.Errorf("%s: there is no %s in\n%s", name, pattern, got)
		}
	}
	p.stop()
}
