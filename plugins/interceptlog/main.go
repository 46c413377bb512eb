// Command interceptlog is a Gatehouse plugin that logs what passes the broker
// and changes it by rules from its configuration.
//
// The two halves are independent. The log is an observer: the broker tells it
// what happened, after it happened, and nobody waits for it. The rules are an
// interceptor: the broker waits for its verdict, so rules are compiled once,
// the broker is told for which topics there are any, and no other message
// reaches the plugin.
//
// The parts of the rules: compile turns the configuration into rules, a rule
// has a matcher and actions, an action changes a subject, jsonDoc edits a JSON
// payload without touching the rest of it. The parts of the log: fields, what
// is written of an event; sink, where it is written. README.md describes the
// configuration.
package main

import "github.com/gatehouse-mqtt/gatehouse/pluginapi"

func main() { pluginapi.Serve(plugin()) }
