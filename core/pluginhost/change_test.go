//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// onChange keeps what OnChange was told last.
type onChange struct {
	mu     sync.Mutex
	latest Bindings
	times  int
}

func (r *onChange) set(b Bindings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = b
	r.times++
}

func (r *onChange) validators() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for _, v := range r.latest.Validators {
		names = append(names, v.Name)
	}
	return strings.Join(names, " ")
}

// newChangingHost makes a host that tells of its bindings.
func newChangingHost(t *testing.T, edit func(*Options)) (*testHost, *onChange) {
	r := new(onChange)
	th := newTestHost(t, func(o *Options) {
		o.OnChange = r.set
		if edit != nil {
			edit(o)
		}
	})
	return th, r
}

func TestDisableAndEnable(t *testing.T) {
	th, bound := newChangingHost(t, nil)
	th.install(t, "auth", "v=1.0.0")
	th.install(t, "door")
	v := th.mustStart(t).Validators[0].Validator
	pid := th.status(t, "auth").PID
	file, answer := callAndWait(t, v)

	disabled := make(chan error, 1)
	go func() { disabled <- th.Disable(context.Background(), "auth") }()
	th.until(t, "auth", "drains", func(s Status) bool { return s.State == Draining })
	if got := bound.validators(); got != "door" {
		t.Errorf("the broker asks %q", got)
	}
	// Whoever began to ask before is not refused for it.
	d, err := v.Validate(context.Background(), &hook.Connect{ClientID: "late"})
	if err != nil || d.Verdict != hook.Abstain {
		t.Errorf("a late call: %+v, %v", d, err)
	}
	must(t, os.Remove(file))
	if got := <-answer; got.err != nil || got.version != "1.0.0" {
		t.Errorf("the call that it had: %+v", got)
	}
	must(t, <-disabled)
	s := th.status(t, "auth")
	if s.State != Stopped || !strings.HasPrefix(s.Health, `it was disabled by "broker plugin disable" on `) || alive(pid) {
		t.Errorf("status is %+v", s)
	}
	must(t, th.Disable(t.Context(), "auth")) // it is already

	must(t, th.Enable(t.Context(), "auth"))
	if s := th.status(t, "auth"); s.State != Ready || s.PID == pid {
		t.Errorf("status is %+v", s)
	}
	if got := bound.validators(); got != "auth door" {
		t.Errorf("the broker asks %q", got)
	}
	must(t, th.Enable(t.Context(), "auth"))
	if err := th.Enable(t.Context(), "nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error is %v", err)
	}
}

// What must not be done without stays.
func TestDisableIsNotPermitted(t *testing.T) {
	open := errors.New("anybody could connect")
	th, _ := newChangingHost(t, func(o *Options) {
		o.Permit = func(b Bindings) error {
			if len(b.Validators) == 0 {
				return open
			}
			return nil
		}
	})
	th.install(t, "auth")
	th.mustStart(t)
	if err := th.Disable(t.Context(), "auth"); !errors.Is(err, open) {
		t.Errorf("error is %v", err)
	}
	must(t, os.Rename(filepath.Join(th.dir, "auth"), filepath.Join(th.dir, ".auth")))
	pollUntil(t, "a word about it", func() bool { return th.log.has("plugin directory was not followed", open.Error()) })
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
}

// A new folder in the plugin directory is a new plugin, one that is gone was
// one.
func TestPluginDirIsWatched(t *testing.T) {
	th, bound := newChangingHost(t, nil)
	th.install(t, "auth")
	th.mustStart(t)
	// One that does not work takes no part: nobody is refused because of it.
	th.install(t, "broken", "exit")
	th.until(t, "auth", "is not alone", func(Status) bool { _, ok := th.Plugin("broken"); return ok })
	th.until(t, "broken", "failed", func(s Status) bool { return len(s.Failures) > 0 })
	th.install(t, "new", "v=5.0.0")
	pollUntil(t, "the new plugin", func() bool { return bound.validators() == "auth new" })
	if s := th.status(t, "new"); s.State != Ready || s.Version != "5.0.0" {
		t.Errorf("status is %+v", s)
	}
	// Mended, it does.
	th.rewrite(t, "broken", "v=6.0.0")
	pollUntil(t, "the mended plugin", func() bool { return bound.validators() == "auth broken new" })

	pid := th.status(t, "new").PID
	must(t, os.RemoveAll(filepath.Join(th.dir, "new")))
	pollUntil(t, "its end", func() bool { _, ok := th.Plugin("new"); return !ok && !alive(pid) })
	if got := bound.validators(); got != "auth broken" {
		t.Errorf("the broker asks %q", got)
	}
}

