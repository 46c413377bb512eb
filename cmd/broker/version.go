package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the build; a plain "go build" leaves it to the module.
var version = ""

type versionCmd struct{}

func (versionCmd) Run(t *terminal) error {
	_, err := fmt.Fprintf(t.out, "gatehouse %s %s/%s %s\n", brokerVersion(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}

func brokerVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
