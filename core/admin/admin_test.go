package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// oneplugin is a broker with a single plugin.
type oneplugin struct{}

func (oneplugin) Status() *adminv1.GetStatusResponse {
	return &adminv1.GetStatusResponse{Version: "1.2.3", Listeners: []string{"tcp://127.0.0.1:1883"}}
}

func (oneplugin) Plugins() []*adminv1.Plugin {
	return []*adminv1.Plugin{{Name: "authfile", State: adminv1.PluginState_PLUGIN_STATE_READY}}
}

func (o oneplugin) Plugin(name string) (*adminv1.Plugin, bool) {
	return o.Plugins()[0], name == "authfile"
}

func (oneplugin) ReloadPlugin(_ context.Context, name string) error {
	if name != "authfile" {
		return fmt.Errorf("nobody of this name: %w", admin.ErrUnknown)
	}
	return nil
}

func (oneplugin) EnablePlugin(context.Context, string) error { return nil }

func (oneplugin) DisablePlugin(ctx context.Context, name string) error {
	if name == "slow" {
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.New("it is needed")
}

// Explain knows one client.
func (oneplugin) Explain(_ context.Context, req *adminv1.ExplainRequest) (*adminv1.ExplainResponse, error) {
	if req.GetClientId() != "me" {
		return nil, fmt.Errorf("nobody of this name: %w", admin.ErrUnknown)
	}
	return &adminv1.ExplainResponse{Accepted: true}, nil
}

// WatchCalls tells of one call.
func (oneplugin) WatchCalls(_ context.Context, req *adminv1.WatchCallsRequest, tell func(*adminv1.WatchCallsResponse) error) error {
	if req.GetPlugin() != "" {
		return fmt.Errorf("nobody of this name: %w", admin.ErrUnknown)
	}
	return tell(&adminv1.WatchCallsResponse{Calls: []*adminv1.WatchedCall{{Plugin: "authfile"}}, Dropped: 3})
}

// Migrate moves nothing if asked for "nowhere".
func (oneplugin) Migrate(_ context.Context, req *adminv1.MigrateRequest, tell func(*adminv1.MigrateResponse)) (*adminv1.MigrateResponse, error) {
	if req.GetTo() == "nowhere" {
		return nil, errors.New("there is no such place")
	}
	for i := range 3 {
		tell(&adminv1.MigrateResponse{Copied: uint64(i), Total: 3})
	}
	return &adminv1.MigrateResponse{Copied: 3, Total: 3, Revision: 7}, nil
}

// GetConfig implements admin.Config.
func (oneplugin) GetConfig() (*adminv1.GetConfigResponse, error) {
	return &adminv1.GetConfigResponse{Yaml: "log: {level: info}"}, nil
}

// CheckConfig implements admin.Config.
func (oneplugin) CheckConfig(context.Context) (*adminv1.CheckConfigResponse, error) {
	return &adminv1.CheckConfigResponse{NeedsRestart: []string{"limits"}}, nil
}

// ReloadConfig implements admin.Config.
func (oneplugin) ReloadConfig(context.Context) (*adminv1.ReloadConfigResponse, error) {
	return &adminv1.ReloadConfigResponse{Rejected: true, Error: "no"}, nil
}

// ListListeners implements admin.Listeners.
func (oneplugin) ListListeners() []*adminv1.Listener {
	return []*adminv1.Listener{{Name: "one"}}
}

// shown is the API of a broker with a single plugin.
func shown(t *testing.T) (*brokertest.Broker, http.Handler) {
	t.Helper()
	hooks := hook.NewHooks(nil)
	t.Cleanup(hooks.Close)
	b := brokertest.Start(t, broker.Options{Hooks: hooks})
	var p oneplugin
	return b, admin.Handler(&admin.Server{
		Broker: b.Broker, Hooks: hooks, Source: p, Changer: p, Migrator: p, Debug: p, Config: p, Listeners: p, Shadows: p,
	})
}

func handler(t *testing.T) http.Handler {
	t.Helper()
	_, h := shown(t)
	return h
}

func TestMigrate(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	client := adminv1connect.NewRetainedServiceClient(srv.Client(), srv.URL)
	for to, want := range map[string]struct {
		parts int
		code  connect.Code
	}{"there": {4, 0}, "nowhere": {0, connect.CodeFailedPrecondition}, "": {0, connect.CodeInvalidArgument}} {
		stream, err := client.Migrate(t.Context(), connect.NewRequest(&adminv1.MigrateRequest{From: "here", To: to}))
		if err != nil {
			t.Fatal(err)
		}
		parts, revision := 0, uint64(0)
		for stream.Receive() {
			parts++
			revision = stream.Msg().GetRevision()
		}
		err = stream.Err()
		if parts != want.parts || (err == nil) != (want.code == 0) || err != nil && connect.CodeOf(err) != want.code || err == nil && revision != 7 {
			t.Errorf("to %q: %d parts, revision %d, %v", to, parts, revision, err)
		}
		_ = stream.Close()
	}
}

func TestChanges(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	client := adminv1connect.NewAdminServiceClient(srv.Client(), srv.URL)
	re, err := client.ReloadPlugin(t.Context(), connect.NewRequest(&adminv1.ReloadPluginRequest{Name: "authfile"}))
	if err != nil || re.Msg.GetPlugin().GetName() != "authfile" {
		t.Errorf("reload: %v, %v", re, err)
	}
	_, err = client.ReloadPlugin(t.Context(), connect.NewRequest(&adminv1.ReloadPluginRequest{Name: "nobody"}))
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("reload of nobody: %v", err)
	}
	if _, err := client.EnablePlugin(t.Context(), connect.NewRequest(&adminv1.EnablePluginRequest{Name: "authfile"})); err != nil {
		t.Errorf("enable: %v", err)
	}
	_, err = client.DisablePlugin(t.Context(), connect.NewRequest(&adminv1.DisablePluginRequest{Name: "authfile"}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "it is needed") {
		t.Errorf("disable: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.DisablePlugin(ctx, connect.NewRequest(&adminv1.DisablePluginRequest{Name: "slow"}))
	if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("disable that takes too long: %v", err)
	}
}

func TestGRPC(t *testing.T) {
	srv := httptest.NewUnstartedServer(handler(t))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	client := adminv1connect.NewAdminServiceClient(srv.Client(), srv.URL, connect.WithGRPC())

	list, err := client.ListPlugins(t.Context(), connect.NewRequest(&adminv1.ListPluginsRequest{}))
	if err != nil || len(list.Msg.GetPlugins()) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	one, err := client.GetPlugin(t.Context(), connect.NewRequest(&adminv1.GetPluginRequest{Name: "authfile"}))
	if err != nil || one.Msg.GetPlugin().GetName() != "authfile" {
		t.Errorf("got %v, %v", one, err)
	}
	_, err = client.GetPlugin(t.Context(), connect.NewRequest(&adminv1.GetPluginRequest{Name: "nobody"}))
	if connect.CodeOf(err) != connect.CodeNotFound || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("got %v", err)
	}
}

// The same handler answers curl.
func TestJSON(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	defer srv.Close()
	res, err := http.Post(srv.URL+"/gatehouse.admin.v1.AdminService/GetStatus", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(body), `"version":"1.2.3"`) {
		t.Errorf("got %s %q, %v", res.Status, body, err)
	}
}

func TestWatchCalls(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	t.Cleanup(srv.Close)
	client := adminv1connect.NewDebugServiceClient(srv.Client(), srv.URL)
	stream, err := client.WatchCalls(t.Context(), connect.NewRequest(&adminv1.WatchCallsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if !stream.Receive() || stream.Msg().GetDropped() != 3 || stream.Msg().GetCalls()[0].GetPlugin() != "authfile" || stream.Receive() || stream.Err() != nil {
		t.Errorf("%v, %v", stream.Msg(), stream.Err())
	}
	stream, err = client.WatchCalls(t.Context(), connect.NewRequest(&adminv1.WatchCallsRequest{Plugin: "nobody"}))
	if err == nil && stream.Receive() {
		t.Fatal("calls of a plugin that there is not")
	} else if err == nil {
		err = stream.Err()
	}
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	srv := httptest.NewServer(handler(t))
	t.Cleanup(srv.Close)
	client := adminv1connect.NewDebugServiceClient(srv.Client(), srv.URL)
	publish := adminv1.ExplainedAction_EXPLAINED_ACTION_PUBLISH
	res, err := client.Explain(t.Context(), connect.NewRequest(&adminv1.ExplainRequest{ClientId: "me", Action: publish}))
	if err != nil || !res.Msg.GetAccepted() {
		t.Errorf("%v, %v", res, err)
	}
	if _, err = client.Explain(t.Context(), connect.NewRequest(&adminv1.ExplainRequest{ClientId: "you", Action: publish})); connect.CodeOf(err) != connect.CodeNotFound {
		t.Error(err)
	}
	if _, err = client.Explain(t.Context(), connect.NewRequest(&adminv1.ExplainRequest{ClientId: "me"})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Error(err)
	}
}
