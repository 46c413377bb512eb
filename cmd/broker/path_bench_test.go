package main

import (
	"context"
	"io"
	"os"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// rulePlugin has the rule of one line that BenchmarkPath also has as a script.
func rulePlugin() pluginapi.Plugin {
	rule := func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		if c.Message.Topic == "admin/foo/bar" && c.Message.Publisher != "theAdmin" {
			return pluginapi.Refuse(pluginapi.NotAuthorized, ""), nil
		}
		return pluginapi.Pass(), nil
	}
	return pluginapi.Plugin{Name: "rule", Hooks: pluginapi.PublishFunc(rule), Idempotent: true}
}

const ruleScript = `def on_intercept_application_message(context):
    if context["topic"] == "admin/foo/bar" and context["client_id"] != "theAdmin":
        context["accept_publish"] = False
`

// BenchmarkPath takes one message per operation from a client through a broker
// process to another client, with no interceptor, with one in Go, and with the
// same rule as a script. The payload has 128 bytes; the publisher pipelines.
func BenchmarkPath(b *testing.B) {
	const limits = "limits: {queue_messages: 1000000, queue_bytes: 1GiB}\n"
	for _, bb := range []struct{ name, config, plugin string }{
		{"none", limits, ""},
		{"go", limits + "plugins: {rule: {required: true}}\n", "rule"},
		{"script", limits + "plugins: {script: {required: true, config: {folder: scripts}}}\n", "script"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var plugins []string
			if bb.plugin != "" {
				plugins = append(plugins, bb.plugin)
			}
			s := newSite(b, bb.config, plugins...)
			s.write("scripts/rule.star", ruleScript)
			if err := os.MkdirAll(s.path("plugins"), 0o750); err != nil {
				b.Fatal(err)
			}
			benchmarkPath(b, s.start())
		})
	}
}

func benchmarkPath(b *testing.B, p *proc) {
	br := brokertest.At(b, p.addr)
	sub := br.DialRaw("sub", &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "bench/+"}}})
	pub := br.DialRaw("pub")
	enc := packet.Encoder{Version: mqtt.V311}
	one, err := enc.Append(nil, &packet.Publish{Message: mqtt.Message{Topic: "bench/00042", Payload: make([]byte, 128)}})
	if err != nil {
		b.Fatal(err)
	}
	const burst = 64
	var many []byte
	for range burst {
		many = append(many, one...)
	}
	b.ResetTimer()
	total := int64(b.N+burst-1) / burst * burst
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, sub, total*int64(len(one)))
		done <- err
	}()
	for range total / burst {
		if _, err := pub.Write(many); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "messages/s")
}
