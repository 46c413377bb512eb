//go:build unix

package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Each command against a broker that runs, as a person and as a script use it.
func TestAdminCommands(t *testing.T) {
	s := newSite(t, "limits: {queue_messages: 77}\n")
	p := s.start()
	b := brokertest.At(t, p.addr)
	lamp := b.Connect("lamp", brokertest.Resume)
	lamp.Subscribe(1, "lamps/#")
	b.Connect("away", brokertest.Resume).Disconnect()
	b.Connect("old", brokertest.V311)
	for _, tt := range []struct {
		args string
		exit int
		want string // a regular expression of what is written
	}{
		{"status", 0, `clients +2\n`},
		{"status --json", 0, `"clients": "2"`},
		{"client list", 0, `(?s)^CLIENT +USER.*\nlamp +- +5 +127\.0\.0\.1:.*\nold +- +3\.1\.1`},
		{"client list l* --json", 0, `^{"client_id":"lamp".*}\n$`},
		{"client list --limit 1", 0, `there may be more than 1`},
		{"client list --mqtt 4", 1, `3\.1\.1`},
		{"client get lamp", 0, `packets +2 in, 2 out`},
		{"client get lamp --json", 0, `"client_id": "lamp"`},
		{"client get nobody", 3, `no client "nobody" is connected`},
		{"client revalidate lamp", 0, `may stay`},
		{"client disconnect nobody", 3, `nobody`},
		{"client disconnect lamp --code 3", 1, `0x80`},
		{"client watch --event never", 1, `there are connected, disconnected`},
		{"session list", 0, `(?s)away +- +away for .*lamp +- +connected`},
		{"session list --connected --disconnected", 2, `can't be used together`},
		{"session list --disconnected --json", 0, `^{"client_id":"away".*}\n$`},
		{"session get lamp", 0, `subscription +lamps/# \(QoS 1\)`},
		{"session get nobody", 3, `no session`},
		{"subscription list --topic lamps/1", 0, `lamp +lamps/# +1 +-`},
		{"subscription add away a/# b/# -q 1 --no-local --retain-handling 2", 0, `away is subscribed to b/# with QoS 1`},
		{"subscription add away a/#/x", 1, `a/#/x: 0x8f`},
		{"subscription add nobody a", 3, `nobody`},
		{"subscription list --client a*", 0, `away +a/# +1 +no local, no retained`},
		{"session send away direct hello -q 1", 0, `queued`},
		{"session send away direct hello", 1, `dropped: offline`},
		{"session send lamp direct hello", 0, `sent|queued`},
		{"session send nobody t", 3, `nobody`},
		{"session list --pending 1", 0, `away`},
		{"session clear away", 0, `^1 messages dropped`},
		{"subscription remove away b/# c/#", 0, `(?s)not subscribed to c/#.*1 subscriptions removed|1 subscriptions removed`},
		{"subscription remove away c/#", 3, `not subscribed to c/#`},
		{"session delete away", 0, `deleted`},
		{"session delete away", 3, `away`},
		{"shared put k one", 0, `version 1`},
		{"shared put k two --if-version 9", 1, `version 1`},
		{"shared put k --if-version 1 --stdin", 0, `version 2`},
		{"shared get k", 0, `^typed$`},
		{"shared get none", 3, `none`},
		{"shared list", 0, `k +2 +5`},
		{"shared list --json --values", 0, `"value":"dHlwZWQ="`},
		{"shared delete k", 0, `removed`},
		{"shared delete k", 3, `k`},
		{"listener list", 0, `tcp://127\.0\.0\.1:0 +tcp://127\.0\.0\.1:\d+ +2 +- +all +all +-`},
		{"listener list --json", 0, `"connections":"2"`},
		{"config show", 0, `(?s)^# /.*gatehouse.yaml, in force.*queue_messages: 77\n.*queue_bytes: 16MiB`},
		{"config check", 0, `the configuration is good\n`},
		{"config reload", 0, `the configuration is in force\n`},
		{"ban add user mallory --for 1h --reason rude", 0, `user mallory is banned, 0 connections`},
		{"ban add address 10.0.0.9/8", 0, `10\.0\.0\.0/8`},
		{"ban add pet cat", 2, `client`},
		{"ban list", 0, `user +mallory +\S+ +in 1h0m0s|in 59m\S+ +admin +rude`},
		{"ban list address --json", 0, `^{"kind":"address","value":"10.0.0.0/8".*}\n$`},
		{"ban remove user mallory", 0, `may connect again`},
		{"ban remove user mallory", 3, `not banned`},
		{"client disconnect lamp --reason bye", 0, `being disconnected`},
		{"ban add client old", 0, `1 connections`},
	} {
		c := s.typeIn("typed", strings.Fields(tt.args)...)
		exit := c.wait()
		said := c.out.String()
		if exit != 0 || !regexp.MustCompile(tt.want).MatchString(said) {
			said = c.err.String() + said
		}
		if exit != tt.exit || !regexp.MustCompile(tt.want).MatchString(said) {
			t.Errorf("%s: exit %d\n%s", tt.args, exit, said)
		}
		if strings.Contains(tt.args, "--json") && exit == 0 {
			for line := range strings.Lines(c.out.String()) {
				if strings.HasPrefix(line, "{\"") && !json.Valid([]byte(line)) {
					t.Errorf("%s: %q is no JSON", tt.args, line)
				}
			}
		}
	}
	lamp.ExpectMessage("direct", "hello")
	lamp.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "bye"})
}

