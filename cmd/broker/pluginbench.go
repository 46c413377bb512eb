package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/internal/pluginbench"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type pluginBenchCmd struct {
	probeFlags

	Payload  int           `help:"Size of messages in bytes." default:"100" placeholder:"BYTES"`
	Duration time.Duration `help:"How long each measurement takes." default:"2s" placeholder:"DURATION"`
	Callers  int           `help:"Calls at once, where there is more than one." default:"16" placeholder:"N"`
	Username string        `help:"User name of the clients that validators decide about." default:"bench" placeholder:"NAME"`
	Password string        `help:"Password of those clients." default:"bench" env:"GATEHOUSE_BENCH_PASSWORD" placeholder:"PASSWORD"`
	Erase    bool          `help:"Lose what the store of the configuration has."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

// benchReport is the command's answer as JSON.
type benchReport struct {
	Plugin   string            `json:"plugin"`
	Version  string            `json:"version"`
	Payload  int               `json:"payload_bytes"`
	Duration float64           `json:"seconds_each"`
	Rows     []pluginbench.Row `json:"rows"`
}

// Run measures a plugin.
func (cmd *pluginBenchCmd) Run(t *terminal) error {
	switch {
	case cmd.Path == "":
		return misuse(t, "name the plugin's folder or program")
	case cmd.Payload < 0 || cmd.Duration <= 0 || cmd.Callers <= 0:
		return misuse(t, "payload, duration and callers can't be negative or nothing")
	}
	config, err := cmd.readConfig()
	if err != nil {
		return misuse(t, err.Error())
	}
	ctx, stop := interruptible()
	defer stop()
	probe, err := cmd.open(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return misuse(t, err.Error())
	case err != nil:
		return err
	}
	defer func() { _ = probe.Close() }()
	process, err := probe.Start(ctx, nil)
	if err != nil {
		return err
	}
	defer process.Release()
	init, err := initialise(ctx, process, config)
	if err != nil {
		return fmt.Errorf("plugin %s: %w", probe.Name(), err)
	}
	return cmd.measure(ctx, t, process, init)
}

// initialise calls Init as the broker would.
func initialise(ctx context.Context, p *pluginhost.ProbedProcess, config []byte) (*pluginv1.InitResponse, error) {
	in, err := p.InitRequest()
	if err != nil {
		return nil, err
	}
	in.ConfigJson, in.LogLevel = config, "error"
	out, err := pluginv1.NewPluginServiceClient(p.Conn()).Init(ctx, in)
	if err != nil {
		return nil, err
	}
	for _, d := range out.GetDiagnostics() {
		if s := d.GetSeverity(); s == pluginv1.Severity_SEVERITY_ERROR || s == pluginv1.Severity_SEVERITY_UNSPECIFIED {
			return nil, fmt.Errorf("it refused its configuration: %s: %s; see --config", d.GetPath(), d.GetMessage())
		}
	}
	return out, nil
}

// measure measures and prints.
func (cmd *pluginBenchCmd) measure(ctx context.Context, t *terminal, p *pluginhost.ProbedProcess, init *pluginv1.InitResponse) error {
	report := benchReport{Plugin: init.GetName(), Version: init.GetVersion(), Payload: cmd.Payload, Duration: cmd.Duration.Seconds()}
	err := pluginbench.Run(ctx, pluginbench.Options{
		Conn: p.Conn(), Init: init, PID: p.PID(), Payload: cmd.Payload, Duration: cmd.Duration, Callers: cmd.Callers,
		Username: cmd.Username, Password: cmd.Password, Erase: cmd.Erase,
		Report: func(r pluginbench.Row) { report.Rows = append(report.Rows, r) },
	})
	if err != nil {
		return err
	}
	if cmd.JSON {
		enc := json.NewEncoder(t.out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.print(t)
	}
	for _, r := range report.Rows {
		if r.Error != "" && err == nil {
			err = exitError(1)
		}
	}
	return err
}

// print prints a table.
func (r *benchReport) print(t *terminal) error {
	fmt.Fprintf(t.out, "%s %s, %d bytes of payload, %.1f s each; CPU is for one item\n\n", r.Plugin, r.Version, r.Payload, r.Duration)
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "hook\tway\tbatch\tat once\titems/s\tp50\tp99\tbroker CPU\tplugin CPU\t")
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%.0f\t%v\t%v\t%s\t%s\t\n", row.Hook, row.Way, row.Batch, row.Callers, row.PerSecond,
			row.P50.Round(time.Microsecond), row.P99.Round(time.Microsecond), cpuText(row.OwnCPU), cpuText(row.PluginCPU))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Error != "" {
			fmt.Fprintf(t.out, "\n%s, %s, batches of %d: %s\n", row.Hook, row.Way, row.Batch, row.Error)
		}
	}
	return nil
}

func cpuText(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return d.Round(10 * time.Nanosecond).String()
}
