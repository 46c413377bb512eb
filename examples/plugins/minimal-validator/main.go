// Command minimal-validator lets in whoever knows the password.
package main

import "github.com/gatehouse-mqtt/gatehouse/pluginapi"

func decide(c *pluginapi.Connect) *pluginapi.Decision {
	if string(c.Password) != "sesame" {
		return pluginapi.Denied(pluginapi.BadUserNameOrPassword, "say the word")
	}
	return pluginapi.Allowed(pluginapi.Grant{Filter: "home/%c/#"})
}

func main() {
	pluginapi.Serve(pluginapi.Plugin{Name: "minimal-validator", Hooks: pluginapi.ConnectRule(decide)})
}
