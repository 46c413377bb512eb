package main

import "github.com/gatehouse-mqtt/gatehouse/pluginapi"

func decide(c *pluginapi.Connect) *pluginapi.Decision {
	if c.Username == "anna" && string(c.Password) == "secret" {
		return pluginapi.Allowed(pluginapi.Grant{Filter: "demo/#"})
	}
	return pluginapi.Denied(pluginapi.BadUserNameOrPassword, "who are you?")
}

func main() {
	pluginapi.Serve(pluginapi.Plugin{Name: "min", Version: "0.1.0", Hooks: pluginapi.ConnectRule(decide)})
}
