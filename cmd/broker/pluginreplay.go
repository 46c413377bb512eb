package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type pluginReplayCmd struct {
	File    string        `arg:"" help:"File of \"broker plugin record\"; - for standard input."`
	Plugin  string        `required:"" help:"Folder or program of the plugin to ask." placeholder:"PATH"`
	Config  string        `help:"File with the plugin's own configuration, YAML or JSON." placeholder:"FILE"`
	Timeout time.Duration `help:"How long the plugin may take for one call." default:"10s"`
}

// Run asks a plugin, which it starts for that, what another was asked, and
// prints where its decisions differ. The exit status is 1 if any do.
func (cmd *pluginReplayCmd) Run(t *terminal) (err error) {
	in, err := openInput(t, cmd.File)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	r := &replay{terminal: t, leftOut: make(map[string]int)}
	stop := func() error { return nil }
	defer func() { err = errors.Join(err, stop()) }()
	_, err = readCalls(in, func(line int, c *adminv1.WatchedCall) error {
		if r.hooks == nil {
			if stop, err = cmd.start(r, c.GetPlugin()); err != nil {
				return err
			}
		}
		return r.ask(line, c)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.File, err)
	}
	r.sum()
	if r.differ > 0 {
		return exitError(1)
	}
	return nil
}

// start starts the plugin in folders of its own.
func (cmd *pluginReplayCmd) start(r *replay, name string) (stop func() error, err error) {
	none := func() error { return nil }
	config, err := readPluginConfig(cmd.Config)
	if err != nil {
		return none, err
	}
	path, err := filepath.Abs(cmd.Plugin)
	if err != nil {
		return none, err
	}
	dir, err := os.MkdirTemp("", "gatehouse-replay-")
	if err != nil {
		return none, err
	}
	clean := func() error { return os.RemoveAll(dir) }
	policy := hook.Policy{Timeout: cmd.Timeout, OnError: hook.OnErrorRefuse, BreakerFailures: -1}
	required := true
	host, err := pluginhost.New(pluginhost.Options{
		RunDir: filepath.Join(dir, "run"), DataDir: filepath.Join(dir, "data"), Version: brokerVersion(), LogLevel: "error",
		Logger: slog.New(slog.NewTextHandler(r.err, &slog.HandlerOptions{Level: slog.LevelError})),
		Plugins: []pluginhost.Config{{
			Name: name, Path: path, Config: config, Required: &required, Validator: policy, Interceptor: policy, MayBypassAuthorization: true,
		}},
	})
	if err != nil {
		return clean, err
	}
	b, err := host.Start(context.Background())
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return errors.Join(host.Stop(ctx), clean())
	}
	if err != nil {
		return stop, err
	}
	r.hooks = hook.NewHooks(nil)
	r.hooks.SetValidators(b.Validators)
	r.hooks.SetInterceptors(b.Interceptors)
	r.hooks.Watch().Add(r)
	return stop, nil
}

// replay asks a plugin again. It is the watcher of its own hooks, and one
// goroutine uses it.
type replay struct {
	*terminal
	hooks *hook.Hooks
	heard *hook.Report // the answer to what was asked last; nil if nobody was

	same, differ int
	leftOut      map[string]int // by the reason
}

// Watches implements [hook.Watcher].
func (r *replay) Watches(string, hook.Point) bool { return true }

// Watched implements [hook.Watcher].
func (r *replay) Watched(report *hook.Report) { r.heard = report }

// ask asks about one recorded call and compares the answers.
func (r *replay) ask(line int, c *adminv1.WatchedCall) error {
	if why := unusable(c); why != "" {
		r.leftOut[why]++
		return nil
	}
	r.heard = nil
	ctx := context.Background()
	if c.GetConnect() != nil {
		connect, err := pluginhost.ConnectFromProto(c.GetConnect())
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		r.hooks.Revalidate(ctx, connect) // a decision that was kept says nothing
	} else {
		point, call, err := pluginhost.CallFromProto(c.GetCall(), pluginhost.ClientFromProto(c.GetClient()))
		if err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		batch := &hook.Batch{Point: point, Calls: []*hook.Call{call}}
		r.hooks.Intercept(ctx, hook.BeforeAuthorization, batch)
		r.hooks.Intercept(ctx, hook.AfterAuthorization, batch)
	}
	got := &adminv1.WatchedCall{
		Call: c.GetCall(), Connect: c.GetConnect(), Client: c.GetClient(),
		Verdict: &pluginv1.Verdict{Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS}, // of a plugin that is not interested
	}
	if r.heard != nil {
		got = watchedCall(&trace.Call{Report: r.heard})
	}
	if sameAnswer(c, got) {
		r.same++
		return nil
	}
	r.differ++
	fmt.Fprintf(r.out, "line %d: %s %s\n", line, c.GetHook(), askedText(c))
	printAnswer(r.out, "-", c)
	printAnswer(r.out, "+", got)
	return nil
}

// unusable says why a call can't be asked again; "" if it can.
func unusable(c *adminv1.WatchedCall) string {
	m := c.GetCall().GetPublish().GetMessage()
	if m == nil {
		m = c.GetCall().GetDeliver().GetMessage()
	}
	switch {
	case c.GetEvent() != nil || c.GetConnect() == nil && c.GetCall() == nil:
		return "events and stored messages, about which nothing is decided"
	case c.GetError() != "":
		return "calls that were not decided when they were recorded"
	case c.GetKept():
		return "decisions that were kept"
	case c.GetExchange():
		return "enhanced authentication, which needs the client"
	case string(c.GetConnect().GetPassword()) == redacted || string(c.GetConnect().GetAuthenticationData()) == redacted:
		return "passwords that were left out (record with --redact none)"
	case m.GetPayloadSize() > uint64(len(m.GetPayload())):
		return "payloads that were left out"
	default:
		return ""
	}
}

func (r *replay) sum() {
	fmt.Fprintf(r.out, "%d decisions are the same, %d differ\n", r.same, r.differ)
	for _, why := range slices.Sorted(maps.Keys(r.leftOut)) {
		fmt.Fprintf(r.out, "not asked again: %d %s\n", r.leftOut[why], why)
	}
}
