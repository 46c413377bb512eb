package main

// pluginDebugCmds are the commands of "broker plugin" that look for causes.
type pluginDebugCmds struct {
	Trace pluginTraceCmd `cmd:"" help:"Print calls of plugins as they are decided: input, decision, changes and latency."`
}
