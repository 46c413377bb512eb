package pluginapi_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func TestTraceContext(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tt := range []struct {
		user        []pluginapi.UserProperty
		want, state string
	}{
		{nil, "", ""},
		{[]pluginapi.UserProperty{{Key: "a", Value: "b"}, {Key: "traceparent", Value: parent}}, parent, ""},
		{[]pluginapi.UserProperty{{Key: "tracestate", Value: "x=1"}, {Key: "traceparent", Value: parent}, {Key: "traceparent", Value: "late"}}, parent, "x=1"},
		{[]pluginapi.UserProperty{{Key: "tracestate", Value: "x=1"}}, "", ""},
	} {
		m := &pluginapi.Message{UserProperties: tt.user}
		if got, state := m.TraceContext(); got != tt.want || state != tt.state {
			t.Errorf("%v: %q, %q", tt.user, got, state)
		}
	}
}
