//go:build unix

package pluginhost

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/shadow"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// newVersion makes a folder with a chaos plugin outside of the plugin directory.
func newVersion(t *testing.T, m *pluginapi.Manifest) string {
	t.Helper()
	folder := t.TempDir()
	linkSelf(t, filepath.Join(folder, "chaos"))
	writeManifest(t, folder, m)
	return folder
}

// startShadow starts a second version of a plugin; the test ends it.
func (th *testHost) startShadow(t *testing.T, name string, c ShadowConfig, onChange func(Bindings)) (*testHost, Bindings) {
	t.Helper()
	if onChange == nil {
		onChange = func(Bindings) {}
	}
	h, err := th.Shadow(name, c, onChange)
	if err != nil {
		t.Fatal(err)
	}
	sh := &testHost{Host: h, dir: c.Path, log: th.log}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := h.Stop(ctx); err != nil {
			t.Error(err)
		}
		sh.checkNobodyLeft(t)
	})
	return sh, sh.mustStart(t)
}

// Whatever a shadow does, the plugin that it is the shadow of decides as before,
// and nobody waits.
func TestShadowVices(t *testing.T) {
	for _, vice := range vices {
		t.Run(vice.name, func(t *testing.T) {
			t.Parallel()
			hooks := hook.NewHooks(nil)
			t.Cleanup(hooks.Close)
			th := newTestHost(t, func(o *Options) {
				o.Plugins = []Config{{Name: "gate", StartTimeout: patience, Interceptor: hook.Policy{Timeout: patience, OnError: hook.OnErrorRefuse}}}
			})
			th.installGate(t, "at=1000000")
			hooks.SetInterceptors(th.mustStart(t).Interceptors)
			pollUntil(t, "the first mark", func() bool { return isMarked(publishOne(hooks, "gated/x")) })

			s := shadow.New(shadow.Options{Hook: "gate", Same: sameAction})
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan struct{})
			go func() { defer close(ran); s.Run(ctx) }()
			t.Cleanup(func() { cancel(); <-ran })
			bind := func(b Bindings) { s.Bind(b.Validators, b.Interceptors, b.Observers, nil) }
			folder := newVersion(t, gateManifest(vice.modes...))
			entry := th.find("gate").supervisor
			entry.mu.Lock()
			entry.entry.StartTimeout, entry.entry.Interceptor.Timeout = 10*time.Second, 200*time.Millisecond
			if vice.never {
				entry.entry.StartTimeout = 300 * time.Millisecond
			}
			entry.mu.Unlock()
			_, b := th.startShadow(t, "gate", ShadowConfig{Path: folder}, bind)
			bind(b)
			defer hooks.Watch().Add(s)()
			const n = 3 * vicesBeginAt
			for range n {
				if c := publishOne(hooks, "gated/x"); !isMarked(c) || c.Verdict.Action != hook.Pass {
					t.Fatalf("a message has %+v", c.Verdict)
				}
			}
			pollUntil(t, "every call is accounted for", func() bool {
				c := s.Read()
				sum := c.Sum()
				all := sum.Same + sum.Differ
				for _, left := range c.Left {
					all += left
				}
				return all == n
			})
			if c := s.Read(); vice.never && c.Left[shadow.Absent] != n || !vice.never && c.Sum().Same == 0 && c.Sum().Differ == 0 {
				t.Errorf("counted %+v", c)
			}
			if st := th.status(t, "gate"); st.Restarts != 0 || st.State != Ready || len(st.Failures) > 0 {
				t.Errorf("the plugin is %v after %d restarts: %v", st.State, st.Restarts, st.Failures)
			}
		})
	}
}

func sameAction(a, b *trace.Call) bool {
	x, y := &a.Calls[a.At], &b.Calls[b.At]
	return b.Err == nil && x.Verdict.Action == y.Verdict.Action && string(x.Message.Payload) == string(y.Message.Payload)
}

