//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// swapsInARow is how often TestSwapUnderTraffic replaces the interceptor. With a
// hundred it takes less than a minute on two cores that do nothing else; with
// -short a tenth of that.
const swapsInARow = 100

// The interceptor is replaced again and again while 64 clients publish through
// it with QoS 1 and 2. Versions differ in what they may change.
func TestSwapUnderTraffic(t *testing.T) {
	swaps := swapsInARow
	if testing.Short() {
		swaps /= 10
	}
	s := newSite(t, "plugins:\n  stamper: {interceptor: {on_error: refuse, timeout: 30s}}\n")
	s.stamper("1.0.0", "")
	p := s.start()
	c := newCrowd(t, p, 64)
	began := time.Now()
	for v := 2; v < 2+swaps; v++ {
		s.stamper(fmt.Sprintf("%d.0.0", v), "")
		if err := p.reload("stamper"); err != nil {
			t.Fatal(err)
		}
		c.progress()
	}
	t.Logf("%d swaps in %v", swaps, time.Since(began).Round(time.Millisecond))
	// A new version that can't start: the old one serves on.
	s.stamper("1000.0.0", "refuses to start")
	if err := p.reload("stamper"); err == nil || !strings.Contains(err.Error(), "there is no ink") {
		t.Errorf("a bad version: %v", err)
	}
	c.progress()
	info := p.plugin("stamper")
	if info.GetVersion() != fmt.Sprintf("%d.0.0", 1+swaps) || !strings.Contains(info.GetSwapFailure(), "there is no ink") {
		t.Errorf("plugin is %v", info)
	}
	if int(info.GetSwaps()) < swaps || info.GetRestarts() != 0 || info.GetLastFailure() != "" {
		t.Errorf("plugin is %v", info)
	}
	sum := c.finish()
	p.stop()
	if n := s.decided(); n != sum {
		t.Errorf("%d messages were decided %d times", sum, n)
	}
}

// New versions that go wrong at their first message or at their fiftieth, while
// clients publish: the old one serves again, nobody is disconnected, nothing is
// lost, and the command says why.
func TestBadVersionsUnderTraffic(t *testing.T) {
	s := newSite(t, "plugins:\n  stamper: {probation: 10m, interceptor: {timeout: 30s, hold_for: 30s}}\n")
	s.stamper("1.0.0", "")
	p := s.start()
	c := newCrowd(t, p, 16)
	c.progress()
	pid := p.plugin("stamper").GetPid()
	for i, tt := range []struct{ summary, want string }{
		{"is illegal at 1", "illegal answer"},
		{"crashes at 1", "it exited with status 3"},
		{"panics at 1", "its own code failed"},
		{"is illegal at 50", "illegal answer"},
		{"crashes at 50", "it exited with status 3"},
		{"panics at 50", "no ink is left"},
	} {
		version := fmt.Sprintf("%d.0.0", i+2)
		s.stamper(version, tt.summary)
		if err := p.reload("stamper"); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(patience); p.plugin("stamper").GetRejectedVersion() != version; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: plugin is %v", tt.summary, p.plugin("stamper"))
			}
		}
		c.progress()
		info := p.plugin("stamper")
		if info.GetPid() != pid || info.GetVersion() != "1.0.0" || info.GetRestarts() != 0 || !strings.Contains(info.GetSwapFailure(), tt.want) {
			t.Errorf("%s: plugin is %v", tt.summary, info)
		}
		var out strings.Builder
		run([]string{"plugin", "list", "--run-dir", p.path("run")}, strings.NewReader(""), &out, &out)
		if !strings.Contains(out.String(), "1.0.0 ("+version+" was rejected)") || !strings.Contains(out.String(), tt.want) {
			t.Errorf("the list is\n%s", out.String())
		}
	}
	c.finish()
	p.stop()
}

// A validator and a store that may not run twice are replaced while clients come
// and publish retained messages: nobody is refused or disconnected.
func TestSwapOfValidatorAndStore(t *testing.T) {
	s := newThreePlugins(t, threePlugins)
	p := s.start()
	flow := p.traffic(t, "stamp/x", true)
	for i := range 5 {
		for _, name := range []string{"authfile", "retainjson", "interceptlog"} {
			if err := p.reload(name); err != nil {
				t.Fatal(err)
			}
			if _, err := p.dial3(fmt.Sprintf("client-%s-%d", name, i), "alice", "secret"); err != nil {
				t.Error(err)
			}
		}
	}
	flow.finish()
	if n := p.plugin("retainjson"); n.GetSwaps() != 5 || n.GetRestarts() != 0 {
		t.Errorf("plugin is %v", n)
	}
	p.stop()
}

