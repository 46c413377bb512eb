//go:build unix

package main

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

const twoPlugins = `
plugins:
  authfile:
    config: {file: users.yaml}
  interceptlog:
    config:
      rules:
        - match: {topic: "stamp/#"}
          actions: [{set_json: {path: seen_by, value: "{client}"}}]
        - match: {topic: "forbidden/#"}
          actions: [{refuse: {code: quota exceeded, reason: "not here"}}]
`

var untimely = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}  |127\.0\.0\.1:\d+|  [\d.]+(µs|ms|s)( \(batch of \d+\))?$`)

// timeless leaves times and ports out of what trace prints.
func timeless(s string) string { return untimely.ReplaceAllString(s, "") }

// Somebody watches: calls come as they are decided, each with its input, answer
// and changes, and without the password.
func TestTrace(t *testing.T) {
	s := newSite(t, twoPlugins, "authfile", "interceptlog")
	s.alice()
	p := s.start()
	watching := s.typeIn("", "plugin", "trace", "--client", "me", "--count", "2", "--hook", "connect")
	changes := s.typeIn("", "plugin", "trace", "interceptlog", "--hook", "publish", "--count", "2")
	asJSON := s.typeIn("", "plugin", "trace", "--json", "--topic", "stamp/+", "--hook", "publish", "--count", "1")
	for _, c := range []*typed{watching, changes, asJSON} {
		c.waitErr("watching")
	}
	if _, _, err := p.dial5("me", "alice", "wrong"); err == nil {
		t.Fatal("a wrong password is right")
	}
	c, _, err := p.dial5("me", "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	other := p.connect5("other")
	c.publish("stamp/x", 1, false, `{"v": 1}`)
	other.publish("forbidden/x", 1, false, "\xff\xfe")
	for _, tt := range []struct {
		of   *typed
		want string
	}{
		{watching, `authfile connect  me (user alice, password [redacted], MQTT level 5, from )  ->  deny 0x86 bad user name or password
authfile connect  me (user alice, password [redacted], MQTT level 5, from )  ->  allow (1 grants)
`},
		{changes, "interceptlog publish  me stamp/x qos 1 `{\"v\": 1}`  ->  pass, changed\n" +
			"    payload: `{\"v\": 1}` -> `{\"v\": 1,\"seen_by\":\"me\"}`\n" +
			"interceptlog publish  other forbidden/x qos 1 (2 bytes: fffe)  ->  refuse 0x97 quota exceeded `not here`\n"},
	} {
		if tt.of.wait() != 0 {
			t.Errorf("exit status %d: %s", tt.of.exit, &tt.of.err)
		}
		if got := timeless(tt.of.out.String()); got != tt.want {
			t.Errorf("%q printed\n%s\nand not\n%s", tt.of.args, got, tt.want)
		}
	}
	asJSON.wait()
	call := new(adminv1.WatchedCall)
	if err := protojson.Unmarshal([]byte(asJSON.out.String()), call); err != nil {
		t.Fatalf("%v: %s", err, &asJSON.out)
	}
	if call.GetClient().GetClientId() != "me" || call.GetCall().GetPublish().GetMessage().GetTopic() != "stamp/x" || call.GetTookNanos() == 0 {
		t.Errorf("%v", call)
	}
	for _, of := range []*typed{watching, changes, asJSON} {
		if strings.Contains(of.out.String(), "secret") || strings.Contains(of.out.String(), "wrong") {
			t.Errorf("a password is shown:\n%s", &of.out)
		}
	}
	info := s.does("plugin", "info", "interceptlog")
	if !regexp.MustCompile(`(?m)^publish +change +1 `).MatchString(info) || !regexp.MustCompile(`(?m)^publish +refuse +1 `).MatchString(info) {
		t.Errorf("latencies are not in\n%s", info)
	}
	for want, args := range map[string][]string{
		`there is no plugin "nobody"`:               {"plugin", "trace", "nobody"},
		`there is no hook "pubish"; there are conn`: {"plugin", "trace", "--hook", "pubish"},
		`topic filter "a/#/b"`:                      {"plugin", "trace", "--topic", "a/#/b"},
	} {
		if got := s.refusesTo(args...); !strings.Contains(got, want) {
			t.Errorf("%q said %q", args, got)
		}
	}
	// Who still watches is told when the broker stops, and does not hold it up.
	last := s.typeIn("", "plugin", "trace")
	last.waitErr("watching")
	p.stop()
	if last.wait() == 0 || !strings.Contains(last.err.String(), "the broker stops") {
		t.Errorf("exit status %d: %s", last.exit, &last.err)
	}
}

// A plugin that fails: its policy is told.
func TestTraceOfFailure(t *testing.T) {
	s := newSite(t, "plugins:\n  interceptlog:\n    interceptor: {on_error: pass, timeout: 50ms}\n    config: {rules: [{match: {topic: '#'}, actions: [{set_json: {path: a, value: b}}]}]}\n", "interceptlog")
	p := s.start()
	c := p.connect5("me")
	watching := s.typeIn("", "plugin", "trace", "--hook", "publish", "--count", "1", "--slow", "10ms")
	watching.waitErr("watching")
	p.freeze("interceptlog")
	c.publish("x", 1, false, "p")
	watching.wait()
	if got := watching.out.String(); !strings.Contains(got, "could not decide (hook did not answer in time") || !strings.Contains(got, "policy: pass") {
		t.Errorf("printed %s", got)
	}
}
