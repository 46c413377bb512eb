//go:build unix

package pluginhost

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestHostRunsAPlugin(t *testing.T) {
	t.Setenv("SECRET_OF_THE_BROKER", "hunter2")
	t.Setenv("CHAOS_COLOUR", "green")
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "auth", Config: []byte(`{"a":1}`), Env: map[string]string{"EXTRA": "yes"}}}
		o.LogLevel = "debug"
	})
	th.install(t, "auth")
	b := th.mustStart(t)

	if len(b.Validators) != 1 || b.Validators[0].Name != "auth" || len(b.Interceptors) != 0 || b.Store != nil {
		t.Errorf("bindings are %+v", b)
	}
	s := th.status(t, "auth")
	if s.State != Ready || s.PID == 0 || s.Version != "1.0.0" || !s.Required || s.Restarts != 0 || !slices.Equal(s.Services, hookServices[:1]) {
		t.Errorf("status is %+v", s)
	}
	r := th.report(t, "auth")
	if r.Config != `{"a":1}` || r.Instance != "auth" || r.LogLevel != "debug" {
		t.Errorf("Init brought %+v", r)
	}
	if r.PID != r.PGID || r.Stdin != "/dev/null" || !r.Lifeline {
		t.Errorf("process is %+v", r)
	}
	checkEnviron(t, r.Env)
	if err := syscall.Kill(s.PID, 0); err != nil {
		t.Errorf("process: %v", err)
	}
}

// checkEnviron: nothing of the broker's environment but what was allowed.
func checkEnviron(t *testing.T, env []string) {
	t.Helper()
	allowed := []string{
		"PATH", "LANG", "TMPDIR", "TZ", "CHAOS_COLOUR", "GORACE", "EXTRA", "GATEHOUSE_PLUGIN", "GATEHOUSE_LIFELINE_FD",
		"PLUGIN_MIN_PORT", "PLUGIN_MAX_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR",
	}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.Contains(allowed, name) {
			t.Errorf("plugin sees %s", kv)
		}
	}
	for _, want := range []string{"CHAOS_COLOUR=green", "EXTRA=yes"} {
		if !slices.Contains(env, want) {
			t.Errorf("plugin does not see %s", want)
		}
	}
}
