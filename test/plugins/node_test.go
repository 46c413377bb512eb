package plugins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// nodeExample returns the folder of the example in Node, with its packages.
func nodeExample(t *testing.T) string {
	t.Helper()
	program.Need(t, "node", "nodejs")
	folder := example(t, "node-interceptor")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "@grpc")); err != nil {
		t.Fatalf("%s has no packages: npm ci there (test/install does it)", folder)
	}
	return folder
}

// A name that the contract does not have is an error where the author wrote it:
// sent, it would be an answer that says nothing.
func TestNodeRefusesUnknownNames(t *testing.T) {
	t.Parallel()
	const script = `
		const { allowWith, grant, interest } = require('./gatehouse');
		const tell = (f) => { try { console.log(JSON.stringify(f())); } catch (err) { console.log(err.name + ': ' + err.message); } };
		tell(() => grant('t', { actions: ['publish', 'Receive'] }));
		tell(() => grant('t', { actions: ['publsh'] }));
		tell(() => grant('t', { actions: ['unspecified'] }));
		tell(() => interest('publish', { payload: 'head', mayChange: ['topic'], origins: ['will'] }).hook);
		tell(() => interest('published'));
		tell(() => interest('publish', { payload: 'some' }));
		tell(() => interest('publish', { mayChange: ['topics'] }));
		tell(() => interest('event', { events: ['connectd'] }));
		tell(() => interest('publish', { origins: ['nobody'] }));
		tell(() => allowWith({ durability: 'never' }));`
	out := string(program.Run(t, nodeExample(t), nil, program.Need(t, "node", "nodejs"), "-e", script))
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, want := range []string{
		`{"effect":"GRANT_EFFECT_ALLOW","actions":["GRANT_ACTION_PUBLISH","GRANT_ACTION_RECEIVE"],"filter":"t"}`,
		"RangeError: publsh is none of publish, subscribe, receive",
		"RangeError: unspecified is none of publish, subscribe, receive",
		`"HOOK_PUBLISH"`,
		"RangeError: published is none of connect, publish, subscribe, unsubscribe, deliver, event, retain",
		"RangeError: some is none of full, head, none",
		"RangeError: topics is none of topic, ",
		"RangeError: connectd is none of ",
		"RangeError: nobody is none of ",
		"RangeError: never is none of sync, interval, none",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d does not begin with %q:\n%s", i, want, out)
		}
	}
}

// The example in Node, with real clients: what it changes and refuses, and that
// it survives kill -9 and its own replacement.
func TestNodeInterceptor(t *testing.T) {
	t.Parallel()
	s := start(t, nodeExample(t), "    config: {property: by}\n")
	sub := s.run("mosquitto_sub", "-d", "-q", "1", "-t", "#", "-C", "6", "-F", "%t %p %P")
	sub.WaitOutput("that it has subscribed", func(out string) bool { return strings.Contains(out, "Subscribed (mid: ") })
	pub := func(topic, payload string, more ...string) {
		t.Helper()
		s.expect("", true, "mosquitto_pub", append([]string{"-i", "lamp", "-q", "1", "-t", topic, "-m", payload}, more...)...)
	}
	pub("a", "1")
	pub("b", "2", "-D", "publish", "user-property", "k", "v")
	s.expect("Payload format invalid", true, "mosquitto_pub", "-q", "1", "-t", "json/x", "-m", "{")
	pub("json/x", "{}")
	s.restart()
	pub("c", "3")
	s.edit("main.js", "client.client_id", "client.client_id.toUpperCase()")
	s.await("replaced", func(st *status) bool { return st.ready() && st.Swaps == "1" })
	pub("d", "4")

	// Many at once go over the stream in frames, in their order.
	var lines strings.Builder
	for range 200 {
		lines.WriteString("line\n")
	}
	host, port := s.b.HostPort()
	program.Run(t, "", strings.NewReader(lines.String()), program.Need(t, "mosquitto_pub", "mosquitto-clients"),
		"-h", host, "-p", port, "-V", "5", "-q", "1", "-i", "many", "-t", "json/many", "-l")
	s.edit("main.js", "class Notary {", "class Notary { {")
	s.await("refusing the new version", func(st *status) bool { return strings.Contains(st.SwapFailure, "handshake") })
	s.edit("main.js", "class Notary { {", "class Notary {")
	s.await("replaced again", func(st *status) bool { return st.ready() && st.Swaps == "2" })
	pub("e", "5")

	out, code := sub.Wait()
	for _, want := range []string{"a 1 by:lamp", "b 2 k:v by:lamp", "json/x {} by:lamp", "c 3 by:lamp", "d 4 by:LAMP", "e 5 by:LAMP"} {
		if !strings.Contains(out, want+"\n") {
			t.Errorf("%q did not come", want)
		}
	}
	if code != 0 || strings.Contains(out, "json/x {\n") || strings.Contains(out, "json/many") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	s.ends()
}

func TestNodeConfig(t *testing.T) {
	t.Parallel()
	folder := nodeExample(t)
	for config, want := range map[string]string{
		"{propery: x}":   `/propery: unknown key "propery": known keys: property`,
		"{property: 7}":  `/property: must be of type string, not integer`,
		`{property: ""}`: `/property: must not be empty`,
	} {
		if out := refused(t, folder, "    config: "+config+"\n"); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", config, want, out)
		}
	}
}

func TestNodeEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	s := start(t, nodeExample(t), "")
	pid := s.await("ready", (*status).ready).pid(t)
	s.b.Crash()
	gone(t, pid)
}

// Node reads the contract itself, not a copy that has grown old.
func TestNodeContract(t *testing.T) {
	t.Parallel()
	ours, err := filepath.Glob(filepath.Join(program.Root(), "proto/gatehouse/plugin/v1/*.proto"))
	if err != nil || len(ours) == 0 {
		t.Fatalf("no contract: %v", err)
	}
	for _, f := range ours {
		want, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(example(t, "node-interceptor"), "gatehouse/proto/gatehouse/plugin/v1", filepath.Base(f)))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is not up to date (%v): make proto", filepath.Base(f), err)
		}
	}
}
