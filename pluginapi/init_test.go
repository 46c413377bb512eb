package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// remarks are the errors of an Init as "path: message".
func remarks(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestInitWithABadConfiguration(t *testing.T) {
	p := plugintest.Start(t, gatePlugin(), plugintest.NoInit())
	cases := []struct {
		config string
		want   []string
	}{
		{`{"alow": []}`, []string{`/alow: unknown key "alow": did you mean "allow"? known keys: allow, mode, timeout`}},
		{`{"allow": "x", "timeout": 3}`, []string{`/allow: must be a list, not a string`, `/timeout: must be a duration such as "10s" or "1m30s"`}},
		{`{"mode": "loud"}`, []string{`/mode: must be one of flush, hang, fail, not "loud"`}},
		{`{"allow": ["a*"]}`, []string{`/allow: patterns are not supported`}},
		{`{`, []string{`not a JSON document: unexpected EOF`}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, remarks(p.Init(t.Context(), c.config))); diff != "" {
			t.Errorf("%s: %s", c.config, diff)
		}
		// It lives, it just has not begun.
		if _, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("a hook before Init: %v, want FailedPrecondition", err)
		}
		if err := p.Health(t.Context()); err != nil {
			t.Errorf("health before Init: %v", err)
		}
	}
	if err := p.Init(t.Context(), `{"allow": ["a"]}`); err != nil {
		t.Fatal(err)
	}
	if d, err := p.ValidateConnection(t.Context(), plugintest.Connect("a")); err != nil || d.Word != pluginapi.Allow {
		t.Errorf("decision %v, %v", d, err)
	}
	if err := p.Init(t.Context(), `{}`); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a second Init: %v, want FailedPrecondition", err)
	}
}

func TestConfigurationOfAPluginWithout(t *testing.T) {
	p := plugintest.Start(t, validatorPlugin(abstain), plugintest.NoInit())
	want := []string{`/x: unknown key "x": there are no keys here`}
	if diff := cmp.Diff(want, remarks(p.Init(t.Context(), `{"x":1}`))); diff != "" {
		t.Error(diff)
	}
	unread := pluginapi.Plugin{Name: "v", Hooks: abstain, New: func(context.Context, *pluginapi.Setup) (any, error) { return abstain, nil }}
	p = plugintest.Start(t, unread, plugintest.NoInit())
	if diff := cmp.Diff(want, remarks(p.Init(t.Context(), `{"x":1}`))); diff != "" {
		t.Error(diff)
	}
}

func TestSetup(t *testing.T) {
	dir := t.TempDir()
	var got *pluginapi.Setup
	v := pluginapi.Plugin{Name: "v", Hooks: abstain, New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
		got = s
		s.Warn("/a", "%d is much", 7)
		return abstain, s.Config(&struct{}{})
	}}
	p := plugintest.Start(t, v, plugintest.DataDir(dir), plugintest.Instance("second"))
	if got.DataDir != dir || got.Instance != "second" || got.Logger == nil {
		t.Errorf("setup %+v", got)
	}
	if diff := cmp.Diff([]pluginapi.ConfigError{{Path: "/a", Message: "7 is much"}}, p.Warnings()); diff != "" {
		t.Error(diff)
	}
}

func TestSetupConfigStartsWithTheDefaults(t *testing.T) {
	defaults := gateConfig{Allow: []string{"d"}, Mode: "flush", Timeout: time.Minute}
	var zero, filled gateConfig
	filled.Mode = "fail"
	v := pluginapi.Plugin{Name: "v", Config: &defaults, Hooks: abstain, New: func(_ context.Context, s *pluginapi.Setup) (any, error) {
		return abstain, errors.Join(s.Config(&zero), s.Config(&filled))
	}}
	plugintest.Start(t, v, plugintest.Config(`{"allow": ["x"]}`))
	if diff := cmp.Diff(gateConfig{Allow: []string{"x"}, Mode: "flush", Timeout: time.Minute}, zero); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(gateConfig{Allow: []string{"x"}, Mode: "fail"}, filled); diff != "" {
		t.Errorf("what the author had filled in was changed: %s", diff)
	}
	if defaults.Allow[0] != "d" {
		t.Error("the defaults were written to")
	}
}

