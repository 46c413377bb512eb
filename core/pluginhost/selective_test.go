//go:build unix

package pluginhost

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// selective has hooks of three kinds, and is asked at none unless it says so.
type selective struct{}

func (selective) ValidateConnection(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.Denied(pluginapi.Banned, ""), nil
}

func (selective) InterceptPublish(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return pluginapi.Drop(), nil
}

func (selective) Observe(context.Context, []pluginapi.Event, uint64) error { return nil }

func (selective) Interest() []pluginapi.Interest { return nil }

func selectiveMain(args []string) {
	os.Exit(pluginapi.ServeArgs(pluginapi.Plugin{Name: "selective", Hooks: selective{}, CompleteInterest: true}, args))
}

// What a plugin whose interest is complete leaves out is not asked, its
// validator included, and that changes while it runs.
func TestCompleteInterest(t *testing.T) {
	var hooks *hook.Hooks
	var observers atomic.Int64
	th := newTestHost(t, func(o *Options) {
		o.Plugins = []Config{{Name: "selective", Required: new(true), Validator: hook.Policy{Timeout: patience}, Interceptor: hook.Policy{Timeout: patience}}}
		o.OnChange = func(b Bindings) {
			observers.Store(int64(len(b.Observers)))
			hooks.SetValidators(b.Validators)
			hooks.SetInterceptors(b.Interceptors)
		}
	})
	hooks = hook.NewHooks(nil)
	t.Cleanup(hooks.Close)
	linkSelf(t, filepath.Join(th.dir, "selective"))
	b := th.mustStart(t)
	hooks.SetValidators(b.Validators)
	hooks.SetInterceptors(b.Interceptors)
	expect := func(validates, drops, observes bool) {
		t.Helper()
		code := hooks.Validate(t.Context(), &hook.Connect{ClientID: "c"}).Code
		if refused := code.Failed(); refused != validates {
			t.Errorf("the client is answered %v", code)
		}
		if dropped := publishOne(hooks, "a").Verdict.Action == hook.Drop; dropped != drops {
			t.Errorf("dropped: %v", dropped)
		}
		if n := observers.Load(); n == 1 != observes {
			t.Errorf("%d observers", n)
		}
	}
	expect(false, false, false)
	in := th.instance(t, "selective")
	all := []*pluginv1.HookInterest{{Hook: pluginv1.Hook_HOOK_CONNECT}, {Hook: pluginv1.Hook_HOOK_PUBLISH}, {Hook: pluginv1.Hook_HOOK_EVENT}}
	must(t, in.updateInterest(t.Context(), all[:1]))
	expect(true, false, false)
	must(t, in.updateInterest(t.Context(), all[1:]))
	expect(false, true, true)
	must(t, in.updateInterest(t.Context(), nil))
	expect(false, false, false)
}
