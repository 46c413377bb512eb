package main

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

type door struct{}

func (door) ValidateConnection(context.Context, *pluginapi.Connect) (*pluginapi.Decision, error) {
	return pluginapi.Allowed(pluginapi.Grant{Filter: "home/%c/#"}), nil
}

func main() { pluginapi.Serve(pluginapi.Plugin{Name: "minimal-validator", Hooks: door{}}) }
