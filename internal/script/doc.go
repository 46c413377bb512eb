// Package script runs hooks that are written in Starlark, a dialect of Python.
//
// A [Set] is a folder of scripts, compiled and frozen; its methods are the hooks
// of a plugin and may be called from many goroutines at once. What a script may
// take is bounded by [Limits], and what it can reach is a [Broker], the hosts of
// [HTTP], and files with keys in its own folder: nothing else.
//
// A call ends with a decision or with a [Failure], which says where in which
// script it happened. There is no decision by default: a script that failed has
// decided nothing.
//
// The package is shared by the plugin that serves the hooks and by the commands
// that check, test and try scripts out.
package script
