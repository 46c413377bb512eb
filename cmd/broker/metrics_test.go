package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// watched is the base of the URLs that a broker with a metrics listener serves.
func (p *proc) watched() string {
	p.t.Helper()
	m := regexp.MustCompile(`metrics and health are served" url=(\S+)`).FindStringSubmatch(p.log())
	if m == nil {
		p.t.Fatal("no metrics listener in the log")
	}
	return m[1]
}

// get asks a broker over HTTP.
func get(t testing.TB, client *http.Client, url string) (status int, body string) {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// A broker with a plugin that has metrics of its own, watched over both ways.
func TestMetrics(t *testing.T) {
	s := newSite(t, "metrics: {url: 'http://127.0.0.1:0'}\nplugins: {authfile: {config: {file: users.yaml}}}\n", "authfile", "retainjson")
	s.write("users.yaml", "anonymous: {allow: {both: '#'}}\n")
	p := s.start()
	b := brokertest.At(t, p.addr)
	b.Connect("c").Publish(mqtt.Message{Topic: "t", Payload: []byte("12345"), QoS: 1, Retain: true}, mqtt.NoMatchingSubscribers)
	kept := b.Connect("kept", brokertest.Resume)
	kept.Subscribe(1, "x") // its acknowledgement waits for the disk
	if _, ack := b.TryConnect("old", func(p *packet.Connect) { p.Username, p.HasUsername = "nobody", true }); ack.Code == 0 {
		t.Error("a stranger is let in")
	}
	admin, err := (&adminFlags{RunDir: p.path("run")}).httpClient()
	if err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() (int, string){
		"listener": func() (int, string) { return get(t, http.DefaultClient, p.watched()+"/metrics") },
		"admin":    func() (int, string) { return get(t, admin, "http://broker/metrics") },
	} {
		status, text := ask()
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, status, text)
		}
		for _, line := range []string{
			"gatehouse_clients 2",
			"gatehouse_sessions_kept 1",
			"gatehouse_store_failing 0",
			"gatehouse_authentications_running 0",
			`gatehouse_connections_refused_total{cause="not_admitted"} 1`,
			`gatehouse_messages_total{direction="received",qos="1",version="5"} 1`,
			`gatehouse_payload_bytes_total{direction="received",qos="1",version="5"} 5`,
			"gatehouse_retained_messages 1",
			`gatehouse_retained_store_messages{plugin="retainjson"} 1`,
			`gatehouse_plugin_serving{plugin="authfile"} 1`,
			`gatehouse_plugin_call_duration_seconds_count{hook="connect",outcome="pass",plugin="authfile"} 2`,
			`gatehouse_plugin_call_duration_seconds_count{hook="retain",outcome="pass",plugin="retainjson"} 1`,
			`gatehouse_ext_authfile_decisions_total{outcome="allowed",plugin="authfile"} 2`,
		} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s: not there: %s", name, line)
			}
		}
		for _, some := range []string{"gatehouse_store_bytes", "gatehouse_store_batches_total", "gatehouse_store_changes_total", "gatehouse_store_sync_duration_seconds_count"} {
			if !regexp.MustCompile("(?m)^" + some + " [1-9]").MatchString(text) {
				t.Errorf("%s: nothing in %s", name, some)
			}
		}
	}
	if status, _ := get(t, http.DefaultClient, p.watched()+"/debug/pprof/"); status != http.StatusNotFound {
		t.Errorf("pprof on the metrics listener: %d", status)
	}
	if status, text := get(t, admin, "http://broker/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(text, "goroutine profile") {
		t.Errorf("pprof: %d %.100s", status, text)
	}
}

// A broker is ready while its listeners and its required plugins are; alive it
// is all the time.
func TestHealth(t *testing.T) {
	s := newSite(t, "metrics: {url: 'http://127.0.0.1:0'}\nplugins: {badday: {required: true}}\n", "badday")
	p := s.start()
	base := p.watched()
	if status, body := get(t, http.DefaultClient, base+"/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("%d %q", status, body)
	}
	var got readiness
	_, body := get(t, http.DefaultClient, base+"/readyz?verbose")
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := readiness{Ready: true, Checks: []check{{Name: "listeners", Ready: true}, {Name: "plugin badday", Ready: true}, {Name: "broker", Ready: true}}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// Its program is no good any more, and then it is killed.
	process, err := os.FindProcess(int(p.plugin("badday").GetPid()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.path("plugins/badday")); err != nil {
		t.Fatal(err)
	}
	s.write("plugins/badday", "no program")
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		status, body := get(t, http.DefaultClient, base+"/readyz")
		if status == http.StatusServiceUnavailable && strings.HasPrefix(body, "not ready: plugin badday: it is in the state ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %q", status, body)
		}
	}
	if status, body := get(t, http.DefaultClient, base+"/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestHealthCommand(t *testing.T) {
	s := newSite(t, "metrics: {url: 'http://127.0.0.1:0'}\n")
	s.refusesTo("health")
	p := s.start()
	for _, args := range [][]string{{"health"}, {"health", "--url", p.watched()}} {
		if got := s.does(args...); got != "ready\n" {
			t.Errorf("%q: %q", args, got)
		}
		if got := s.does(append(args, "--alive")...); got != "alive\n" {
			t.Errorf("%q: %q", args, got)
		}
	}
	if got, want := s.does("health", "--json"), `{"ready":true,"checks":[{"name":"listeners","ready":true},{"name":"broker","ready":true}]}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	p.stop()
	s.refusesTo("health", "--url", p.watched())
}

func TestDebugProfile(t *testing.T) {
	s := newSite(t, "")
	s.start()
	s.does("debug", "profile", "goroutine", s.path("g.pprof"))
	if b := s.read("g.pprof"); len(b) < 100 || b[0] != 0x1f || b[1] != 0x8b {
		t.Errorf("%d bytes that are no profile", len(b))
	}
	s.refusesTo("debug", "profile", "heap", s.path("g.pprof"))
}

// A queue that can't be read is told by readiness, which does not end by it.
func TestQueuesCheck(t *testing.T) {
	r := readiness{Ready: true, Checks: []check{{Name: "broker", Ready: true}, queuesCheck(2)}}
	if got := r.String(); got != "ready: queues: 2 cannot be read, see the log" {
		t.Error(got)
	}
	if got := (readiness{Ready: true, Checks: []check{{Name: "broker", Ready: true}}}).String(); got != "ready" {
		t.Error(got)
	}
}
