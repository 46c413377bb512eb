// Command interceptlog is a Gatehouse plugin that logs what passes the broker
// and changes it by rules. README.md describes its configuration.
package main

import (
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/interceptor"
)

func main() { pluginapi.Serve(interceptor.Plugin()) }
