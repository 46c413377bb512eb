package main

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

type door struct{}

func (door) ValidateConnection(_ context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.Allowed(pluginapi.Grant{Filter: "home/%c/#"}), nil
}

func main() { pluginapi.Serve(pluginapi.Plugin{Name: "minimal-validator", Hooks: door{}}) }
