//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// version asks a validator which version decides.
func version(t *testing.T, v hook.Validator) string {
	t.Helper()
	d, err := v.Validate(context.Background(), &hook.Connect{ClientID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	return d.Reason
}

// verdict is the outcome of a call that runs.
type outcomeOfCall struct {
	version string
	err     error
}

// callAndWait makes a call that is answered once the returned file is removed.
func callAndWait(t *testing.T, v hook.Validator) (file string, answer <-chan outcomeOfCall) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "held")
	out := make(chan outcomeOfCall, 1)
	go func() {
		d, err := v.Validate(context.Background(), &hook.Connect{ClientID: file, Username: "wait", HasUsername: true})
		if err != nil {
			out <- outcomeOfCall{err: err}
			return
		}
		out <- outcomeOfCall{version: d.Reason}
	}()
	pollUntil(t, "the call's arrival", func() bool { return exists(file) })
	return file, out
}

// A changed file: the new instance takes new calls, the old one answers those
// that it has, and is gone then.
func TestSwapBesideTheOld(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "v=1.0.0")
	v := th.mustStart(t).Validators[0].Validator
	old := th.status(t, "auth").PID
	file, answer := callAndWait(t, v)

	th.rewrite(t, "auth", "v=2.0.0")
	s := th.until(t, "auth", "is replaced", func(s Status) bool { return s.Swaps == 1 && s.LeavingPID != 0 })
	if s.State != Ready || s.Version != "2.0.0" || s.PID == old || s.LeavingPID != old || s.LeavingVersion != "1.0.0" || s.SwapFailure != nil {
		t.Errorf("status is %+v", s)
	}
	if got := version(t, v); got != "2.0.0" {
		t.Errorf("a new call is decided by %s", got)
	}
	if !alive(old) {
		t.Error("the old instance did not stay for its call")
	}
	must(t, os.Remove(file))
	if got := <-answer; got.err != nil || got.version != "1.0.0" {
		t.Errorf("the old call is decided by %+v", got)
	}
	s = th.until(t, "auth", "has left the old one behind", func(s Status) bool { return s.LeavingPID == 0 })
	if alive(old) || s.Restarts != 0 || len(s.Failures) != 0 {
		t.Errorf("status is %+v", s)
	}
	if target, err := os.Readlink(s.Socket); err != nil || !answers(s.Socket) {
		t.Errorf("its stable socket leads to %s (%v)", target, err)
	}
}

// A new version that is no good in any way leaves the old one serving, and the
// reason can be read.
func TestSwapToABadVersion(t *testing.T) {
	tests := []struct {
		mode string
		kind FailureKind
		what string
	}{
		{"die-in-init", KindExited, "during Init (panic: boom in Init)"},
		{"hang-init", KindHung, "did not finish Init within 5s"},
		{"unfit", KindUnhealthy, `it failed its first health check: it says "the database is empty"`},
		{"mute-health", KindUnhealthy, "it failed its first health check"},
		{"nonsense", KindIncomplete, "its answer to Init makes no sense"},
		{"no-service", KindIncomplete, "but it does not serve that"},
		{"garbage-exit", KindExited, `"usage: acme [OPTION]..."`},
		{"unknown-key", KindMisconfigured, `unknown key "colour"`},
		{"version-7", KindIncompatible, "plugin protocol version 7"},
	}
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", StartTimeout: 5 * time.Second}}
	})
	th.timing.healthLimit = 3 * time.Second
	th.install(t, "auth", "v=1.0.0")
	v := th.mustStart(t).Validators[0].Validator
	old := th.status(t, "auth").PID
	for _, tt := range tests {
		s := th.replace(t, "auth", func(s Status) bool {
			return s.SwapFailure != nil && strings.Contains(s.SwapFailure.What, tt.what)
		}, "v=2.0.0", tt.mode)
		if s.SwapFailure.Kind != tt.kind || s.State != Ready || s.PID != old || s.Version != "1.0.0" || s.Swaps != 0 || s.Restarts != 0 {
			t.Errorf("%s: status is %+v", tt.mode, s)
		}
		if got := version(t, v); got != "1.0.0" {
			t.Errorf("%s: %s decides", tt.mode, got)
		}
		if !answers(s.Socket) {
			t.Errorf("%s: its stable socket is gone", tt.mode)
		}
	}
	if !th.log.has("new instance of plugin is no good, the old one goes on serving", "boom in Init") {
		t.Error("the log does not say why")
	}
	s := th.replace(t, "auth", func(s Status) bool { return s.Swaps == 1 }, "v=3.0.0")
	if got := version(t, v); got != "3.0.0" || s.SwapFailure != nil {
		t.Errorf("%s decides; %v", got, s.SwapFailure)
	}
}

