// Command tap is a plugin that is told of every published message, payload
// included, and forgets it: what an observer costs at least.
package main

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

type tap struct{}

func (tap) Observe(context.Context, []pluginapi.Event, uint64) error { return nil }

func (tap) Interest() []pluginapi.Interest {
	return []pluginapi.Interest{{Hook: pluginapi.HookEvent, Events: []pluginapi.EventKind{pluginapi.EventPublished}}}
}

func main() { pluginapi.Serve(pluginapi.Plugin{Name: "tap", Hooks: tap{}}) }
