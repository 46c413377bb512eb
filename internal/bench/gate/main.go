// Command gate is a plugin that stands in the way of every published message,
// sees all of it, and lets it pass: what an interceptor costs at least.
package main

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func pass(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return pluginapi.Verdict{}, nil
}

func main() {
	pluginapi.Serve(pluginapi.Plugin{Name: "gate", Hooks: pluginapi.PublishFunc(pass), Idempotent: true})
}