func TestErrorsOfNew(t *testing.T) {
	cases := []struct {
		name string
		err  error
		want []string
	}{
		{"plain", errors.New("no\nway"), []string{"no; way"}},
		{"one", pluginapi.ConfigError{Path: "/a", Message: "m"}, []string{"/a: m"}},
		{"pointer", &pluginapi.ConfigError{Path: "users.yaml:3:4", Message: "m"}, []string{"users.yaml:3:4: m"}},
		{"wrapped", fmt.Errorf("users: %w", pluginapi.ConfigError{Path: "/a", Message: "m"}), []string{"/a: m"}},
		{"joined", errors.Join(pluginapi.ConfigError{Path: "/a", Message: "m"}, errors.New("n")), []string{"/a: m", "n"}},
		{"joined and wrapped", fmt.Errorf("x: %w", errors.Join(pluginapi.ConfigError{Message: "m"}, pluginapi.ConfigError{Path: "/b", Message: "n"})), []string{"m", "/b: n"}},
		{"wrapped without path", fmt.Errorf("open: %w", errors.New("gone")), []string{"open: gone"}},
		{"not UTF-8", errors.New("\xff"), []string{"\ufffd"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := pluginapi.Plugin{Name: "v", Hooks: abstain, New: func(context.Context, *pluginapi.Setup) (any, error) { return nil, c.err }}
			p := plugintest.Start(t, v, plugintest.NoInit())
			if diff := cmp.Diff(c.want, remarks(p.Init(t.Context(), nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBugsOfNew are no remarks about the configuration.
func TestBugsOfNew(t *testing.T) {
	cases := map[string]func(context.Context, *pluginapi.Setup) (any, error){
		"panic in":               func(context.Context, *pluginapi.Setup) (any, error) { panic("oh") },
		"returned neither":       func(context.Context, *pluginapi.Setup) (any, error) { return nil, nil },
		"has other hooks":        func(context.Context, *pluginapi.Setup) (any, error) { return 3, nil },
		"interest in the hook":   func(context.Context, *pluginapi.Setup) (any, error) { return curious{"publish"}, nil },
		"unknown hook":           func(context.Context, *pluginapi.Setup) (any, error) { return curious{"x"}, nil },
		"is not UTF-8":           func(context.Context, *pluginapi.Setup) (any, error) { return curious{"filter"}, nil },
		"unknown field \"oops\"": func(context.Context, *pluginapi.Setup) (any, error) { return curious{"field"}, nil },
	}
	for want, f := range cases {
		t.Run(want, func(t *testing.T) {
			v := pluginapi.Plugin{Name: "v", Hooks: curious{}, New: f}
			p := plugintest.Start(t, v, plugintest.NoInit())
			if err := p.Init(t.Context(), nil); status.Code(err) != codes.Internal || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want Internal with %q", err, want)
			}
			if err := p.Health(t.Context()); err != nil {
				t.Errorf("it does not live on: %v", err)
			}
		})
	}
}

// curious is a validator with a strange interest.
type curious struct{ what string }

func (curious) ValidateConnection(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.NoOpinion(), nil
}

func (c curious) Interest() []pluginapi.Interest {
	switch c.what {
	case "filter":
		return []pluginapi.Interest{{Hook: pluginapi.HookConnect, Filters: []string{"\xff"}}}
	case "field":
		return []pluginapi.Interest{{Hook: pluginapi.HookConnect, MayChange: []pluginapi.Field{"oops"}}}
	}
	return []pluginapi.Interest{{Hook: pluginapi.Hook(c.what)}}
}

func TestInitAnswersWhatThereIs(t *testing.T) {
	everything := pluginapi.Plugin{Name: "all", Version: "1.0.0-rc.1", Hooks: &everyHook{}, Idempotent: true, Exclusive: true}
	p := plugintest.Start(t, everything, plugintest.NoInit())
	resp, err := pluginv1.NewPluginServiceClient(p.Conn()).Init(t.Context(), &pluginv1.InitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	wantServices := []string{
		"gatehouse.plugin.v1.ConnectionValidatorService", "gatehouse.plugin.v1.MessageInterceptorService",
		"gatehouse.plugin.v1.ObserverService", "gatehouse.plugin.v1.RetainedStoreService",
	}
	if diff := cmp.Diff(wantServices, resp.GetServices()); diff != "" {
		t.Error(diff)
	}
	c := resp.GetCapabilities()
	if !c.GetInterceptStream() || !c.GetObserveStream() || !c.GetIdempotent() || !c.GetExclusive() || !c.GetSnapshot() || c.GetReconfigure() || c.GetEnhancedAuthentication() {
		t.Errorf("capabilities %v", c)
	}
	if resp.GetName() != "all" || resp.GetVersion() != "1.0.0-rc.1" {
		t.Errorf("name %q and version %q", resp.GetName(), resp.GetVersion())
	}
	var points []string
	for _, in := range resp.GetInterest() {
		points = append(points, fmt.Sprintf("%v %d", in.GetHook(), len(in.GetMayChange())))
	}
	want := []string{"HOOK_CONNECT 0", "HOOK_PUBLISH 8", "HOOK_SUBSCRIBE 2", "HOOK_UNSUBSCRIBE 0", "HOOK_DELIVER 8", "HOOK_EVENT 0", "HOOK_RETAIN 0"}
	if diff := cmp.Diff(want, points); diff != "" {
		t.Error(diff)
	}
}

// everyHook has all hooks, and lets everything be.
type everyHook struct {
	curious
	events []pluginapi.Event
}

func (*everyHook) Interest() {} // hides that of curious

func (*everyHook) InterceptPublish(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return pluginapi.Pass(), nil
}

func (*everyHook) InterceptSubscribe(context.Context, *pluginapi.SubscribeCall) (pluginapi.Verdict, error) {
	return pluginapi.Pass(), nil
}

func (*everyHook) InterceptUnsubscribe(context.Context, *pluginapi.UnsubscribeCall) (pluginapi.Verdict, error) {
	return pluginapi.Pass(), nil
}

func (*everyHook) InterceptDeliver(context.Context, *pluginapi.DeliverCall) (pluginapi.Verdict, error) {
	return pluginapi.Pass(), nil
}

func (e *everyHook) Observe(_ context.Context, events []pluginapi.Event, _ uint64) error {
	e.events = append(e.events, events...)
	return nil
}

func (*everyHook) Load(context.Context, func(pluginapi.Record) error) error { return nil }

func (*everyHook) Apply(context.Context, []pluginapi.Change) (uint64, error) { return 0, nil }

func (*everyHook) Snapshot(context.Context, func(pluginapi.Record) error, func(pluginapi.Tombstone) error) (uint64, error) {
	return 0, nil
}
