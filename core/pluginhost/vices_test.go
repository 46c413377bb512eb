//go:build unix

package pluginhost

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
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
	m := chaosManifest("chaos", append([]string{"run", "gate"}, modes...)...)
	m.Services = []string{pluginv1.MessageInterceptorService_ServiceDesc.ServiceName}
	writeManifest(t, filepath.Join(th.dir, "gate"), m)
}

// publishOne has the interceptors decide one message.
func publishOne(hooks *hook.Hooks, topic string) *hook.Call {
	call := &hook.Call{Message: &mqtt.Message{Topic: topic, Payload: []byte("payload"), Created: time.Now()}}
	hooks.Intercept(context.Background(), hook.AfterAuthorization, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{call}})
	return call
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