// A shadow has folders of its own, and is told the plugin's configuration or its
// own.
func TestShadowFolders(t *testing.T) {
	th := newTestHost(t, func(o *Options) { o.Plugins = []Config{{Name: "auth", Config: []byte(`{"a":1}`)}} })
	th.install(t, "auth")
	th.mustStart(t)
	sh, b := th.startShadow(t, "auth", ShadowConfig{Path: newVersion(t, chaosManifest("chaos", "run"))}, nil)
	if len(b.Validators) != 1 || b.Validators[0].Name != "auth" || b.Store != nil {
		t.Errorf("bindings %+v", b)
	}
	first, second := th.status(t, "auth"), sh.status(t, "auth")
	if first.PID == second.PID || second.State != Ready || !strings.HasPrefix(second.Socket, filepath.Join(th.options.RunDir, "shadows", "auth")+"/") {
		t.Errorf("%+v", second)
	}
	for _, at := range []string{"plugins/auth", "shadows/plugins/auth"} {
		if _, err := os.Stat(filepath.Join(th.options.DataDir, at, "report.json")); err != nil {
			t.Error(err)
		}
	}
}

// What could write the same files, or is not accepted, is not started.
func TestShadowRefused(t *testing.T) {
	store := chaosManifest("chaos", "run")
	store.Services = []string{pluginv1.RetainedStoreService_ServiceDesc.ServiceName}
	for name, tt := range map[string]struct {
		manifest *pluginapi.Manifest
		locked   bool
		want     string
	}{
		"store":      {store, false, "it is a store for retained messages"},
		"exclusive":  {chaosManifest("chaos", "run", "single"), false, "it declares itself exclusive"},
		"not pinned": {chaosManifest("chaos", "run"), true, "have no entry in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			th := newTestHost(t, func(o *Options) { o.Locked = tt.locked })
			th.install(t, "auth")
			if tt.locked {
				_, err := Lock(t.Context(), th.options, nil)
				must(t, err)
			}
			th.mustStart(t)
			folder := newVersion(t, tt.manifest)
			sh, _ := th.startShadow(t, "auth", ShadowConfig{Path: folder}, nil)
			st := sh.status(t, "auth")
			if st.State != Failed && st.State != Backoff || !strings.Contains(st.Failures[0].What, tt.want) {
				t.Errorf("%v: %v", st.State, st.Failures)
			}
			if _, err := os.Stat(filepath.Join(th.options.DataDir, "shadows/plugins/auth/report.json")); err == nil {
				t.Error("it was started")
			}
		})
	}
	th := newTestHost(t, func(o *Options) { o.Locked, o.Plugins = true, []Config{{Name: "next", Enabled: new(bool)}} })
	th.install(t, "auth")
	th.install(t, "next")
	_, err := Lock(t.Context(), th.options, []string{"auth"})
	must(t, err)
	th.mustStart(t)
	for want, c := range map[string]ShadowConfig{
		"plugins_locked demands": {Attach: "unix:///tmp/x.sock"},
		"either a path":          {},
		"is not a JSON object":   {Path: "/x", Config: []byte("1")},
	} {
		if _, err := th.Shadow("auth", c, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := th.Shadow("nobody", ShadowConfig{Path: "/x"}, nil); err == nil {
		t.Error("a plugin that there is not has a shadow")
	}
	// Files that were accepted under another name are accepted.
	_, err = Lock(t.Context(), th.options, []string{"next"})
	must(t, err)
	sh, _ := th.startShadow(t, "auth", ShadowConfig{Path: filepath.Join(th.dir, "next")}, nil)
	if st := sh.status(t, "auth"); st.State != Ready {
		t.Errorf("%v: %v", st.State, st.Failures)
	}
}

// A shadow reads what the plugin may read, and nothing that changes anything
// comes through.
func TestShadowOnlyReads(t *testing.T) {
	c := Config{Scopes: Scopes()}
	allowed := c.ofShadow(ShadowConfig{}).Scopes
	sh := new(shadowing)
	s := &hostService{name: "auth", token: "t", scopes: Scopes(), shadowing: sh, shared: new(atomic.Pointer[ServerAPI])}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(tokenKey, "t"))
	var refused uint64
	for method, scope := range scopeOf {
		called := false
		_, err := s.admit(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { called = true; return nil, nil })
		reads := strings.HasSuffix(scope, ".read") || scope == ""
		if !reads {
			refused++
		}
		if reads != called && status.Code(err) != codes.Unavailable || !reads && status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: called %v, %v", method, called, err)
		}
	}
	if refused == 0 || sh.refused.Load() != refused {
		t.Errorf("%d refused, counted %d", refused, sh.refused.Load())
	}
	for _, scope := range allowed {
		if !strings.HasSuffix(scope, ".read") {
			t.Errorf("scope %s", scope)
		}
	}
}
