package pluginapi

import (
	"fmt"
	"os"
)

// Serve makes the program a plugin: main calls it and nothing else. It ends the
// process: with 0 after the broker asked it to stop, with 1 on an error.
func Serve(p Plugin) {
	os.Exit(ServeArgs(p, os.Args[1:]))
}

// ServeArgs is [Serve] with the arguments of the command line given, and with
// the exit status as its result.
func ServeArgs(p Plugin, args []string) int {
	fmt.Fprintln(os.Stderr, p.Name, "cannot be served yet")
	return 1
}
