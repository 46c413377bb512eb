//go:build linux && !race

package main

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
)

// A process that takes more memory than it may ends, whatever the limits of one
// call permit, and does not take the machine's.
func TestProcessMemory(t *testing.T) {
	dir := folder(t, "a.star", "def on_intercept_application_message(context):\n    x = [\"a\" * 100000000 for i in range(100)]\n")
	p := plugintest.Launch(t, plugintest.Install(t, t.TempDir(), "script-confined"), plugintest.Config(map[string]any{
		"folder": dir, "memory": 128 << 20, "limits": map[string]any{"memory": int64(1) << 40, "time": "1m"},
	}))
	call := &pluginapi.PublishCall{Client: plugintest.Client("c"), Message: plugintest.Message("t", "")}
	if v, err := p.InterceptPublish(t.Context(), call); err == nil {
		t.Errorf("it is decided: %+v", v)
	}
	// How a process of Go ends without memory depends on who asked for it.
	if status, err := p.Wait(30 * time.Second); err != nil || status == 0 {
		t.Errorf("exit status %d, %v", status, err)
	}
}
