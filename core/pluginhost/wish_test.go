//go:build unix

package pluginhost

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// startGate starts a well-behaved gate and has hooks ask it.
func startGate(t *testing.T) (*testHost, *hook.Hooks) {
	hooks := hook.NewHooks(nil)
	t.Cleanup(hooks.Close)
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "gate", Interceptor: hook.Policy{Timeout: patience}}}
		o.OnChange = func(b Bindings) { hooks.SetInterceptors(b.Interceptors) }
	})
	th.installGate(t)
	hooks.SetInterceptors(th.mustStart(t).Interceptors)
	return th, hooks
}

func (th *testHost) instance(t *testing.T, name string) *instance {
	t.Helper()
	in, err := th.find(name).supervisor.slot.current()
	must(t, err)
	return in
}

func wishing(filter string, fields ...pluginv1.Field) []*pluginv1.HookInterest {
	return []*pluginv1.HookInterest{{Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{filter}, MayChange: fields}}
}

// A running plugin changes what it is asked; it holds when the call returns, for
// all calls, and until the plugin starts anew.
func TestUpdateInterest(t *testing.T) {
	th, hooks := startGate(t)
	in := th.instance(t, "gate")
	expect := func(name string, marked bool) {
		t.Helper()
		if c := publishOne(hooks, name); c.Verdict.Action != hook.Pass || isMarked(c) != marked {
			t.Errorf("%s: verdict %+v, payload %q", name, c.Verdict, c.Message.Payload)
		}
	}
	expect("gated/x", true)
	expect("other/x", false)
	must(t, in.updateInterest(t.Context(), wishing("other/#", pluginv1.Field_FIELD_PAYLOAD)))
	expect("gated/x", false)
	expect("other/x", true)

	// What may be changed is part of it.
	must(t, in.updateInterest(t.Context(), wishing("other/#")))
	if c := publishOne(hooks, "other/x"); c.Verdict.Action != hook.Refuse || !c.Verdict.Failed {
		t.Errorf("an undeclared change: %+v", c.Verdict)
	}

	// Nonsense changes nothing, as at Init.
	err := in.updateInterest(t.Context(), wishing("a/#/b", pluginv1.Field_FIELD_PAYLOAD))
	wantErrors(t, err, hook.ErrProtocol)
	expect("gated/x", false)

	must(t, th.Reload(t.Context(), "gate"))
	expect("gated/x", true)
	expect("other/x", false)
	wantErrors(t, in.updateInterest(t.Context(), nil), errGone)
}

// While clients publish, no call is decided by halves: what the new interest
// asks for is marked from the moment on at which the update returned.
func TestUpdateInterestUnderLoad(t *testing.T) {
	th, hooks := startGate(t)
	in := th.instance(t, "gate")
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var calls atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				for _, name := range []string{"a/x", "b/x"} {
					if c := publishOne(hooks, name); c.Verdict.Action != hook.Pass {
						t.Errorf("%s: %+v", name, c.Verdict)
					}
					calls.Add(1)
				}
			}
		})
	}
	for i := range 40 {
		mine, other := "a", "b"
		if i%2 == 0 {
			mine, other = other, mine
		}
		must(t, in.updateInterest(ctx, wishing(mine+"/#", pluginv1.Field_FIELD_PAYLOAD)))
		if !isMarked(publishOne(hooks, mine+"/y")) || isMarked(publishOne(hooks, other+"/y")) {
			t.Fatalf("update %d does not hold", i)
		}
	}
	stop()
	clients.Wait()
	t.Logf("%d calls", calls.Load())
}

// The host service offers it to the plugin that calls, and to nobody else.
func TestUpdateInterestOverTheHostService(t *testing.T) {
	th, hooks := startGate(t)
	service := new(hostService)
	update := func(interest []*pluginv1.HookInterest) codes.Code {
		_, err := service.UpdateInterest(t.Context(), &pluginv1.UpdateInterestRequest{Interest: interest})
		return status.Code(err)
	}
	other := wishing("other/#", pluginv1.Field_FIELD_PAYLOAD)
	if got := update(other); got != codes.Unavailable {
		t.Errorf("during Init: %v", got)
	}
	service.instance.Store(th.instance(t, "gate"))
	if got := update(wishing("a/#/b")); got != codes.InvalidArgument {
		t.Errorf("nonsense: %v", got)
	}
	if got := update(other); got != codes.OK || !isMarked(publishOne(hooks, "other/x")) || isMarked(publishOne(hooks, "gated/x")) {
		t.Errorf("the new interest does not hold: %v", got)
	}
	must(t, th.Reload(t.Context(), "gate"))
	if got := update(other); got != codes.Unavailable {
		t.Errorf("after its time: %v", got)
	}
}
