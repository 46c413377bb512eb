package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/conformance"
)

type pluginCheckCmd struct {
	probeFlags

	Endpoint string        `help:"Check a plugin that somebody else runs: unix:///PATH." placeholder:"URL"`
	Only     []string      `help:"Cases to run; wildcards as in store/*." placeholder:"CASE"`
	List     bool          `help:"List the cases and what each expects."`
	ClientID string        `help:"Client identifier of a client that the plugin lets in (default: any)." placeholder:"ID"`
	Username string        `help:"User name of that client." placeholder:"NAME"`
	Password string        `help:"Password of that client." env:"GATEHOUSE_CHECK_PASSWORD" placeholder:"PASSWORD"`
	Topics   int           `help:"Topics to store in store/many." default:"5000" placeholder:"N"`
	Erase    bool          `help:"Lose what the store of the configuration has."`
	Timeout  time.Duration `help:"Bound of one call." default:"10s" placeholder:"DURATION"`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// Help is shown below the options.
func (*pluginCheckCmd) Help() string {
	return "Starts the plugin as the broker would and runs the conformance cases of its hooks. " +
		"The exit status is 0 if all passed, 1 if one failed, 2 if the command line makes no sense."
}

// checkReport is the command's answer as JSON.
type checkReport struct {
	Plugin  string               `json:"plugin"`
	Version string               `json:"version,omitempty"`
	Passed  int                  `json:"passed"`
	Failed  int                  `json:"failed"`
	Skipped int                  `json:"skipped"`
	Elapsed float64              `json:"elapsed_seconds"`
	Results []conformance.Result `json:"results"`
}

// Run checks a plugin and says how each case went.
func (cmd *pluginCheckCmd) Run(t *terminal) error {
	if cmd.List {
		return cmd.list(t.out)
	}
	if (cmd.Path == "") == (cmd.Endpoint == "") {
		return misuse(t, "name either the plugin's folder or program, or an --endpoint")
	}
	ctx, stop := interruptible()
	defer stop()
	o := conformance.Options{
		Only: cmd.Only, ClientID: cmd.ClientID, Username: cmd.Username, Password: cmd.Password, Topics: cmd.Topics, Erase: cmd.Erase, CallTimeout: cmd.Timeout,
	}
	var err error
	if o.Config, err = cmd.readConfig(); err != nil {
		return misuse(t, err.Error())
	}
	report := checkReport{Plugin: cmd.Endpoint}
	if cmd.Endpoint != "" {
		o.Launcher = conformance.Endpoint(cmd.Endpoint)
	} else {
		probe, err := cmd.open(ctx)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return misuse(t, err.Error())
		case err != nil:
			return err
		}
		defer func() { _ = probe.Close() }()
		o.Launcher, o.Manifest = launcherOf(probe), probe.Manifest()
		report.Plugin, report.Version = probe.Manifest().Name, probe.Manifest().Version
	}
	return cmd.check(ctx, t, &o, &report)
}

// check runs the cases.
func (cmd *pluginCheckCmd) check(ctx context.Context, t *terminal, o *conformance.Options, report *checkReport) error {
	human := &checkPrinter{out: t.out}
	o.Report = func(r conformance.Result) {
		report.Results = append(report.Results, r)
		switch r.Status {
		case conformance.Passed:
			report.Passed++
		case conformance.Skipped:
			report.Skipped++
		}
		if !cmd.JSON {
			human.print(r)
		}
	}
	began := time.Now()
	failed, err := conformance.Run(ctx, *o)
	report.Failed, report.Elapsed = failed, time.Since(began).Seconds()
	switch {
	case err != nil && len(report.Results) == 0 && ctx.Err() == nil:
		return misuse(t, strings.TrimPrefix(err.Error(), "conformance: "))
	case err != nil:
		return err
	}
	if cmd.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		human.flush()
		_, err = fmt.Fprintf(t.out, "\n%s %s: %d passed, %d failed, %d skipped in %.1f s\n",
			report.Plugin, report.Version, report.Passed, failed, report.Skipped, report.Elapsed)
	}
	if err == nil && failed > 0 {
		err = exitError(1)
	}
	return err
}

// list prints what there is to check.
func (cmd *pluginCheckCmd) list(out io.Writer) error {
	if cmd.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(conformance.Cases())
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range conformance.Cases() {
		fmt.Fprintf(w, "%s\t%s\n", c.Name, c.Expected)
	}
	return w.Flush()
}

// checkPrinter prints results for a person. Cases of one kind that were skipped
// for one reason are one line.
type checkPrinter struct {
	out     io.Writer
	kind    string
	reason  string
	skipped []string
}

func (p *checkPrinter) print(r conformance.Result) {
	kind, _, _ := strings.Cut(r.Case, "/")
	if r.Status == conformance.Skipped {
		if kind != p.kind || r.Happened != p.reason {
			p.flush()
		}
		p.kind, p.reason = kind, r.Happened
		p.skipped = append(p.skipped, r.Case)
		return
	}
	p.flush()
	if r.Status == conformance.Passed {
		fmt.Fprintf(p.out, "ok    %s\n", r.Case)
		return
	}
	fmt.Fprintf(p.out, "FAIL  %s\n      expected: %s\n      happened: the plugin %s\n      to do:    %s\n", r.Case, r.Expected, r.Happened, r.Do)
}

// flush prints what was skipped.
func (p *checkPrinter) flush() {
	switch n := len(p.skipped); {
	case n == 1:
		fmt.Fprintf(p.out, "skip  %s: %s\n", p.skipped[0], p.reason)
	case n > 1:
		fmt.Fprintf(p.out, "skip  %s/ (%d cases): %s\n", p.kind, n, p.reason)
	}
	p.skipped = nil
}

// launcherOf starts processes as the broker does.
func launcherOf(probe *pluginhost.Probe) conformance.Launcher {
	return conformance.LauncherFunc(func(ctx context.Context, output *conformance.Output) (*conformance.Process, error) {
		streams := map[pluginhost.OutputStream]conformance.Stream{
			pluginhost.OutputLog: conformance.Log, pluginhost.OutputEarly: conformance.Early, pluginhost.OutputStray: conformance.Stray,
		}
		p, err := probe.Start(ctx, func(line []byte, from pluginhost.OutputStream) { output.Line(line, streams[from]) })
		if err != nil {
			return nil, err
		}
		init, err := p.InitRequest()
		if err != nil {
			p.Release()
			return nil, err
		}
		return &conformance.Process{
			Conn: p.Conn(), Init: init, PID: p.PID(), Mark: "PLUGIN_UNIX_SOCKET_DIR=" + p.Dir(),
			Exited:    p.Exited(),
			Exit:      func() (string, bool) { return p.Exit().Error(), p.Success() },
			Terminate: terminator(p), Kill: p.Kill, Release: p.Release,
		}, nil
	})
}
