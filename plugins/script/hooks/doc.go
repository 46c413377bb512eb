// Package hooks is the plugin script: it loads a folder of scripts, serves the
// hooks that they define, and takes over what is saved while it runs.
package hooks
