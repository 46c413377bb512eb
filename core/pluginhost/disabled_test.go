//go:build unix

package pluginhost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What somebody disabled stays disabled when the broker starts anew, and what
// somebody enabled again does not.
func TestDisabledOutlastsTheHost(t *testing.T) {
	enabled := true
	first, _ := newChangingHost(t, nil)
	first.install(t, "auth")
	first.install(t, "door")
	first.mustStart(t)
	must(t, first.Disable(t.Context(), "auth"))
	must(t, first.Stop(t.Context()))
	next := func(t *testing.T, configs ...Config) (*testHost, Bindings) {
		t.Helper()
		th := newTestHost(t, func(o *Options) {
			o.PluginDir, o.RunDir, o.DataDir, o.Plugins = first.options.PluginDir, first.options.RunDir, first.options.DataDir, configs
		})
		return th, th.mustStart(t)
	}
	for range 2 { // a start changes nothing about it
		th, b := next(t, Config{Name: "auth", Order: 7})
		s := th.status(t, "auth")
		if s.State != Stopped || len(b.Validators) != 1 || !strings.Contains(s.Health, `it was disabled by "broker plugin disable" on `) || s.Order != 7 {
			t.Errorf("status is %+v", s)
		}
		must(t, th.Stop(t.Context()))
	}
	th, _ := next(t)
	must(t, th.Enable(t.Context(), "auth"))
	must(t, th.Stop(t.Context()))
	th, b := next(t)
	if s := th.status(t, "auth"); s.State != Ready || len(b.Validators) != 2 {
		t.Errorf("status is %+v", s)
	}
	must(t, th.Disable(t.Context(), "auth"))
	must(t, th.Stop(t.Context()))

	// An entry that says it explicitly counts, and it ends the order.
	th, _ = next(t, Config{Name: "auth", Enabled: &enabled})
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
	must(t, th.Disable(t.Context(), "auth"))
	if s := th.status(t, "auth"); !strings.Contains(s.Health, "until the broker starts anew") {
		t.Errorf("status is %+v", s)
	}
	must(t, th.Stop(t.Context()))
	th, _ = next(t)
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
}

// A plugin that comes back into the plugin directory is still disabled; an entry
// that says that it is enabled ends that at once, and for the next start.
func TestDisabledWhilePluginsChange(t *testing.T) {
	th, bound := newChangingHost(t, nil)
	th.install(t, "auth")
	th.install(t, "door")
	th.mustStart(t)
	must(t, th.Disable(t.Context(), "auth"))
	must(t, os.Rename(filepath.Join(th.dir, "auth"), filepath.Join(th.dir, ".auth")))
	pollUntil(t, "auth's end", func() bool { _, ok := th.Plugin("auth"); return !ok })
	must(t, os.Rename(filepath.Join(th.dir, ".auth"), filepath.Join(th.dir, "auth")))
	pollUntil(t, "auth's return", func() bool { _, ok := th.Plugin("auth"); return ok })
	if s := th.status(t, "auth"); s.State != Stopped || bound.validators() != "door" {
		t.Errorf("status is %+v, the broker asks %s", s, bound.validators())
	}
	enabled := true
	must(t, th.Configure(t.Context(), []Config{{Name: "auth", Enabled: &enabled}}, nil))
	if s := th.status(t, "auth"); s.State != Ready {
		t.Errorf("status is %+v", s)
	}
	if d, err := readDisablings(th.options.DataDir); err != nil || !d.find("auth").IsZero() {
		t.Errorf("it is still written down: %v, %v", d, err)
	}
}

func TestDisablings(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := readDisablings(dir)
	must(t, err)
	now := time.Now().UTC().Round(time.Second)
	must(t, d.set("a", now))
	must(t, d.set("b", now.Add(time.Hour)))
	must(t, d.set("c", time.Time{}))
	must(t, d.set("a", time.Time{}))
	again, err := readDisablings(dir)
	must(t, err)
	if !again.find("a").IsZero() || !again.find("b").Equal(now.Add(time.Hour)) || !again.find("c").IsZero() {
		t.Errorf("disabled: %v", again.since)
	}
	for text, want := range map[string]string{"{": "unexpected end", `{"schema":2}`: "its schema is 2"} {
		must(t, os.WriteFile(d.path, []byte(text), 0o600))
		if _, err := readDisablings(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "remove it to start with all of them") {
			t.Errorf("%s: %v", text, err)
		}
	}
	// What can't be written down is not in force for the next start either.
	must(t, os.RemoveAll(dir))
	must(t, os.WriteFile(dir, nil, 0o600))
	if err := d.set("z", now); err == nil || !d.find("z").IsZero() {
		t.Errorf("it was written: %v", err)
	}
}