// replace installs another version of a plugin and returns what became of it,
// which has to be as expected. A machine that stands still for longer than a
// plugin may take has it refused for that: then it is installed again.
func (th *testHost) replace(t *testing.T, name string, expected func(Status) bool, modes ...string) Status {
	t.Helper()
	for end := time.Now().Add(2 * patience); ; {
		before := th.status(t, name)
		th.rewrite(t, name, modes...)
		s := th.until(t, name, "has tried "+strings.Join(modes, " "), func(s Status) bool {
			f := s.SwapFailure
			return !s.Replacing && (s.Swaps != before.Swaps || f != nil && (before.SwapFailure == nil || f.Time.After(before.SwapFailure.Time)))
		})
		switch {
		case expected(s):
			return s
		case s.SwapFailure == nil || s.SwapFailure.Kind != KindHung && s.SwapFailure.Kind != KindUnhealthy || time.Now().After(end):
			t.Fatalf("%s became of %q: %v", name, modes, s.SwapFailure)
		}
		t.Logf("again: %s", s.SwapFailure.What)
	}
}

// Reload starts what is there, changed or not, and says how it went.
func TestReload(t *testing.T) {
	th := newTestHost(t, nil)
	th.timing.watch = time.Hour // nobody looks at files
	th.install(t, "auth", "v=1.0.0")
	v := th.mustStart(t).Validators[0].Validator
	first := th.status(t, "auth").PID
	must(t, th.Reload(t.Context(), "auth"))
	s := th.status(t, "auth")
	if s.PID == first || s.Swaps != 1 || version(t, v) != "1.0.0" {
		t.Errorf("status is %+v", s)
	}
	th.rewrite(t, "auth", "v=2.0.0", "die-in-init")
	var f *Failure
	if err := th.Reload(t.Context(), "auth"); !errors.As(err, &f) || f.Kind != KindExited {
		t.Errorf("error is %v", err)
	}
	if version(t, v) != "1.0.0" {
		t.Error("the old one does not go on")
	}
	if err := th.Reload(t.Context(), "nobody"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "there is: auth") {
		t.Errorf("error is %v", err)
	}
}

// A plugin that was given up starts again when it is told to.
func TestReloadOfAFailedPlugin(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "auth", MaxFailures: 1, Required: new(bool)}} })
	th.install(t, "auth", "exit-once="+mark)
	th.mustStart(t)
	th.until(t, "auth", "is given up", func(s Status) bool { return s.State == Failed })
	must(t, th.Reload(t.Context(), "auth"))
	th.until(t, "auth", "is ready", func(s Status) bool { return s.State == Ready })
}

// An old version that is killed while it answers its last calls: those follow
// the policy, and nothing else happens.
func TestKilledWhileItLeaves(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "v=1.0.0")
	v := th.mustStart(t).Validators[0].Validator
	old := th.status(t, "auth").PID
	_, answer := callAndWait(t, v)
	th.rewrite(t, "auth", "v=2.0.0")
	th.until(t, "auth", "is replaced", func(s Status) bool { return s.LeavingPID == old })
	must(t, syscall.Kill(old, syscall.SIGKILL))
	if got := <-answer; !errors.Is(got.err, hook.ErrLost) {
		t.Errorf("the call is %+v", got)
	}
	s := th.until(t, "auth", "is alone", func(s Status) bool { return s.LeavingPID == 0 })
	if s.State != Ready || s.Restarts != 0 || len(s.Failures) != 0 || version(t, v) != "2.0.0" {
		t.Errorf("status is %+v", s)
	}
}

