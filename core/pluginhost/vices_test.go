//go:build unix

package pluginhost

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// vices are what a plugin can do to its broker. Each is tried under the policies
// that promise something.
var vices = []struct {
	name  string
	modes []string
	never bool // it never gets ready
}{
	{"hangs", []string{"hang"}, false},
	{"exits at work", []string{"exit-at-work"}, false},
	{"is stopped", []string{"stop-itself"}, false},
	{"leaks memory", []string{"leak"}, false},
	{"floods its log with hostile lines", []string{"babble"}, false},
	{"leaves grandchildren", []string{"spawn"}, false},
	{"answers wrong numbers", []string{"wrong-numbers"}, false},
	{"answers twice", []string{"twice"}, false},
	{"answers with a message of another service", []string{"foreign-answer"}, false},
	{"answers with 100 MB", []string{"huge"}, false},
	{"delays its handshake", []string{"delay=200ms"}, false},
	{"dies during Init", []string{"die-in-init"}, true},
	{"hangs in Init", []string{"hang-init"}, true},
}

// Whatever an interceptor does: with on_error refuse no message passes that it
// has not seen, with pass none is lost, and messages that it did not ask for do
// not wait for it.
func TestVices(t *testing.T) {
	for _, vice := range vices {
		t.Run(vice.name, func(t *testing.T) {
			t.Parallel()
			for _, policy := range []hook.OnError{hook.OnErrorRefuse, hook.OnErrorPass} {
				t.Run(policy.String(), func(t *testing.T) {
					t.Parallel()
					tryVice(t, vice.modes, vice.never, policy)
				})
			}
		})
	}
}

func tryVice(t *testing.T, modes []string, never bool, policy hook.OnError) {
	hooks := hook.NewHooks(nil)
	t.Cleanup(hooks.Close)
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{
			Name: "gate", Required: new(bool), StartTimeout: patience,
			Interceptor: hook.Policy{OnError: policy, Timeout: 100 * time.Millisecond},
		}}
		if never {
			o.Plugins[0].StartTimeout = 300 * time.Millisecond
		}
		o.OnChange = func(b Bindings) { hooks.SetInterceptors(b.Interceptors) }
	})
	th.timing.firstPause = 10 * time.Millisecond
	th.installGate(t, modes...)
	hooks.SetInterceptors(th.mustStart(t).Interceptors)
	if !never {
		pollUntil(t, "the first mark", func() bool { return isMarked(publishOne(hooks, "gated/x")) })
	}

	before := others(hooks, 2000)
	during := make(chan []time.Duration, 1)
	go func() { during <- others(hooks, 2000) }()
	var marked, plain, refused atomic.Int64
	var publishers sync.WaitGroup
	for range 8 {
		publishers.Go(func() {
			for range 32 {
				switch call := publishOne(hooks, "gated/x"); {
				case call.Verdict.Action == hook.Refuse && call.Verdict.Failed:
					refused.Add(1)
				case call.Verdict.Action != hook.Pass:
					t.Errorf("verdict %+v", call.Verdict)
				case isMarked(call):
					marked.Add(1)
				default:
					plain.Add(1)
				}
				time.Sleep(5 * time.Millisecond) // so that what restarts is met again
			}
		})
	}
	publishers.Wait()
	if policy == hook.OnErrorRefuse && plain.Load() > 0 {
		t.Errorf("%d messages passed that it has not seen", plain.Load())
	}
	if policy == hook.OnErrorPass && refused.Load() > 0 {
		t.Errorf("%d messages were lost", refused.Load())
	}
	calm, busy := p99(before), p99(<-during)
	t.Logf("%d marked, %d unseen, %d refused", marked.Load(), plain.Load(), refused.Load())
	if !never { // or else nobody knows what it would have asked for
		t.Logf("others: p99 %v before, %v during, ratio %.1f", calm, busy, float64(busy)/float64(calm))
	}
	if s := th.status(t, "gate"); len(s.Calls) > 0 {
		t.Logf("state %v, %d restarts, counters %+v", s.State, s.Restarts, s.Calls[0])
	}
}

