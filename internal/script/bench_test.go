package script_test

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// What a call costs without the way to the plugin and back.
func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"one line", "def on_intercept_application_message(context):\n    if context[\"topic\"] == \"forbidden\": context[\"accept_publish\"] = False\n"},
		{"JSON", "def on_intercept_application_message(context):\n    v = json.decode(context[\"payload_text\"])\n    v[\"by\"] = context[\"client_id\"]\n    context[\"payload\"] = json.encode(v)\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := mustLoad(b, script.Options{Limits: script.Limits{Time: time.Minute}}, c.text)
			client := &pluginapi.Client{ID: "device"}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					call := &pluginapi.PublishCall{Client: client, Message: &pluginapi.Message{Topic: "a/b/c", Payload: []byte(`{"v":21.5,"id":"sensor-1"}`)}}
					if _, err := s.Publish(b.Context(), call); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
