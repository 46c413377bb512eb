// Command retainjson is a Gatehouse plugin that keeps retained messages in a
// file of JSON lines. README.md describes its configuration and the file.
package main

import (
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainjson/logfile"
)

func main() { pluginapi.Serve(logfile.Plugin()) }
