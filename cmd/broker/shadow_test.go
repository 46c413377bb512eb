//go:build unix

package main

import (
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// secondStamper makes a folder with another version of the stamper, outside of the
// plugin directory.
func (s *site) secondStamper(version, summary string) string {
	s.t.Helper()
	s.link("next/stamper/stamper")
	s.write("next/stamper/plugin.json", strings.NewReplacer("VERSION", version, "SUMMARY", summary).Replace(
		`{"schema": 1, "name": "stamper", "version": "VERSION", "summary": "SUMMARY", "api": ["gatehouse.plugin.v1"], "services": ["gatehouse.plugin.v1.MessageInterceptorService"]}`))
	return s.path("next/stamper")
}

// A second version with other rules is asked the same as the first: what differs
// is told, without passwords, and no client gets to see it.
func TestShadow(t *testing.T) {
	s := newSite(t, twoPlugins, "authfile", "interceptlog")
	s.alice()
	s.link("next/interceptlog")
	s.link("next/authfile")
	s.write("new.yaml", "rules:\n  - match: {topic: 'stamp/#'}\n    actions: [{set_json: {path: by, value: '{client}'}}]\n"+
		"  - match: {topic: 'forbidden/#'}\n    actions: [{refuse: {code: quota exceeded, reason: 'not here'}}]\n")
	s.write("nobody.yaml", strings.Replace(string(s.read("users.yaml")), "name: alice", "name: bob", 1))
	s.write("nobody.json", `{"file": "`+s.path("nobody.yaml")+`"}`)
	p := s.start()
	rules := s.typeIn("", "plugin", "shadow", "interceptlog", s.path("next/interceptlog"), "--config", s.path("new.yaml"), "--count", "1")
	auth := s.typeIn("", "plugin", "shadow", "authfile", s.path("next/authfile"), "--config", s.path("nobody.json"), "--count", "1", "--json")
	rules.waitErr("is asked the same as interceptlog; Ctrl-C ends it")
	auth.waitErr("is asked the same as authfile")
	sub := p.connect5("sub")
	sub.subscribe("stamp/#", 1)
	c, _, err := p.dial5("me", "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	sub.publish("forbidden/x", 1, false, "x")
	c.publish("stamp/x", 1, false, `{"v": 1}`)
	expect(t, sub.got, message{"stamp/x", `{"v": 1,"seen_by":"me"}`, 1, false})
	if rules.wait() != 1 {
		t.Errorf("exit status %d: %s", rules.exit, &rules.err)
	}
	out := timeless(rules.out.String())
	for _, want := range []string{
		"interceptlog publish  me stamp/x qos 1 `{\"v\": 1}`\n" +
			"  - pass, changed\n  -   payload: `{\"v\": 1}` -> `{\"v\": 1,\"seen_by\":\"me\"}`\n" +
			"  + pass, changed\n  +   payload: `{\"v\": 1}` -> `{\"v\": 1,\"by\":\"me\"}`\n",
		"publish: 1 decisions are the same, 1 differ\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("printed\n%s\nand not\n%s", out, want)
		}
	}
	if auth.wait() != 1 {
		t.Errorf("exit status %d: %s", auth.exit, &auth.err)
	}
	lines := strings.Split(strings.TrimSpace(auth.out.String()), "\n")
	d, sum := new(adminv1.ShadowDifference), new(adminv1.Shadow)
	if err := protojson.Unmarshal([]byte(lines[0]), d); err != nil {
		t.Fatal(err, lines)
	}
	if err := protojson.Unmarshal([]byte(lines[len(lines)-1]), sum); err != nil {
		t.Fatal(err, lines)
	}
	if string(d.GetPlugin().GetConnect().GetPassword()) != redacted || d.GetPlugin().GetDecision().GetReasonCode() != 0 || d.GetShadow().GetDecision().GetReasonCode() == 0 ||
		sum.GetHooks()[0].GetDiffer() != 1 || strings.Contains(auth.out.String(), "c2VjcmV0") {
		t.Errorf("printed %s", &auth.out)
	}
	if got := s.refusesTo("plugin", "shadow", "interceptlog", "--stop"); !strings.Contains(got, "has no shadow") {
		t.Errorf("after its end: %s", got)
	}
	for _, folder := range []string{"data/shadows/plugins/interceptlog", "data/plugins/interceptlog"} {
		if _, err := os.Stat(s.path(folder)); err != nil {
			t.Error(err)
		}
	}
}

// A shadow that was left running is told of by info, is followed later, and its
// crashes are its own.
func TestShadowLeftRunning(t *testing.T) {
	s := newSite(t, "")
	s.stamper("2.0.0", "")
	next := s.secondStamper("4.0.0", "crashes at 3")
	p := s.start()
	c := p.connect5("me")
	if got := s.does("plugin", "shadow", "stamper", next, "--detach"); got != "" {
		t.Errorf("printed %q", got)
	}
	if got := s.refusesTo("plugin", "shadow", "stamper", next); !strings.Contains(got, "has a shadow") {
		t.Errorf("a second shadow: %s", got)
	}
	for range 6 {
		c.publish("a", 1, false, "x")
	}
	client, err := (&adminFlags{RunDir: p.path("run")}).httpClient()
	if err != nil {
		t.Fatal(err)
	}
	if _, text := get(t, client, adminBase+"/metrics"); !regexp.MustCompile(`gatehouse_shadow_differ_total\{hook="publish",plugin="stamper"\} \d`).MatchString(text) &&
		!strings.Contains(text, `gatehouse_shadow_left_out_total{plugin="stamper"}`) {
		t.Error("no metrics of the shadow")
	}
	following := s.typeIn("", "plugin", "shadow", "stamper", "--count", "2")
	if following.wait() != 1 || !strings.Contains(following.out.String(), "decided-by=`4.0.0`") {
		t.Errorf("exit status %d: %s%s", following.exit, &following.out, &following.err)
	}
	if info := s.does("plugin", "info", "stamper"); !strings.Contains(info, next+" 4.0.0, ") || !strings.Contains(info, "decisions are the same, ") {
		t.Errorf("info says\n%s", info)
	}
	out := new(words)
	if status := run([]string{"plugin", "shadow", "stamper", "--stop", "--run-dir", s.path("run")}, strings.NewReader(""), out, out); status != 1 {
		t.Errorf("exit status %d: %s", status, out)
	}
	if !strings.Contains(out.String(), "it exited with status 3") && !strings.Contains(out.String(), "last failure") {
		t.Errorf("printed %s", out)
	}
	if got := p.plugin("stamper"); got.GetRestarts() != 0 || got.GetLastFailure() != "" {
		t.Errorf("the plugin itself was hurt: %v", got)
	}
	p.stop()
}

// The configuration names a shadow; reading it again ends it.
func TestShadowConfigured(t *testing.T) {
	s := newSite(t, "plugins: {stamper: {shadow: {path: next/stamper}}}\n")
	s.stamper("2.0.0", "")
	s.secondStamper("4.0.0", "")
	p := s.start()
	p.waitLog("shadow of plugin is asked the same")
	c := p.connect5("me")
	c.publish("a", 1, false, "x")
	following := s.typeIn("", "plugin", "shadow", "stamper", "--count", "1")
	if following.wait() != 1 || !strings.Contains(following.out.String(), "decided-by=`4.0.0`") {
		t.Errorf("exit status %d: %s%s", following.exit, &following.out, &following.err)
	}
	s.write("gatehouse.yaml", strings.Replace(string(s.read("gatehouse.yaml")), "shadow: {path: next/stamper}", "", 1))
	p.signal(syscall.SIGHUP)
	p.waitLog("msg=\"configuration reloaded\"")
	if got := s.refusesTo("plugin", "shadow", "stamper"); !strings.Contains(got, "has no shadow") {
		t.Errorf("said %s", got)
	}
	p.stop()
}

// A shadow may read what the plugin may read, and change nothing.
func TestShadowChangesNothing(t *testing.T) {
	s := newSite(t, "plugins: {caller: {scopes: [publish, clients.read, clients.disconnect, shared.read, shared.write]}}\n", "caller")
	s.link("next/caller")
	p := s.start()
	c, sub := p.connect5("me"), p.connect5("sub")
	sub.subscribe("made", 1)
	if got := s.does("plugin", "shadow", "caller", s.path("next/caller"), "--detach"); got != "" {
		t.Errorf("printed %q", got)
	}
	c.publish("in/publish", 1, false, "made once")
	c.publish("in/clients.all", 1, false, "")
	var out words
	run([]string{"plugin", "shadow", "caller", "--stop", "--run-dir", s.path("run")}, strings.NewReader(""), &out, &out)
	if !strings.Contains(out.String(), "it asked the broker to change something 1 times, and was refused") {
		t.Errorf("printed %s", &out)
	}
	c.publish("made", 1, false, "last")
	expect(t, sub.got, message{"made", "once", 1, false})
	expect(t, sub.got, message{"made", "last", 1, false})
}

// What can't be a shadow is refused, with the reason.
func TestShadowRefuses(t *testing.T) {
	s := newSite(t, "plugins_locked: true\nplugins_lock: plugins.lock\n")
	s.stamper("2.0.0", "")
	next := s.secondStamper("4.0.0", "")
	var out words
	if status := run([]string{"plugin", "lock", "--plugin-dir", s.path("plugins"), "--file", s.path("plugins.lock")}, strings.NewReader(""), &out, &out); status != 0 {
		t.Fatal(&out)
	}
	s.start()
	for want, args := range map[string][]string{
		"plugins_locked demands one":   {next},
		"has no files to compare with": {"unix:///tmp/x.sock"},
		"which second version?":        {"--detach"},
		"leave out PATH":               {next, "--stop"},
	} {
		if got := s.refusesTo(append([]string{"plugin", "shadow", "stamper"}, args...)...); !strings.Contains(got, want) {
			t.Errorf("%q said %s", args, got)
		}
	}
	if got := s.refusesTo("plugin", "shadow", "nobody", next); !strings.Contains(got, `there is no plugin "nobody"`) {
		t.Errorf("said %s", got)
	}
}
