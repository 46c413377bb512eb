package admin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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

func TestGRPC(t *testing.T) {
	srv := httptest.NewUnstartedServer(admin.Handler(oneplugin{}))
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
	srv := httptest.NewServer(admin.Handler(oneplugin{}))
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
