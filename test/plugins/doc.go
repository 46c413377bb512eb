// Package plugins runs plugins in other languages than Go as the broker runs
// them: from the plugin directory, with real clients, through restarts and
// replacements, to their end.
package plugins