// A configuration with a mistake is refused, and says where it is.
func TestConfigReloadRefused(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\nlog: {level: loud}\n")
	for _, cmd := range []string{"check", "reload"} {
		c := s.typeIn("", "config", cmd)
		if c.wait() != 1 || !strings.Contains(c.err.String(), "gatehouse.yaml:2:14:") || !strings.Contains(c.err.String(), "^") {
			t.Errorf("%s: %d %s", cmd, c.exit, &c.err)
		}
	}
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\nlog: {level: debug}\nsessions: {strict: true}\n")
	if out := s.does("config", "check"); !strings.Contains(out, "at the next start: sessions") {
		t.Error(out)
	}
	if out := s.does("config", "reload"); !strings.Contains(out, "at the next start: sessions") {
		t.Error(out)
	}
	if out := s.does("config", "show"); !strings.Contains(out, "level: debug") || strings.Contains(out, "strict: true") {
		t.Error(out)
	}
	p.stop()
	if c := s.typeIn("", "status"); c.wait() != exitNoBroker || !strings.Contains(c.err.String(), s.path("run/admin.sock")) {
		t.Errorf("%d %s", c.exit, &c.err)
	}
}

func TestClientWatch(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	b := brokertest.At(t, p.addr)
	b.Connect("early")
	people := s.typeIn("", "client", "watch", "--snapshot", "--count", "6")
	people.waitErr("watching")
	scripts := s.typeIn("", "client", "watch", "l*", "--json", "--event", "published", "--event", "not-consumed", "--topic", "t/+", "--count", "1")
	scripts.waitErr("watching")
	c := b.Connect("late")
	c.Subscribe(1, "x/#")
	c.Publish(mqtt.Message{Topic: "t/1", Payload: []byte("hi")}, 0)
	if people.wait() != 0 || scripts.wait() != 0 {
		t.Fatal(&people.err, &scripts.err)
	}
	for _, want := range []string{
		`present +early  from 127`, `connected +late  from 127`, `subscribed +late  x/# QoS 1`,
	} {
		if !regexp.MustCompile(want).MatchString(people.out.String()) {
			t.Errorf("%s is missing:\n%s", want, &people.out)
		}
	}
	if got := scripts.out.String(); !strings.Contains(got, `"kind":"EVENT_KIND_PUBLISHED"`) || !strings.Contains(got, `"topic":"t/1","payload":"aGk="`) || strings.Count(got, "\n") != 1 {
		t.Error(got)
	}
}
