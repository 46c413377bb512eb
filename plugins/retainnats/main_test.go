package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
)

func TestMain(m *testing.M) {
	plugintest.RunMain(m, map[string]pluginapi.Plugin{"retainnats": bucket.Plugin()})
}

// TestStore is the conformance suite, over a connection, with a NATS server.
func TestStore(t *testing.T) {
	nats := buckettest.Start(t, func(o *server.Options) { o.MaxPayload = 8 << 20 })
	plugintest.TestStore(t, func(t testing.TB, dir string) pluginapi.Store {
		return plugintest.Start(t, bucket.Plugin(), plugintest.DataDir(dir), plugintest.Config(map[string]any{
			"urls": []string{nats.URL()}, "bucket": buckettest.Name(dir),
		}))
	})
}

// TestConformance runs the program against everything that a store has to do.
func TestConformance(t *testing.T) {
	nats := buckettest.Start(t, func(o *server.Options) { o.MaxPayload = 8 << 20 })
	plugintest.Check(t, plugintest.Install(t, t.TempDir(), "retainnats"), plugintest.Topics(1000), plugintest.Config(map[string]any{
		"urls": []string{nats.URL()}, "bucket": "conformance",
	}))
}

func TestManifest(t *testing.T) {
	m, err := plugintest.Start(t, bucket.Plugin(), plugintest.NoInit()).Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "retainnats" || !m.Exclusive || len(m.Services) != 1 || !strings.Contains(string(m.ConfigSchema), "max_message_bytes") {
		t.Errorf("%+v", m)
	}
}
