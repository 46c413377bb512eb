// Command authfile is a Gatehouse plugin that decides who may connect by a file
// of users. README.md says how to configure it and what the file looks like.
//
// Run by hand as "authfile check FILE" it checks a users file and does nothing
// else.
package main

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // quotas have time zones, and small images no database of them

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/users"
	"github.com/gatehouse-mqtt/gatehouse/plugins/authfile/validator"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "check" {
		os.Exit(check(os.Args[2], os.Stdout))
	}
	pluginapi.Serve(validator.Plugin())
}

// check writes what is wrong with a users file; the exit status is 1 if
// anything is.
func check(path string, out io.Writer) int {
	set, err := users.Load(path)
	if err != nil {
		fmt.Fprintln(out, err)
		return 1
	}
	for _, w := range set.Warnings() {
		fmt.Fprintf(out, "%s: warning: %s\n%s\n", w.Place(), w.Message, w.Excerpt)
	}
	fmt.Fprintf(out, "%s: %d users, all good\n", path, set.Len())
	return 0
}
