package main

// pluginDebugCmds are the commands of "broker plugin" that look for causes.
type pluginDebugCmds struct {
	Record   pluginRecordCmd   `cmd:"" help:"Write calls of a plugin, and its answers, into a file."`
	Replay   pluginReplayCmd   `cmd:"" help:"Ask another version of a plugin what is in such a file, and print the decisions that differ."`
	Shadow   pluginShadowCmd   `cmd:"" help:"Ask another version of a plugin what the running one is asked, and print the decisions that differ; its answers are not used."`
	Debug    pluginDebugCmd    `cmd:"" help:"Run a plugin under a headless delve, in place of the broker's own instance."`
	Call     pluginCallCmd     `cmd:"" help:"Call a method of a running plugin."`
	Describe pluginDescribeCmd `cmd:"" help:"Show the methods of a running plugin, or what one of them takes and answers."`
	Trace    pluginTraceCmd    `cmd:"" help:"Print calls of plugins as they are decided: input, decision, changes and latency."`
}
