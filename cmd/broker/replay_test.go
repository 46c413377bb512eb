//go:build unix

package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a plugin was asked is recorded and asked again of a changed one.
func TestRecordAndReplay(t *testing.T) {
	s := newSite(t, twoPlugins, "authfile", "interceptlog")
	s.alice()
	p := s.start()
	rules := s.typeIn("", "plugin", "record", "interceptlog", s.path("rules.calls"), "--hook", "publish", "--count", "3")
	all := s.typeIn("", "plugin", "record", "authfile", s.path("all.calls"), "--redact", "none", "--count", "2")
	redactedOnes := s.typeIn("", "plugin", "record", "authfile", s.path("redacted.calls"), "--count", "2")
	bare := s.typeIn("", "plugin", "record", "interceptlog", s.path("bare.calls"), "--redact", "payloads", "--hook", "publish", "--count", "1")
	for _, c := range []*typed{rules, all, redactedOnes, bare} {
		c.waitErr("recording")
	}
	if _, _, err := p.dial5("me", "alice", "wrong"); err == nil {
		t.Fatal("a wrong password is right")
	}
	c, _, err := p.dial5("me", "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c.publish("stamp/x", 1, false, `{"v": 1}`)
	c = p.connect5("anybody")
	c.publish("forbidden/x", 1, true, "x")
	c.publish("stamp/y", 1, false, `{"v": 2}`)
	for _, c := range []*typed{rules, all, redactedOnes, bare} {
		if c.wait() != 0 {
			t.Fatalf("%q: %s", c.args, &c.err)
		}
	}
	checkRecordingEnds(s, c)
	p.stop()
	if text := string(s.read("redacted.calls")); strings.Contains(text, "c2VjcmV0") || !strings.Contains(string(s.read("all.calls")), "c2VjcmV0") {
		t.Errorf("the password is there, or not there:\n%s", text)
	}

	old := "rules:\n  - match: {topic: 'stamp/#'}\n    actions: [{set_json: {path: seen_by, value: '{client}'}}]\n" +
		"  - match: {topic: 'forbidden/#'}\n    actions: [{refuse: {code: quota exceeded, reason: 'not here'}}]\n"
	s.write("old.yaml", old)
	s.write("new.yaml", strings.Replace(strings.Replace(old, "not here", "never", 1), "seen_by", "by", 1))
	s.write("users.json", `{"file": "`+s.path("users.yaml")+`"}`)
	s.write("nobody.json", `{"file": "`+s.path("nobody.yaml")+`"}`)
	s.write("nobody.yaml", strings.Replace(string(s.read("users.yaml")), "name: alice", "name: bob", 1))
	interceptlog, authfile := s.path("plugins/interceptlog"), s.path("plugins/authfile")
	for _, tt := range []struct {
		file, plugin, config string
		status               int
		want                 []string
	}{
		{"rules.calls", interceptlog, "old.yaml", 0, []string{"3 decisions are the same, 0 differ\n"}},
		{"rules.calls", interceptlog, "new.yaml", 1, []string{
			"line 2: publish me stamp/x qos 1 `{\"v\": 1}`\n  - pass, changed\n  -   payload: `{\"v\": 1}` -> `{\"v\": 1,\"seen_by\":\"me\"}`\n  + pass, changed\n  +   payload: `{\"v\": 1}` -> `{\"v\": 1,\"by\":\"me\"}`\n",
			"line 3: publish anybody forbidden/x qos 1 retain `x`\n  - refuse 0x97 quota exceeded `not here`\n  + refuse 0x97 quota exceeded `never`\n",
			"0 decisions are the same, 3 differ\n",
		}},
		{"all.calls", authfile, "users.json", 0, []string{"2 decisions are the same, 0 differ\n"}},
		{"all.calls", authfile, "nobody.json", 1, []string{"  - allow (1 grants)\n  -   grant allow stamp/#\n  + deny 0x86", "1 differ\n"}},
		{"redacted.calls", authfile, "users.json", 0, []string{"0 decisions are the same", "not asked again: 2 passwords that were left out (record with --redact none)\n"}},
		{"bare.calls", interceptlog, "old.yaml", 0, []string{"not asked again: 1 payloads that were left out\n"}},
	} {
		var out, errs words
		status := run([]string{"plugin", "replay", s.path(tt.file), "--plugin", tt.plugin, "--config", s.path(tt.config)}, strings.NewReader(""), &out, &errs)
		if status != tt.status {
			t.Errorf("%s with %s: exit status %d: %s", tt.file, tt.config, status, &errs)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s with %s printed\n%s\nand not\n%s", tt.file, tt.config, &out, want)
			}
		}
	}
}

func TestReplayRefuses(t *testing.T) {
	s := newSite(t, "", "interceptlog")
	header := `{"format": "gatehouse.calls", "version": 1, "plugin": "interceptlog"}` + "\n"
	for want, text := range map[string]string{
		"the file is empty":               "",
		"line 1: it is no file of calls":  "{}\n",
		"line 1: the file is of version ": `{"format": "gatehouse.calls", "version": 2}` + "\n",
		"line 2: ":                        header + "[]\n",
		"line 3: ":                        header + `{"plugin": "interceptlog", "hook": "event", "event": {}}` + "\n" + `{"call": {}}`,
	} {
		s.write("file", text)
		var out, errs words
		if status := run([]string{"plugin", "replay", s.path("file"), "--plugin", s.path("plugins/interceptlog")}, strings.NewReader(""), &out, &errs); status != 1 ||
			!strings.Contains(errs.String(), want) {
			t.Errorf("exit status %d: %q, and not %q", status, &errs, want)
		}
	}
	s.write("there", "x")
	if got := s.refusesTo("plugin", "record", "interceptlog", s.path("there")); !strings.Contains(got, "exists") {
		t.Errorf("said %q", got)
	}
	if _, err := os.Stat(s.path("run")); err == nil {
		t.Error("a replay left something in the broker's run folder")
	}
}

// checkRecordingEnds: what was seen is in the file at once, a terminal that is
// closed ends a recording well, and one that never began leaves nothing.
func checkRecordingEnds(s *site, c *client5) {
	s.t.Helper()
	endless := s.typeIn("", "plugin", "record", "interceptlog", s.path("endless.calls"), "--hook", "publish")
	endless.waitErr("recording")
	c.publish("stamp/z", 1, false, `{"v": 3}`)
	for end := time.Now().Add(patience); !strings.Contains(string(s.read("endless.calls")), "stamp/z"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("a recorded call is not in the file")
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		s.t.Fatal(err)
	}
	if endless.wait() != 0 || !strings.Contains(endless.out.String(), "1 calls in") {
		s.t.Errorf("it ended with %d: %s %s", endless.exit, &endless.out, &endless.err)
	}
	s.refusesTo("plugin", "record", "nobody", s.path("nothing"))
	if _, err := os.Stat(s.path("nothing")); err == nil {
		s.t.Error("a recording that never began left a file")
	}
}