// An old version that dies while the new one starts is not waited for.
func TestOldDiesWhileTheNewStarts(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "v=1.0.0")
	v := th.mustStart(t).Validators[0].Validator
	old := th.status(t, "auth").PID
	th.rewrite(t, "auth", "v=2.0.0", "delay=300ms")
	th.until(t, "auth", "is being replaced", func(s Status) bool { return s.Replacing })
	must(t, syscall.Kill(old, syscall.SIGKILL))
	s := th.until(t, "auth", "is replaced", func(s Status) bool { return s.Swaps == 1 })
	if s.State != Ready || s.Restarts != 0 || len(s.Failures) != 1 || version(t, v) != "2.0.0" {
		t.Errorf("status is %+v", s)
	}
}

// caller asks for admissions all the time and counts those that were refused.
type caller struct {
	hooks   *hook.Hooks
	stop    chan struct{}
	done    sync.WaitGroup
	asked   atomic.Int64
	refused atomic.Int64
}

// callAll begins to ask the validators of b from several goroutines.
func callAll(b Bindings) *caller {
	c := &caller{hooks: hook.NewHooks(nil), stop: make(chan struct{})}
	c.hooks.SetValidators(b.Validators)
	for range 8 {
		c.done.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				c.asked.Add(1)
				if a := c.hooks.Validate(context.Background(), &hook.Connect{ClientID: "c"}); a.Code != 0 {
					c.refused.Add(1)
				}
			}
		})
	}
	return c
}

// end stops asking: some were asked, and nobody was refused.
func (c *caller) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	c.done.Wait()
	if c.asked.Load() == 0 || c.refused.Load() > 0 {
		t.Errorf("%d of %d were refused", c.refused.Load(), c.asked.Load())
	}
	c.hooks.Close()
}

// Two processes of an exclusive plugin never run at once, and yet nobody is
// refused, though the policy is to refuse.
func TestSwapOfAnExclusivePlugin(t *testing.T) {
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", Validator: hook.Policy{HoldFor: patience, Timeout: patience}}}
	})
	th.install(t, "auth", "v=1.0.0", "single")
	calls := callAll(th.mustStart(t))
	for i, v := range []string{"v=2.0.0", "v=3.0.0", "v=4.0.0"} {
		th.rewrite(t, "auth", v, "single")
		s := th.until(t, "auth", "is "+v, func(s Status) bool { return s.Swaps == uint64(i+1) })
		if s.SwapFailure != nil || "v="+s.Version != v || s.Restarts != 0 {
			t.Errorf("status is %+v", s)
		}
	}
	calls.end(t)
}

// A new version of an exclusive plugin that is no good is tried again like any
// plugin that failed, since the files of the old one are gone.
func TestSwapOfAnExclusivePluginToABadVersion(t *testing.T) {
	th := newTestHost(t, nil)
	th.install(t, "auth", "v=1.0.0", "single")
	v := th.mustStart(t).Validators[0].Validator
	th.rewrite(t, "auth", "v=2.0.0", "single", "die-in-init")
	s := th.until(t, "auth", "is in backoff", func(s Status) bool { return s.State == Backoff })
	if s.SwapFailure == nil || s.SwapFailure.Kind != KindExited {
		t.Errorf("status is %+v", s)
	}
	th.rewrite(t, "auth", "v=3.0.0", "single")
	th.until(t, "auth", "is ready", func(s Status) bool { return s.State == Ready })
	if got := version(t, v); got != "3.0.0" {
		t.Errorf("%s decides", got)
	}
}
