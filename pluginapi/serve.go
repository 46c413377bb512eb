package pluginapi

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/gatehouse-mqtt/gatehouse/internal/collector"
)

// spareMemory is what a plugin may allocate between two collections, in bytes:
// most keep next to nothing and would collect at every few thousand messages.
const spareMemory = 16 << 20

// Serve makes the program a plugin: main calls it and nothing else. It ends the
// process: with 0 after the broker asked it to stop, with 1 on an error, with 2
// if the command line makes no sense.
//
//	PLUGIN                    serves the broker that started it
//	PLUGIN describe           prints the manifest
//	PLUGIN -version           prints name and version
//	PLUGIN -standalone DIR    serves on a socket of its own, for a debugger; the
//	                          broker with the plugin directory DIR attaches it
//
// While it serves, the process belongs to the SDK: os.Stdout becomes a line in
// the log, os.Stderr stays what it is, slog's default and package log write to
// the broker's log, SIGINT is ignored (a Ctrl-C in the broker's terminal is the
// broker's business) and SIGTERM stops the plugin as the broker would. It ends
// by itself when the broker is gone, however it went. Unless GOGC is set, the
// garbage collector lets 16 MiB be allocated before it collects again, however
// little the plugin keeps.
func Serve(p Plugin) {
	collector.Spare(spareMemory)
	os.Exit(ServeArgs(p, os.Args[1:]))
}

// ServeArgs is [Serve] with the arguments of the command line given, and with
// the exit status as its result. It is for programs that are a plugin only at
// times, such as test binaries.
func ServeArgs(p Plugin, args []string) int {
	m, err := p.Manifest()
	if err != nil {
		fmt.Fprintf(os.Stderr, "pluginapi: %v\n", err)
		return 1
	}
	f := flag.NewFlagSet(m.Name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	version := f.Bool("version", false, "")
	standalone := f.String("standalone", "", "")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		usage(os.Stdout, m)
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n\n", m.Name, err)
		usage(os.Stderr, m)
		return 2
	}
	switch {
	case *version:
		fmt.Println(m.Name, m.Version)
		return 0
	case f.NArg() == 1 && f.Arg(0) == "describe":
		return describe(p)
	case f.NArg() > 0:
		fmt.Fprintf(os.Stderr, "%s: unknown command %q\n\n", m.Name, f.Arg(0))
		usage(os.Stderr, m)
		return 2
	case *standalone != "":
		return serveStandalone(p, *standalone)
	case os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue:
		fmt.Fprintf(os.Stderr, "%s is a Gatehouse plugin: the broker starts it, it does nothing by itself.\n\n", m.Name)
		usage(os.Stderr, m)
		return 1
	default:
		return serveBroker(p)
	}
}

// describe prints the manifest in the form in which a folder keeps it.
func describe(p Plugin) int {
	c, err := newCore(p, nil, nil)
	if err == nil {
		_, err = fmt.Printf("%s\n", c.manifest)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		return 1
	}
	return 0
}

func usage(w io.Writer, m *Manifest) {
	summary := ""
	if m.Summary != "" {
		summary = ": " + m.Summary
	}
	fmt.Fprintf(w, "%s %s%s\n\n", m.Name, m.Version, summary)
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, line := range [][2]string{
		{"broker serve --plugin-dir DIR", "runs it if it is DIR/" + m.Name},
		{m.Name + " describe", "prints its manifest"},
		{m.Name + " -version", "prints its version"},
		{m.Name + " -standalone DIR", "serves under a debugger; a broker with the plugin directory DIR uses it"},
	} {
		fmt.Fprintf(columns, "  %s\t%s\n", line[0], line[1])
	}
	_ = columns.Flush()
}
