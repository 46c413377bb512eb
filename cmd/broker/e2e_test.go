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

// threePlugins is a broker whose validation, interception and retained storage
// are done by three plugin processes.
const threePlugins = `
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

func newThreePlugins(t testing.TB, cfg string) *site {
	t.Helper()
	s := newSite(t, cfg, "authfile", "interceptlog", "retainjson")
	hash, err := password.Hash([]byte("secret"), password.Params{Memory: 8, Time: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	s.write("users.yaml", "anonymous:\n  allow: {both: '#'}\nusers:\n  - name: alice\n    password: '"+hash+"'\n    allow: {both: '#'}\n")
	return s
}

// What a newcomer sees: a wrong password is refused with the right code, a rule
// changes a payload and the retained copy, a refusal comes back to the
// publisher, and what is retained survives a stop and a kill.
func TestThreePlugins(t *testing.T) {
	s := newThreePlugins(t, threePlugins)
	p := s.start()

	if _, err := p.dial3("a", "alice", "wrong"); err == nil || !strings.Contains(err.Error(), "bad user name or password") {
		t.Errorf("MQTT 3.1.1, wrong password: %v", err)
	}
	if _, ack, err := p.dial5("a", "alice", "wrong"); err == nil || ack == nil || ack.ReasonCode != byte(mqtt.BadUserNameOrPassword) {
		t.Errorf("MQTT 5, wrong password: %v, %+v", err, ack)
	}
	p.waitLog("wrong password")
	if _, err := p.dial3("a", "alice", "secret"); err != nil {
		t.Errorf("MQTT 3.1.1, right password: %v", err)
	}
	if _, _, err := p.dial5("a5", "alice", "secret"); err != nil {
		t.Errorf("MQTT 5, right password: %v", err)
	}

	sub := p.connect3("sub")
	sub.subscribe("#", 1)
	pub := p.connect5("pub")
	if code, _ := pub.publish("stamp/x", 1, true, `{"v": 1}`); code != 0 {
		t.Errorf("publish: code %#x", code)
	}
	expect(t, sub.got, message{"stamp/x", `{"v": 1,"seen_by":"pub"}`, 1, false})
	if code, reason := pub.publish("forbidden/x", 1, false, "x"); code != byte(mqtt.QuotaExceeded) || reason != "not here" {
		t.Errorf("refused publish: code %#x, %q", code, reason)
	}
	if code, _ := pub.publish("forbidden/x", 2, false, "x"); code != byte(mqtt.QuotaExceeded) {
		t.Errorf("refused publish of QoS 2: code %#x", code)
	}
	pub.publish("plain", 1, true, "kept")
	expect(t, sub.got, message{"plain", "kept", 1, false})

	retained := func(p *proc) {
		t.Helper()
		late := p.connect3("late")
		late.subscribe("stamp/#", 1)
		expect(t, late.got, message{"stamp/x", `{"v": 1,"seen_by":"pub"}`, 1, true})
		late.subscribe("plain", 1)
		expect(t, late.got, message{"plain", "kept", 1, true})
		late.Disconnect(0)
	}
	retained(p)
	p.stop()
	p = s.start()
	retained(p)
	p.kill()
	p = s.start()
	retained(p)
	p.stop()
}

// holds is how long a publisher waits for a plugin that is gone, at least, before
// its message is refused: the default.
const holds = 5 * time.Second

// traffic publishes numbered messages of QoS 1 and checks that every one that
// was acknowledged arrives, and that none is refused for a plugin that is back
// in time.
type traffic struct {
	t        *testing.T
	pub, sub *client5
	stop     chan struct{}
	acked    chan []string
}

func (p *proc) traffic(t *testing.T, topic string, retain bool) *traffic {
	t.Helper()
	f := &traffic{t: t, sub: p.connect5("sub"), pub: p.connect5("pub"), stop: make(chan struct{}), acked: make(chan []string, 1)}
	f.sub.subscribe("#", 1)
	go func() {
		var acked []string
		for n := 0; ; {
			select {
			case <-f.stop:
				f.acked <- acked
				return
			default:
			}
			payload := fmt.Sprintf(`{"n":%d}`, n)
			began := time.Now()
			switch code, reason := f.pub.publish(topic, 1, retain, payload); {
			case code == 0:
				acked = append(acked, payload)
				n++
			case time.Since(began) < holds:
				t.Errorf("message %d: code %#x %s", n, code, reason)
			default: // the machine stood still: it is published again
				t.Logf("message %d after %v: code %#x %s", n, time.Since(began), code, reason)
			}
		}
	}()
	return f
}

// finish ends the traffic: everything that was acknowledged arrives, decided
// and in order, and nobody was disconnected.
func (f *traffic) finish() {
	f.t.Helper()
	close(f.stop)
	acked := <-f.acked
	f.t.Logf("%d messages", len(acked))
	drainTo(f.t, f.sub.got, strings.TrimSuffix(acked[len(acked)-1], "}")+`,"seen_by":"pub"}`)
	for who, c := range map[string]*client5{"publisher": f.pub, "subscriber": f.sub} {
		select {
		case <-c.end:
			f.t.Errorf("the %s was disconnected", who)
		case err := <-c.lost:
			f.t.Errorf("the %s lost its connection: %v", who, err)
		default:
		}
	}
}

// kill -9 of any plugin under traffic: it is back in under a second, nobody is
// disconnected, nothing is lost or passes undecided, and the restart shows.
func TestKillPlugins(t *testing.T) {
	for _, name := range []string{"authfile", "interceptlog", "retainjson"} {
		t.Run(name, func(t *testing.T) {
			s := newThreePlugins(t, threePlugins)
			p := s.start()
			flow := p.traffic(t, "stamp/x", true)
			for kill := range 2 {
				before := p.plugin(name)
				for range 20 { // some messages go through before the next kill
					<-flow.sub.got
				}
				killed := time.Now()
				if err := syscall.Kill(int(before.GetPid()), syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				after := p.waitPlugin(name, "ready again", func(q *adminv1.Plugin) bool {
					return q.GetState() == adminv1.PluginState_PLUGIN_STATE_READY && q.GetPid() != before.GetPid()
				})
				// The pause before a start doubles with every failure in a row.
				// How long it takes is logged and not asserted: a busy machine is no fault.
				t.Logf("kill %d: ready again after %v", kill+1, time.Since(killed))
				if after.GetRestarts() != before.GetRestarts()+1 || !strings.Contains(after.GetLastFailure(), "signal 9") {
					t.Errorf("restarts %d, last failure %q", after.GetRestarts(), after.GetLastFailure())
				}
			}
			flow.finish()
			if _, err := p.dial3("again", "alice", "secret"); err != nil {
				t.Error(err)
			}
			p.stop()
		})
	}
}

// drainTo reads messages until the last one; all of them must be decided, and
// numbered without a gap.
func drainTo(t *testing.T, got <-chan message, last string) {
	t.Helper()
	next := -1
	for {
		select {
		case m := <-got:
			var n int
			if _, err := fmt.Sscanf(m.payload, `{"n":%d,"seen_by":"pub"}`, &n); err != nil {
				t.Fatalf("%q passed undecided", m.payload)
			}
			if next >= 0 && n != next {
				t.Fatalf("message %d came where %d was due", n, next)
			}
			next = n + 1
			if m.payload == last {
				return
			}
		case <-time.After(patience):
			t.Fatalf("lost: %s", last)
		}
	}
}

// The other policies, while the interceptor is down for good.
func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		onError string
		code5   byte // what a publisher of QoS 1 is told
		passes  bool
	}{
		{onError: "refuse", code5: byte(mqtt.ImplementationSpecificError)},
		{onError: "pass", passes: true},
		{onError: "disconnect"},
	} {
		t.Run(tt.onError, func(t *testing.T) {
			s := newThreePlugins(t, strings.Replace(threePlugins, "  interceptlog:\n", "  interceptlog:\n    interceptor: {on_error: "+tt.onError+"}\n", 1))
			p := s.start()
			sub := p.connect3("sub")
			sub.subscribe("#", 1)
			// A stopped process answers nobody and is not restarted at once.
			pid := int(p.plugin("interceptlog").GetPid())
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
			pub := p.connect5("pub")
			switch tt.onError {
			case "disconnect":
				go pub.publishQuietly("stamp/x", "undecided")
				select {
				case d := <-pub.end:
					if d.ReasonCode != byte(mqtt.ImplementationSpecificError) {
						t.Errorf("disconnected with %#x", d.ReasonCode)
					}
				case <-pub.lost: // the client may see the end before the word
				case <-time.After(patience):
					t.Fatal("not disconnected")
				}
			default:
				if code, _ := pub.publish("stamp/x", 1, false, "undecided"); code != tt.code5 {
					t.Errorf("code %#x, want %#x", code, tt.code5)
				}
			}
			if tt.passes {
				expect(t, sub.got, message{"stamp/x", "undecided", 1, false})
			}
			if tt.onError == "refuse" {
				c := p.connect3("three")
				c.Publish("stamp/x", 1, false, "undecided")
				select {
				case <-c.lost:
				case <-time.After(patience):
					t.Error("a 3.1.1 publisher was not told")
				}
			}
			// Messages that do not concern the plugin go their way.
			other := p.connect5("other")
			if code, _ := other.publish("elsewhere", 1, false, "x"); code != 0 {
				t.Errorf("another topic: code %#x", code)
			}
			expect(t, sub.got, message{"elsewhere", "x", 1, false})
			info := p.plugin("interceptlog")
			if h := info.GetHooks(); len(h) == 0 || h[0].GetPolicy()[tt.onError] == 0 || h[0].GetTimeouts() == 0 {
				t.Errorf("counters: %v", h)
			}
		})
	}
}

// kill -9 of the broker takes its plugins and their children along, and the
// next start finds a clean run folder.
func TestKillBroker(t *testing.T) {
	s := newThreePlugins(t, threePlugins)
	s.install("forker")
	p := s.start()
	var pids []int
	for _, name := range []string{"authfile", "interceptlog", "retainjson", "forker"} {
		pids = append(pids, int(p.plugin(name).GetPid()))
	}
	child, err := os.ReadFile(s.path("data/plugins/forker/child"))
	if err != nil {
		t.Fatal(err)
	}
	var childPID int
	if _, err := fmt.Sscan(string(child), &childPID); err != nil {
		t.Fatal(err)
	}
	pids = append(pids, childPID)
	p.kill()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for alive(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d outlived the broker", pid)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	s.start().stop()
	left, err := os.ReadDir(s.path("run"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.IsDir() || strings.HasSuffix(e.Name(), ".sock") {
			t.Errorf("left in the run folder: %s", e.Name())
		}
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}
