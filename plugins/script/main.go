// Command script is a Gatehouse plugin whose hooks are written in Starlark, in
// files that are read again when they are saved. README.md describes its
// configuration, and docs/scripting.md the scripts.
package main

import (
	_ "time/tzdata" // quotas have time zones, and small images no database of them

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/script/hooks"
)

func main() { pluginapi.Serve(hooks.Plugin(hooks.Confine)) }
