// Command broker is the Gatehouse MQTT broker and the tool to run it with.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	_ "time/tzdata" // quotas have time zones, and small images no database of them

	"github.com/alecthomas/kong"

	"github.com/gatehouse-mqtt/gatehouse/internal/collector"
)

// spareMemory is what may be allocated between two collections, in bytes.
const spareMemory = 48 << 20

func main() {
	collector.Spare(spareMemory)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// command is the command tree. Every command's Run gets a *terminal.
type command struct {
	Serve        serveCmd        `cmd:"" help:"Run the broker."`
	Plugin       pluginCmd       `cmd:"" help:"Look at the plugins of a running broker."`
	Explain      explainCmd      `cmd:"" help:"Tell what would become of a publish or a subscribe of a connected client, and who decides."`
	Pub          pubCmd          `cmd:"" help:"Publish messages, as an MQTT client."`
	Sub          subCmd          `cmd:"" help:"Subscribe and print messages, as an MQTT client."`
	Status       statusCmd       `cmd:"" help:"Tell how a running broker is."`
	Client       clientCmd       `cmd:"" help:"Look at, watch and disconnect the clients of a running broker."`
	Session      sessionCmd      `cmd:"" help:"Look at and change the sessions of a running broker."`
	Subscription subscriptionCmd `cmd:"" help:"Look at and change the subscriptions of a running broker."`
	Message      messageCmd      `cmd:"" help:"Publish messages as the server, through a running broker's admin API."`
	Listener     listenerCmd     `cmd:"" help:"Look at the listeners of a running broker."`
	Ban          banCmd          `cmd:"" help:"Say who may not connect to a running broker."`
	Quota        quotaCmd        `cmd:"" help:"Look at what clients of a running broker have used of their quotas."`
	Shared       sharedCmd       `cmd:"" help:"Look at and change the data that plugins and scripts of a running broker share."`
	Retained     retainedCmd     `cmd:"" help:"Do something with the retained messages of a running broker."`
	Store        storeCmd        `cmd:"" help:"Do something with the store of sessions of a broker that does not run."`
	Script       scriptCmd       `cmd:"" help:"Check, test and try out scripts of the plugin script."`
	Cert         certCmd         `cmd:"" help:"Make certificates for development and small installations."`
	Config       configCmd       `cmd:"" help:"Look at, check and reload the configuration, and help with the file."`
	Health       healthCmd       `cmd:"" help:"Tell whether a broker is ready for clients, by the exit status too."`
	Log          logCmd          `cmd:"" help:"Do something with the log of a running broker."`
	Debug        debugCmd        `cmd:"" help:"Look into a running broker."`
	Import       importCmd       `cmd:"" help:"Translate the configuration of another broker."`
	Password     passwordCmd     `cmd:"" help:"Make a password hash for the users file of the plugin authfile."`
	Version      versionCmd      `cmd:"" help:"Print the version."`
	Completion   completionCmd   `cmd:"" help:"Print a script with which a shell completes this command."`
	Complete     completeCmd     `cmd:"" hidden:"" help:"Print what a command line may become, for the scripts of completion."`
	Man          manCmd          `cmd:"" hidden:"" help:"Print a manual page, for packages."`
}

// terminal is where a command reads and writes.
type terminal struct {
	in       io.Reader
	out, err io.Writer
}

// exitError ends the program with a status of its own and nothing more to say.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run is the whole program; it returns the exit status: 0 all well, 1 an error
// that was printed, 2 a command line that makes no sense, and what [statusError] and
// [exitError] say.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	t := &terminal{in: stdin, out: stdout, err: stderr}
	status := -1
	parser, err := kong.New(&command{},
		kong.Name("broker"),
		kong.Description("Gatehouse, an MQTT broker that is programmed from outside."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { status = code }),
		kong.Bind(t),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the command tree itself is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if status >= 0 {
		return status // --help
	}
	if err != nil {
		fmt.Fprintf(stderr, "broker: %v\nTry \"broker --help\".\n", err)
		return 2
	}
	err = ctx.Run(parser.Model)
	var code exitError
	var failed *statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(stderr, "broker: %s\n", strings.TrimRight(err.Error(), "\n"))
	if errors.As(err, &failed) {
		return failed.status
	}
	return 1
}
