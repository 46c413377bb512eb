package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type pluginCmd struct {
	List    pluginListCmd    `cmd:"" help:"List the plugins of a running broker."`
	Info    pluginInfoCmd    `cmd:"" help:"Tell everything about one plugin."`
	Reload  pluginReloadCmd  `cmd:"" help:"Replace a running plugin by its files as they are now, while clients stay connected."`
	Enable  pluginEnableCmd  `cmd:"" help:"Start a plugin that is disabled."`
	Disable pluginDisableCmd `cmd:"" help:"Let a plugin take no part until it is enabled, restarts of the broker included."`
	New     pluginNewCmd     `cmd:"" help:"Begin a plugin: make a folder that builds, runs and has a test."`
	Dev     pluginDevCmd     `cmd:"" help:"Work on a plugin: build it and install it into the running broker on every save."`
	Lock    pluginLockCmd    `cmd:"" help:"Accept the files of plugins as they are: write their hashes into plugins.lock."`

	pluginDebugCmds
	Check pluginCheckCmd `cmd:"" help:"Check whether a plugin does what the contract asks of it, without a broker."`
	Bench pluginBenchCmd `cmd:"" help:"Measure how fast a plugin answers, without a broker."`
}

type pluginListCmd struct {
	adminFlags
	Verbose bool `short:"v" help:"Show sockets and services too."`
}

func (cmd *pluginListCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.ListPlugins(ctx, connect.NewRequest(&adminv1.ListPluginsRequest{}))
	if err != nil {
		return explain(err)
	}
	if cmd.JSON {
		return writeJSONBlock(t.out, res.Msg)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVERSION\tSTATE\tSINCE\tPID\tRESTARTS\tBREAKER\tLAST FAILURE")
	for _, p := range res.Msg.GetPlugins() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", p.GetName(), versions(p), stateOf(p),
			age(p.GetSinceUnixNanos()), pid(p.GetPid()), p.GetRestarts(), breakers(p), failure(p))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if cmd.Verbose {
		for _, p := range res.Msg.GetPlugins() {
			printPluginPlaces(t, p)
		}
	}
	return nil
}

func printPluginPlaces(t *terminal, p *adminv1.Plugin) {
	fmt.Fprintf(t.out, "\n%s  %s\n", p.GetName(), p.GetPath())
	for _, s := range p.GetServices() {
		fmt.Fprintf(t.out, "    %s\n", s)
	}
	if p.GetSocket() != "" {
		fmt.Fprintf(t.out, "    grpcurl -plaintext -unix %s list\n", p.GetSocket())
	}
}

type pluginInfoCmd struct {
	adminFlags
	Name string `arg:"" help:"The plugin's name." predictor:"plugin"`
}

