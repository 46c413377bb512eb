// Command retainnats is a Gatehouse plugin that keeps retained messages in a
// key-value bucket of NATS JetStream. README.md describes its configuration and
// the bucket.
package main

import (
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket"
)

func main() { pluginapi.Serve(bucket.Plugin()) }
