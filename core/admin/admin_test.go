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

func TestChanges(t *testing.T) {
	srv := httptest.NewServer(admin.Handler(oneplugin{}, oneplugin{}))
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
	srv := httptest.NewUnstartedServer(admin.Handler(oneplugin{}, oneplugin{}))
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
	srv := httptest.NewServer(admin.Handler(oneplugin{}, oneplugin{}))
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
