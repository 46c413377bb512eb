//go:build unix

package pluginhost

func hostMain([]string) {}