// SIGHUP puts in force what changed in the file; what makes no sense changes
// nothing.
func TestReloadOfTheConfiguration(t *testing.T) {
	s := newThreePlugins(t, threePlugins)
	p := s.start()
	sub := p.connect3("sub")
	sub.subscribe("#", 1)
	pub := p.connect5("pub")
	good := string(s.read("gatehouse.yaml"))
	pid := p.plugin("interceptlog").GetPid()

	change := func(from, to, log string) {
		t.Helper()
		if !strings.Contains(good, from) {
			t.Fatalf("the configuration has no %q", from)
		}
		s.write("gatehouse.yaml", strings.Replace(good, from, to, 1))
		p.signal(syscall.SIGHUP)
		p.waitLog(log)
	}
	change("refuse: {code: quota exceeded", "refuse: {code: not authorized", "msg=\"configuration reloaded\"")
	if code, _ := pub.publish("forbidden/x", 1, false, "x"); code != byte(mqtt.NotAuthorized) {
		t.Errorf("under the new configuration: %#x", code)
	}
	change("refuse: {code: quota exceeded", "refuse: {code: no such code", "it refused its new configuration and keeps the old one")
	change("listeners:", "hearers:", "configuration not reloaded: the old one stays in force")
	if code, _ := pub.publish("forbidden/x", 1, false, "x"); code != byte(mqtt.NotAuthorized) {
		t.Errorf("under the old configuration: %#x", code)
	}
	if info := p.plugin("interceptlog"); info.GetPid() != pid || info.GetSwapFailure() == "" {
		t.Errorf("plugin is %v", info)
	}
	change("data_dir: data", "data_dir: elsewhere", "keys=data_dir")
	select {
	case <-pub.end:
		t.Error("the publisher was disconnected")
	case err := <-pub.lost:
		t.Error(err)
	default:
	}
	p.stop()
}

// A plugin that is copied into the folder joins; disabled, it is not asked;
// removed, it is gone.
func TestPluginsComeAndGo(t *testing.T) {
	s := newSite(t, "")
	if err := os.MkdirAll(s.path("plugins"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := s.start()
	sub := p.connect3("sub")
	sub.subscribe("#", 1)
	s.stamper("1.0.0", "")
	c := p.connect5("pub")
	p.waitLog("plugin was added")
	p.waitLog("plugin is ready")
	broker := func(args ...string) string {
		t.Helper()
		var out, errs strings.Builder
		if code := run(append(args, "--run-dir", p.path("run")), strings.NewReader(""), &out, &errs); code != 0 {
			t.Fatalf("%q: %s", args, errs.String())
		}
		return out.String()
	}
	if got := broker("plugin", "disable", "stamper"); got != "stamper 1.0.0 is stopped\n" {
		t.Errorf("disable says %q", got)
	}
	if n := s.decided(); n != 0 {
		t.Errorf("%d messages were decided", n)
	}
	c.publish("x", 1, false, "undecided")
	if got := broker("plugin", "info", "stamper"); !strings.Contains(got, `it was disabled by "broker plugin disable" on `) {
		t.Errorf("info says %q", got)
	}
	if got := s.refusesTo("plugin", "call", "stamper", "PluginService/Init"); !strings.Contains(got, `it is stopped; "broker plugin enable stamper" has it run`) {
		t.Errorf("call says %q", got)
	}
	if got := broker("plugin", "enable", "stamper"); !strings.Contains(got, "stamper 1.0.0 is ready (pid ") {
		t.Errorf("enable says %q", got)
	}
	c.publish("x", 1, false, "decided")
	if got := broker("plugin", "reload", "stamper"); !strings.Contains(got, "is ready (pid ") {
		t.Errorf("reload says %q", got)
	}
	if got := broker("plugin", "info", "stamper"); !strings.Contains(got, "1 times") {
		t.Errorf("info says %q", got)
	}
	if err := os.RemoveAll(filepath.Dir(s.path("plugins/stamper/stamper"))); err != nil {
		t.Fatal(err)
	}
	p.waitLog("plugin was removed")
	for end := time.Now().Add(patience); s.decided() != 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages were decided, want 1", s.decided())
		}
	}
	var errs strings.Builder
	if code := run([]string{"plugin", "reload", "stamper", "--run-dir", p.path("run")}, strings.NewReader(""), &strings.Builder{}, &errs); code != exitNotFound ||
		!strings.Contains(errs.String(), `there is no plugin "stamper"; there is: nothing`) {
		t.Errorf("reload of what is gone: %d %s", code, errs.String())
	}
	p.stop()
}
