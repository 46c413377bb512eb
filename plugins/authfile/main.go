// Command authfile is a Gatehouse plugin that decides who may connect by a file
// of users. README.md says how to configure it and what the file looks like.
//
// Run by hand as "authfile check FILE" it checks a users file and does nothing
// else.
package main

import (
	"fmt"
	"os"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/validator"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "check" {
		os.Exit(check(os.Args[2]))
	}
	pluginapi.Serve(validator.Plugin())
}

// check prints what is wrong with a users file; the exit status is 1 if
// anything is.
func check(path string) int {
	set, err := users.Load(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, w := range set.Warnings() {
		fmt.Fprintf(os.Stderr, "%s (warning)\n%s\n", w, w.Excerpt)
	}
	fmt.Printf("%s: %d users, all good\n", path, set.Len())
	return 0
}