// installGate puts an interceptor with vices into the plugin directory.
func (th *testHost) installGate(t *testing.T, modes ...string) {
	t.Helper()
	th.install(t, "gate")
	writeManifest(t, filepath.Join(th.dir, "gate"), gateManifest(modes...))
}

func gateManifest(modes ...string) *pluginapi.Manifest {
	m := chaosManifest("chaos", append([]string{"run", "gate"}, modes...)...)
	m.Services = []string{pluginv1.MessageInterceptorService_ServiceDesc.ServiceName}
	return m
}

// publishOne has the interceptors decide one message.
func publishOne(hooks *hook.Hooks, topic string) *hook.Call {
	call := &hook.Call{Message: &mqtt.Message{Topic: topic, Payload: []byte("payload"), Created: time.Now()}}
	hooks.Intercept(context.Background(), hook.AfterAuthorization, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{call}})
	return call
}

// A new version that goes wrong once it serves, at its first message or later:
// the old one is back, it never went away, and whoever asks is told why.
func TestNewVersionWithVices(t *testing.T) {
	tests := []struct {
		mode, at, what string
		timeout        time.Duration
	}{
		{"wrong-numbers", "1", "which was not made", patience},
		{"twice", "50", "a second answer to call", patience},
		{"foreign-answer", "1", "got no answer in time", 300 * time.Millisecond},
		{"huge", "50", "larger than max", patience},
		{"exit-at-work", "1", "it exited with status 3", patience},
		{"stop-itself", "50", "no answer in time", 300 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.mode, func(t *testing.T) {
			t.Parallel()
			hooks := hook.NewHooks(nil)
			t.Cleanup(hooks.Close)
			th := newTestHost(t, func(o *Options) {
				o.Plugins = []Config{{
					Name: "gate", Probation: time.Hour,
					Interceptor: hook.Policy{Idempotent: true, Timeout: tt.timeout, HoldFor: patience},
				}}
				o.OnChange = func(b Bindings) { hooks.SetInterceptors(b.Interceptors) }
			})
			th.timing.healthEvery = time.Hour // which would notice some of it too
			th.installGate(t, "v=1.0.0")
			hooks.SetInterceptors(th.mustStart(t).Interceptors)
			old := th.status(t, "gate").PID
			m := gateManifest("v=2.0.0", tt.mode, "at="+tt.at)
			aside := t.TempDir()
			writeManifest(t, aside, m)
			must(t, os.Rename(filepath.Join(aside, manifestFile), filepath.Join(th.dir, "gate", manifestFile)))
			th.until(t, "gate", "is replaced", func(s Status) bool { return s.Swaps == 1 })
			if s := th.status(t, "gate"); s.StandbyPID != old || s.StandbyVersion != "1.0.0" || s.PID == old {
				t.Errorf("status is %+v", s)
			}
			var publishers sync.WaitGroup
			for range 4 {
				publishers.Go(func() {
					for range 32 {
						if call := publishOne(hooks, "gated/x"); call.Verdict.Action != hook.Pass || !isMarked(call) {
							t.Errorf("a message got the verdict %+v", call.Verdict)
						}
					}
				})
			}
			publishers.Wait()
			s := th.until(t, "gate", "is what it was", func(s Status) bool { return s.RejectedVersion == "2.0.0" })
			if s.PID != old || s.State != Ready || s.Restarts != 0 || !strings.Contains(s.SwapFailure.What, tt.what) {
				t.Errorf("status is %+v, %v", s, s.SwapFailure)
			}
			t.Log(s.SwapFailure.What)
			if !answers(s.Socket) {
				t.Error("its stable socket leads nowhere")
			}
		})
	}
}

func isMarked(c *hook.Call) bool { return strings.HasSuffix(string(c.Message.Payload), "!") }

// others makes n calls that the plugin did not ask for, and returns how long
// each took.
func others(hooks *hook.Hooks, n int) []time.Duration {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		publishOne(hooks, "free/x")
		took[i] = time.Since(start)
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}