func (cmd *pluginInfoCmd) Run(t *terminal) error {
	client, err := cmd.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	res, err := client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: cmd.Name}))
	if err != nil {
		return explain(err)
	}
	p := res.Msg.GetPlugin()
	if cmd.JSON {
		return writeJSONBlock(t.out, p)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, row := range [][2]string{
		{"name", p.GetName()},
		{"version", orDash(p.GetVersion())},
		{"path", p.GetPath()},
		{"state", stateName(p.GetState()) + " since " + age(p.GetSinceUnixNanos())},
		{"pid", pid(p.GetPid())},
		{"socket", orDash(p.GetSocket())},
		{"services", orDash(strings.Join(p.GetServices(), " "))},
		{"required", fmt.Sprint(p.GetRequired())},
		{"restarts", fmt.Sprint(p.GetRestarts())},
		{"replaced", replaced(p)},
		{"last failure", failure(p)},
		{"health", orDash(p.GetHealth())},
	} {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	for _, row := range trafficRows(p) {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	for _, row := range cmd.shadowRows(ctx) {
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	for _, h := range p.GetHooks() {
		fmt.Fprintf(w, "hook %s\tdecided %d, failed %d (%d timeouts), on error %s%s\n",
			h.GetHook(), h.GetDecided(), h.GetFailed(), h.GetTimeouts(), orDash(h.GetOnError()), policyCounts(h))
		fmt.Fprintf(w, "\trunning %d, from kept decisions %d, undeclared changes %d, breaker %s (opened %d times, kept back %d calls)\n",
			h.GetRunning(), h.GetKept(), h.GetViolations(), orDash(h.GetBreaker()), h.GetBreakerOpened(), h.GetBreakerRejected())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := printLatencies(t.out, p.GetLatencies()); err != nil {
		return err
	}
	if len(p.GetStderr()) > 0 {
		fmt.Fprintf(t.out, "\nlast lines of standard error:\n    %s\n", strings.Join(p.GetStderr(), "\n    "))
	}
	return nil
}

// versions is the version that serves, after the one that it has replaced while
// that is still there, and the one that could not stay.
func versions(p *adminv1.Plugin) string {
	v := orDash(p.GetVersion())
	if p.GetReplacing() {
		v += " (a new one starts)"
	}
	if p.GetStandbyPid() != 0 {
		on := " (on trial)"
		if p.GetAttached() {
			on = " (the broker's own stands by)"
		}
		v = p.GetStandbyVersion() + " -> " + v + on
	} else if p.GetLeavingPid() != 0 {
		v = p.GetLeavingVersion() + " -> " + v
	}
	if r := p.GetRejectedVersion(); r != "" {
		v += " (" + r + " was rejected)"
	}
	return v
}

// replaced tells of instances that took over from each other.
func replaced(p *adminv1.Plugin) string {
	s := fmt.Sprintf("%d times", p.GetSwaps())
	if p.GetReplacing() {
		s += "; a new instance is being started"
	}
	if n := p.GetLeavingPid(); n != 0 {
		s += fmt.Sprintf("; %s (pid %d) still answers what it had", p.GetLeavingVersion(), n)
	}
	if n := p.GetStandbyPid(); n != 0 {
		s += fmt.Sprintf("; %s (pid %d) stands by for %s more", p.GetStandbyVersion(), n,
			max(0, time.Until(time.Unix(0, p.GetProvenAtUnixNanos()))).Round(time.Second))
	}
	if why := p.GetSwapFailure(); why != "" {
		s += fmt.Sprintf("; the last attempt, %s ago, failed: %s", age(p.GetSwapFailureUnixNanos()), why)
	}
	return s
}

func policyCounts(h *adminv1.HookCounters) string {
	var b strings.Builder
	for _, k := range []string{"hold", "refuse", "pass", "disconnect"} {
		if n := h.GetPolicy()[k]; n > 0 {
			fmt.Fprintf(&b, ", %s %d", k, n)
		}
	}
	return b.String()
}

// breakers names the hooks whose circuit breaker is not closed.
func breakers(p *adminv1.Plugin) string {
	var list []string
	for _, h := range p.GetHooks() {
		if s := h.GetBreaker(); s != "" && s != hook.BreakerClosed.String() {
			list = append(list, h.GetHook()+" "+s)
		}
	}
	return orDash(strings.Join(list, ", "))
}

// stateOf is a plugin's state, and why it does not run if nothing is wrong with
// it.
func stateOf(p *adminv1.Plugin) string {
	state := stateName(p.GetState())
	if p.GetAttached() {
		state += ", attached"
	}
	if p.GetState() == adminv1.PluginState_PLUGIN_STATE_STOPPED && p.GetHealth() != "" {
		state += ": " + p.GetHealth()
	}
	return state
}

func stateName(s adminv1.PluginState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "PLUGIN_STATE_"))
}

func failure(p *adminv1.Plugin) string {
	if p.GetLastFailure() == "" {
		return "-"
	}
	return age(p.GetLastFailureUnixNanos()) + " ago: " + p.GetLastFailure()
}

func age(unixNanos int64) string {
	if unixNanos == 0 {
		return "-"
	}
	d := time.Since(time.Unix(0, unixNanos))
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}

func pid(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