func TestConfigure(t *testing.T) {
	entry := func(config string) Config { return Config{Name: "auth", Config: []byte(config)} }
	th, bound := newChangingHost(t, func(o *Options) { o.Plugins = []Config{entry(`{"a":1}`)} })
	th.install(t, "auth", "reconfigure")
	v := th.mustStart(t).Validators[0].Validator
	first := th.status(t, "auth")

	must(t, th.Configure(t.Context(), []Config{entry(`{"a":1}`)}, nil)) // nothing
	must(t, th.Configure(t.Context(), []Config{entry(`{"a":2}`)}, nil)) // in place
	if s := th.status(t, "auth"); s.PID != first.PID || s.Swaps != 0 || !th.log.has("plugin is reconfigured") {
		t.Errorf("status is %+v", s)
	}
	err := th.Configure(t.Context(), []Config{entry(`{"bad":2}`)}, nil)
	if err == nil || !strings.Contains(err.Error(), "it refused its new configuration and keeps the old one: /bad: this is no good") {
		t.Errorf("error is %v", err)
	}
	if s := th.status(t, "auth"); s.PID != first.PID || s.SwapFailure == nil || s.State != Ready {
		t.Errorf("status is %+v", s)
	}
	// A policy is the broker's own affair.
	policy := entry(`{"a":2}`)
	policy.Validator.OnError = hook.OnErrorDisconnect
	must(t, th.Configure(t.Context(), []Config{policy}, nil))
	if s := th.status(t, "auth"); s.PID != first.PID || s.Validator != policy.Validator || bound.latest.Validators[0].Policy != policy.Validator {
		t.Errorf("status is %+v", s)
	}
	// Its environment needs a new process.
	env := entry(`{"a":2}`)
	env.Env = map[string]string{"CHAOS_COLOUR": "blue"}
	must(t, th.Configure(t.Context(), []Config{env}, nil))
	if s := th.status(t, "auth"); s.PID == first.PID || s.Swaps != 1 || s.SwapFailure != nil || version(t, v) != "1.0.0" {
		t.Errorf("status is %+v", s)
	}
	if err := th.Configure(t.Context(), []Config{env, env}, nil); err == nil || !strings.Contains(err.Error(), "configured twice") {
		t.Errorf("error is %v", err)
	}
	off := env
	off.Enabled = new(bool)
	must(t, th.Configure(t.Context(), []Config{off}, nil))
	if s := th.status(t, "auth"); s.State != Stopped || s.Health != "it is disabled by the configuration" {
		t.Errorf("status is %+v", s)
	}
	must(t, th.Configure(t.Context(), nil, nil))
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
}

// A plugin that takes a new configuration only when it starts is replaced, and
// keeps its old one if the new one is no good.
func TestConfigureByReplacing(t *testing.T) {
	for _, modes := range [][]string{nil, {"single"}} {
		t.Run(strings.Join(modes, ""), func(t *testing.T) {
			entry := func(config string) []Config { return []Config{{Name: "auth", Config: []byte(config)}} }
			th, _ := newChangingHost(t, func(o *Options) { o.Plugins = entry(`{"a":1}`) })
			th.install(t, "auth", append(modes, "picky")...)
			v := th.mustStart(t).Validators[0].Validator
			must(t, th.Configure(t.Context(), entry(`{"a":2}`), nil))
			if r := th.report(t, "auth"); r.Config != `{"a":2}` || th.status(t, "auth").Swaps != 1 {
				t.Errorf("its configuration is %s", r.Config)
			}
			err := th.Configure(t.Context(), entry(`{"bad":1}`), nil)
			if err == nil || !strings.Contains(err.Error(), "it refused its configuration") {
				t.Errorf("error is %v", err)
			}
			if s := th.status(t, "auth"); s.State != Ready || s.SwapFailure == nil || version(t, v) != "1.0.0" {
				t.Errorf("status is %+v", s)
			}
		})
	}
}
