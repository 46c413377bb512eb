//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/certificate"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// reconfigured writes another end of the configuration, has it read again, and
// returns what the command says.
func (s *site) reconfigured(more string) string {
	s.t.Helper()
	s.write("gatehouse.yaml", "listeners: [{url: 'tcp://127.0.0.1:0'}]\nplugin_dir: plugins\ndata_dir: data\nrun_dir: run\n"+more)
	c := s.typeIn("", "config", "reload")
	c.wait()
	return c.out.String() + c.err.String()
}

const inForceNow = "the configuration is in force\n"

// settled waits until all that was logged before is there.
func (p *proc) settled() {
	p.t.Helper()
	id := fmt.Sprint("settled-", time.Now().UnixNano())
	brokertest.At(p.t, p.addr).Connect(id).Disconnect()
	p.waitLog("client=" + id)
}

// lastOf is what a group matched that was logged last.
func (p *proc) lastOf(pattern string) string {
	p.t.Helper()
	p.settled()
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(p.log(), -1)
	if len(all) == 0 {
		p.t.Fatalf("not in the log: %s", pattern)
	}
	return all[len(all)-1][1]
}

// Who watches the broker is answered elsewhere, or nowhere, as the file says, and
// a mistake changes nothing.
func TestReloadMetrics(t *testing.T) {
	s := newSite(t, "")
	p := s.start()
	if got := s.reconfigured("metrics: {url: 'http://127.0.0.1:0'}\n"); got != inForceNow {
		t.Fatal(got)
	}
	first := p.lastOf(`metrics and health are served" url=(\S+)`)
	if status, _ := get(t, http.DefaultClient, first+"/readyz"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	port := first[strings.LastIndex(first, ":"):]
	if got := s.reconfigured("metrics: {url: 'http://127.0.0.1" + port + "'}\n"); got != inForceNow { // the same port, by number
		t.Fatal(got)
	}
	if status, _ := get(t, http.DefaultClient, first+"/metrics"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if got := s.reconfigured("metrics: {url: 'http://0.0.0.0" + port + "', allow_remote: true}\n"); got != inForceNow {
		t.Fatal(got)
	}
	if status, _ := get(t, http.DefaultClient, first+"/metrics"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if got := s.reconfigured("metrics: {url: 'http://" + p.addr + "'}\nlimits: {queue_messages: 5}\n"); !strings.Contains(got, "address already in use") {
		t.Error(got)
	}
	if got := s.does("config", "show"); strings.Contains(got, "queue_messages: 5\n") || !strings.Contains(got, "http://0.0.0.0"+port) {
		t.Errorf("a refused configuration is in force:\n%s", got)
	}
	if got := s.reconfigured(""); got != inForceNow {
		t.Fatal(got)
	}
	if res, err := http.Get(first + "/metrics"); err == nil {
		_ = res.Body.Close()
		t.Error("the old listener is open")
	}
	p.stop()
}

func TestReloadAudit(t *testing.T) {
	s := newSite(t, "log: {audit: one.jsonl}\n")
	p := s.start()
	s.does("log", "level", "info")
	for _, next := range []string{"log: {audit: two.jsonl}\n", ""} {
		if got := s.reconfigured(next); got != inForceNow {
			t.Fatal(got)
		}
		s.does("client", "list")
		s.does("log", "level", "info")
	}
	for name, want := range map[string]int{"one.jsonl": 1, "two.jsonl": 2} { // the reload itself is told of when it is over
		if got := strings.Count(string(s.read(name)), "\n"); got < want {
			t.Errorf("%s has %d lines", name, got)
		}
	}
	p.settled()
	if n := strings.Count(p.log(), "LogService/SetLogLevel"); n != 1 {
		t.Errorf("%d changes are in the log", n)
	}
	if got := s.reconfigured("log: {audit: none/x}\n"); !strings.Contains(got, "log.audit: open none/x") {
		t.Error(got)
	}
	p.stop()
}

func TestReloadTraces(t *testing.T) {
	first, second := new(otlp), new(otlp)
	s := newSite(t, "traces: {endpoint: '"+first.collect(t)+"', sample: 1}\n")
	p := s.start()
	pub := brokertest.At(t, p.addr).Connect("pub")
	publish := func() {
		pub.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
		pub.ExpectNothing() // it is done with, and its trace has ended
	}
	publish()
	if got := s.reconfigured("traces: {endpoint: '" + second.collect(t) + "', sample: 1}\n"); got != inForceNow {
		t.Fatal(got)
	}
	publish()
	publish()
	if got := s.reconfigured(""); got != inForceNow {
		t.Fatal(got)
	}
	publish()
	p.stop()
	for i, o := range []*otlp{first, second} {
		n := 0
		for _, span := range o.spans {
			if span.GetName() == "publish" {
				n++
			}
		}
		if n != i+1 {
			t.Errorf("collector %d was told of %d publishes", i+1, n)
		}
	}
}

// The admin API moves, and lets others in, while the broker runs and the socket
// stays where it is.
func TestReloadAdmin(t *testing.T) {
	s := newSite(t, "")
	ca, err := certificate.NewAuthority("test CA", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ts := &tlsSite{s, ca}
	ts.keep("ca", ca)
	ts.keep("server", ts.issue(certificate.Request{CommonName: "broker", Hosts: []string{"127.0.0.1"}, Server: true}))
	ts.keep("me", ts.issue(certificate.Request{CommonName: "me", Client: true}))
	s.write("first", "first-token-0123456789\n")
	s.write("second", "second-token-0123456789\n")
	p := s.start()
	reload := func(more string) {
		t.Helper()
		if got := s.reconfigured(more); got != inForceNow {
			t.Fatal(got)
		}
	}
	asks := func(want int, args ...string) {
		t.Helper()
		c := s.typeAway(append([]string{"status"}, args...)...)
		if c.wait() != want {
			t.Errorf("%q: %d %s", args, c.exit, &c.err)
		}
	}
	const opened = `admin API open" url=(\S+)`
	reload("admin: {url: 'http://127.0.0.1:0', token_file: first}\n")
	http1 := p.lastOf(opened)
	asks(0, "--admin", http1, "--token-file", s.path("first"))
	reload("admin: {url: 'http://127.0.0.1:0', token_file: second}\n")
	if p.lastOf(opened) != http1 {
		t.Error("another token opened another address")
	}
	asks(exitRefused, "--admin", http1, "--token-file", s.path("first"))
	asks(0, "--admin", http1, "--token-file", s.path("second"))
	reload("admin: {url: 'https://127.0.0.1:0', token_file: second, tls: {certificates: [{certificate: server.crt, key: server.key}]}}\n")
	https := p.lastOf(opened)
	asks(0, "--admin", https, "--token-file", s.path("second"), "--cacert", s.path("ca.crt"))
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if s.typeAway("status", "--admin", http1, "--token-file", s.path("second")).wait() == exitNoBroker {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the old address is open")
		}
	}
	reload("admin: {url: 'https://127.0.0.1:0', tls: {certificates: [{certificate: server.crt, key: server.key}], client_certificates: required, client_ca: [ca.crt]}}\n")
	asks(0, "--admin", https, "--cacert", s.path("ca.crt"), "--cert", s.path("me.crt"), "--key", s.path("me.key"))
	asks(1, "--admin", https, "--cacert", s.path("ca.crt"), "--token-file", s.path("second"))
	if got := s.reconfigured("admin: {url: 'https://127.0.0.1:0', tls: {certificates: [{certificate: none.crt, key: server.key}]}}\n"); !strings.Contains(got, "none.crt") {
		t.Error(got)
	}
	asks(0, "--admin", https, "--cacert", s.path("ca.crt"), "--cert", s.path("me.crt"), "--key", s.path("me.key"))
	port := https[strings.LastIndex(https, ":"):]
	if got := s.reconfigured("admin: {url: 'http://127.0.0.1" + port + "'}\nlog: {level: warn}\n"); !strings.Contains(got, "at the next start: admin") {
		t.Error(got)
	}
	if got := s.does("log", "level"); got != "warn\n" {
		t.Errorf("the rest is not in force: %s", got)
	}
	reload("admin: {url: 'unix://" + s.path("other.sock") + "'}\n")
	asks(0, "--admin", "unix://"+s.path("other.sock"))
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(s.path("run/admin.sock")); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the old socket is there")
		}
	}
	p.stop()
}
