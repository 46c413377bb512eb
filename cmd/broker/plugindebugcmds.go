package main

// pluginDebugCmds are the commands of "broker plugin" that look for causes.
type pluginDebugCmds struct {
	Call     pluginCallCmd     `cmd:"" help:"Call a method of a running plugin."`
	Describe pluginDescribeCmd `cmd:"" help:"Show the methods of a running plugin, or what one of them takes and answers."`
	Trace    pluginTraceCmd    `cmd:"" help:"Print calls of plugins as they are decided: input, decision, changes and latency."`
}
