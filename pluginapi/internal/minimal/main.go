package main

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

func validate(_ context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	if c.Username == "anna" && string(c.Password) == "secret" {
		return pluginapi.Allowed(pluginapi.Grant{Filter: "demo/#"}), nil
	}
	return pluginapi.Denied(pluginapi.BadUserNameOrPassword, "who are you?"), nil
}
func main() { pluginapi.Serve(pluginapi.Plugin{Name: "min", Hooks: pluginapi.ValidatorFunc(validate)}) }
