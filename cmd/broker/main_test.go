package main

import (
	"maps"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/validator"
	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/interceptor"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainjson/logfile"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket"
	"github.com/gatehouse-mqtt/gatehouse/plugins/script/hooks"
)

// TestMain makes commands of the test binary: the broker and the plugins are
// this binary under their names, so that tests of the whole program run real
// processes and nothing has to be built first.
func TestMain(m *testing.M) {
	commands := map[string]func(){"broker": main}
	for name, p := range testPlugins {
		commands[name] = func() { os.Exit(pluginapi.ServeArgs(p(), os.Args[1:])) }
	}
	maps.Copy(commands, brokenPlugins)
	commands["stamper"] = stamperMain
	testscript.Main(m, commands)
}

// testPlugins are the plugins that the tests install.
var testPlugins = map[string]func() pluginapi.Plugin{
	"authfile":     validator.Plugin,
	"badday":       baddayPlugin,
	"caller":       callerPlugin,
	"interceptlog": interceptor.Plugin,
	"presence":     presencePlugin,
	"retainjson":   logfile.Plugin,
	"retainnats":   bucket.Plugin,
	"rule":         rulePlugin,
	"script":       scriptPlugin,
}

// scriptPlugin does not limit its process: under the race detector it needs more
// memory than any limit.
func scriptPlugin() pluginapi.Plugin { return hooks.Plugin(nil) }
