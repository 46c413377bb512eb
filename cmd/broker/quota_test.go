//go:build unix

package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/password"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// quotaUsers gives alice a quota.
func quotaUsers(t *testing.T, s *site, quota string) {
	t.Helper()
	hash, err := password.Hash([]byte("secret"), password.Params{Memory: 8, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.write("users.yaml", fmt.Sprintf(
		"anonymous: {allow: {both: '#'}}\nusers: [{name: alice, password: '%s', allow: {both: '#'}, quota: %s}]\n", hash, quota))
}

func (p *proc) alice(id string) *client5 {
	p.t.Helper()
	c, _, err := p.dial5(id, "alice", "secret")
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// A user's connections share a quota, and what was used stays used when the
// plugin crashes or is replaced, the broker is stopped, and the broker is killed; a
// new month begins anew.
func TestQuota(t *testing.T) {
	zone := whereNoonIs(t)
	s := newSite(t, "plugins: {authfile: {config: {file: users.yaml, time_zone: "+zone.String()+"}}}\n", "authfile")
	quotaUsers(t, s, "{of: publish, bytes_per_month: 100}")
	p := s.start()
	publish := func(c *client5, size int, want mqtt.ReasonCode) {
		t.Helper()
		code, reason := c.publish("t", 1, false, strings.Repeat("x", size-len("t")))
		if code != byte(want) || want.Failed() && reason != "the quota is used up" {
			t.Errorf("%d bytes: code %#x %q, want %v", size, code, reason, want)
		}
	}
	const ok, over = mqtt.NoMatchingSubscribers, mqtt.QuotaExceeded
	one, two := p.alice("one"), p.alice("two")
	publish(one, 30, ok)
	publish(two, 30, ok)
	publish(one, 41, over)
	for want, args := range map[string][]string{
		`its quota leaves "alice" 40 of 100 bytes this month`: {"--payload", "p"},
		"refused with 0x97": {"--payload", strings.Repeat("x", 40)},
	} {
		out := p.does(append([]string{"explain", "--client", "one", "--topic", "t"}, args...)...)
		if !strings.Contains(out, want) || !strings.Contains(out, "40 of 100 bytes") {
			t.Errorf("broker explain says\n%s", out)
		}
	}
	if out := p.does("quota", "list", "authfile/*"); !strings.Contains(out, "60 of 100") || !strings.Contains(out, "authfile/alice") {
		t.Errorf("broker quota list says\n%s", out)
	}

	old := p.plugin("authfile").GetPid()
	if err := syscall.Kill(int(old), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.waitPlugin("authfile", "ready again", func(a *adminv1.Plugin) bool {
		return a.GetPid() != old && a.GetState() == adminv1.PluginState_PLUGIN_STATE_READY
	})
	publish(two, 41, over)
	three := p.alice("three")
	publish(three, 30, ok) // 90 of 100
	p.waitLog("quota is nearly used up")
	p.does("plugin", "reload", "authfile")
	publish(p.alice("four"), 11, over)
	p.waitLog("quota is used up")

	p.stop()
	p = s.start()
	publish(p.alice("one"), 11, over)
	publish(p.alice("one"), 5, ok)
	waitFile(t, s, "data/quotas.json", `"bytes": 95`)
	p.kill()
	p = s.start()
	publish(p.alice("one"), 6, over)
	publish(p.alice("one"), 5, ok)

	p.does("quota", "reset", "authfile/alice")
	publish(p.alice("one"), 100, ok)
	if c := s.typeIn("", "quota", "reset", "authfile/nobody"); c.wait() != exitNotFound {
		t.Errorf("resetting an account that there is not: %d", c.exit)
	}
	p.stop()

	// Somebody has come back after a month.
	text := string(s.read("data/quotas.json"))
	now := time.Now().In(zone)
	past := now.AddDate(0, 0, -32)
	text = strings.ReplaceAll(text, now.Format("2006-01-02"), past.Format("2006-01-02"))
	s.write("data/quotas.json", strings.ReplaceAll(text, `"`+now.Format("2006-01")+`"`, `"`+past.Format("2006-01")+`"`))
	p = s.start()
	publish(p.alice("one"), 100, ok)
	p.stop()
}

// whereNoonIs returns a time zone where the day, and the month, is not about to
// end.
func whereNoonIs(t *testing.T) *time.Location {
	t.Helper()
	name := "UTC"
	switch ahead := 12 - time.Now().UTC().Hour(); { // the names have their signs the other way round
	case ahead > 0:
		name = fmt.Sprintf("Etc/GMT-%d", ahead)
	case ahead < 0:
		name = fmt.Sprintf("Etc/GMT+%d", -ahead)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// waitFile waits until a file of the site has a text.
func waitFile(t *testing.T, s *site, name, text string) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		got, err := os.ReadFile(s.path(name))
		if err == nil && strings.Contains(string(got), text) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s has no %s: %v\n%s", name, text, err, got)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}
