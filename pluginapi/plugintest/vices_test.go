package plugintest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/conformance"
)

// vices are what plugins do wrong, by the case that has to find it.
var vices = []struct{ kind, vice, fails string }{
	{"validator", "exits", "plugin/start"},
	{"validator", "version", "plugin/describe"},
	{"observer", "absent", "plugin/services"},
	{"validator", "unhealthy", "plugin/health"},
	{"validator", "loose JSON", "plugin/config"},
	{"validator", "lenient", "plugin/unknown-key"},
	{"validator", "unknown method", "plugin/malformed"},
	{"observer", "drains for ever", "plugin/deadlines"},
	{"observer", "stays", "plugin/stop"},
	{"observer", "deaf", "plugin/terminate"},
	{"observer", "prints", "plugin/stdout"},

	{"validator", "no effect", "validator/decisions"},
	{"validator", "for good", "validator/decisions"},
	{"validator", "empty password", "validator/empty-password"},
	{"validator", "prefix", "validator/known-user"},
	{"validator", "mixes up", "validator/concurrency"},
	{"validator", "gets stuck", "validator/cancelled"},
	{"validator", "hostile", "validator/hostile"},
	{"validator", "crashes", "validator/nonsense"},
	{"validator", "trusts methods", "validator/authenticate"},
	{"validator", "logs passwords", "validator/log"},
	{"validator", "logs encoded", "validator/log"},

	{"interceptor", "filter", "interceptor/interest"},
	{"interceptor", "undeclared", "interceptor/verdicts"},
	{"interceptor", "short numbers", "interceptor/stream"},
	{"interceptor", "differs", "interceptor/twins"},
	{"interceptor", "forgets one", "interceptor/batches"},
	{"interceptor", "small", "interceptor/large"},
	{"interceptor", "needs a client", "interceptor/clients"},
	{"interceptor", "breaks with its stream", "interceptor/cancelled"},
	{"interceptor", "hostile", "interceptor/hostile"},
	{"interceptor", "crashes", "interceptor/nonsense"},

	{"observer", "picky", "observer/events"},
	{"observer", "can't count", "observer/gap"},
	{"observer", "one snapshot", "observer/snapshot"},
	{"observer", "counts events", "observer/stream"},
	{"observer", "hostile", "observer/hostile"},
	{"observer", "crashes", "observer/nonsense"},

	{"store", "not empty", "store/own"},
	{"store", "forgets a field", "store/fields"},
	{"store", "text only", "store/payloads"},
	{"store", "trims", "store/topics"},
	{"store", "deletes first", "store/changes"},
	{"store", "once only", "store/idempotence"},
	{"store", "forgets the deleted", "store/stale"},
	{"store", "keeps umlauts", "store/history"},
	{"store", "buffers", "store/kill"},
	{"store", "no tombstones", "store/snapshot"},
	{"store", "counts what is there", "store/stats"},
	{"store", "one part", "store/many"},
	{"store", "small", "store/large"},
	{"store", "loads once", "store/cancelled"},
	{"store", "half a batch", "store/nonsense"},
}

// hanging are the vices that are found by waiting for an answer.
var hanging = []string{"drains for ever", "gets stuck", "stays", "deaf"}

// Every plugin with a vice fails the case that is there for it, and no other.
func TestVicesAreFound(t *testing.T) {
	path := Install(t, t.TempDir(), "vicious")
	for _, v := range vices {
		t.Run(v.kind+" "+v.vice, func(t *testing.T) {
			t.Parallel()
			only := "*/*"
			if strings.HasPrefix(v.fails, v.kind) { // what all plugins have is as in TestNoVice
				only = v.kind + "/*"
			}
			tries := 1
			if slices.Contains(hanging, v.vice) {
				tries = 3 // on a machine that stands still for seconds, others hang as well
			}
			var failed []string
			for range tries {
				failed = failures(t, checkVicious(t, path, v.kind, v.vice, Only(only)))
				if slices.Equal(failed, []string{v.fails}) {
					return
				}
			}
			t.Errorf("failed %q, want %s", failed, v.fails)
		})
	}
}

// Without a vice it passes, so that nothing else is what the vices fail by.
func TestNoVice(t *testing.T) {
	path := Install(t, t.TempDir(), "vicious")
	for kind := range viciousServices {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			results := checkVicious(t, path, kind, "")
			if failed := failures(t, results); len(failed) > 0 {
				t.Errorf("failed %q", failed)
			}
			for _, r := range results {
				// Only what needs the broker's own host can't be judged here.
				if r.Status == conformance.Skipped && strings.HasPrefix(r.Case, kind) {
					t.Errorf("%s was skipped: %s", r.Case, r.Happened)
				}
			}
		})
	}
}

// Every case has a plugin that fails it, but for the one that needs the broker's
// own host.
func TestEveryCaseHasAVice(t *testing.T) {
	for _, c := range conformance.Cases() {
		known := slices.ContainsFunc(vices, func(v struct{ kind, vice, fails string }) bool { return v.fails == c.Name })
		if !known && c.Name != "plugin/children" {
			t.Errorf("no plugin fails %s", c.Name)
		}
	}
}

func checkVicious(t *testing.T, path, kind, vice string, o ...Option) []conformance.Result {
	o = append(o, Env("KIND="+kind, "VICE="+vice, "GORACE=atexit_sleep_ms=0"), Topics(100), KnownUser("a", "anna", "secret phrase"))
	if slices.Contains(hanging, vice) {
		o = append(o, func(s *settings) { s.check.callTimeout, s.check.stopTimeout = 5*time.Second, 4*time.Second })
	}
	return checkProgram(t, path, o)
}

// failures are the cases that failed; what happened is logged.
func failures(t *testing.T, results []conformance.Result) []string {
	var failed []string
	for _, r := range results {
		if r.Status == conformance.Failed {
			t.Logf("%s: the plugin %s", r.Case, r.Happened)
			failed = append(failed, r.Case)
		}
	}
	return failed
}
