package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/internal/forge"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

type pluginDevCmd struct {
	Dir       string `arg:"" optional:"" help:"Folder with the sources of the plugin." default:"."`
	PluginDir string `help:"Folder of plugins to install it into (default: that of the running broker)." placeholder:"DIR"`
	Once      bool   `help:"Do it once and end: with status 1 if the plugin is not installed, or the broker refuses it."`
	RunDir    string `help:"Run folder of the broker (default: $$GATEHOUSE_RUN_DIR; else your own, or /run/gatehouse if none of your own runs)." placeholder:"DIR"`
	Admin     string `help:"Address of the broker's admin API." placeholder:"URL"`
}

// Run builds and installs a plugin, then again on every save until it is
// interrupted.
func (cmd *pluginDevCmd) Run(t *terminal) error {
	source, err := forge.Open(cmd.Dir)
	if err != nil {
		return err
	}
	client, err := (&adminFlags{RunDir: cmd.RunDir, Admin: cmd.Admin}).client()
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	d := &dev{t: t, source: source, client: client, dir: cmd.PluginDir}
	if err := d.findDir(ctx); err != nil {
		return err
	}
	if cmd.Once {
		if !d.round(ctx, nil) {
			return exitError(1)
		}
		return nil
	}
	return d.watch(ctx)
}

// dev is a plugin that its author works on, beside a broker.
type dev struct {
	t      *terminal
	source *forge.Source
	client adminv1connect.AdminServiceClient
	dir    string // plugin directory
	name   string // of the plugin, once it is known
	told   int64  // when the last failed replacement was that the author knows of
}

func (d *dev) say(format string, args ...any) { fmt.Fprintf(d.t.out, format+"\n", args...) }

// findDir asks the broker for its plugin directory.
func (d *dev) findDir(ctx context.Context) error {
	if d.dir != "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	res, err := d.client.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err != nil {
		return fmt.Errorf("%w; or say by --plugin-dir where to install it", explain(err))
	}
	if d.dir = res.Msg.GetPluginDir(); d.dir == "" {
		return errors.New("the broker has no plugin directory: start it with --plugin-dir DIR")
	}
	return nil
}

// watch makes a round at the start and after each save.
func (d *dev) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready, saved, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { ended <- d.source.Watch(ctx, ready, saved) }()
	select {
	case <-ready:
	case err := <-ended:
		return err
	}
	d.round(ctx, saved)
	d.say("watching %s; Ctrl-C ends this", d.source.Dir)
	for {
		trial, end := d.trial(ctx)
		select {
		case <-saved:
			end()
			d.round(ctx, saved)
		case why := <-trial:
			end()
			d.say("%s: %s", d.name, why)
		case err := <-ended:
			end()
			return err
		}
	}
}

// round builds, installs, and tells what became of it. saved ends the wait for
// that: another round follows.
func (d *dev) round(ctx context.Context, saved chan struct{}) bool {
	began := time.Now()
	var errs bytes.Buffer
	product, err := d.source.Make(ctx, &errs)
	if ctx.Err() != nil {
		return false
	}
	_, _ = d.t.err.Write(errs.Bytes())
	if err != nil {
		d.say("%s: %v, nothing was installed%s", d.label(), err, d.goesOn(ctx))
		return false
	}
	d.name = product.Manifest.Name
	before, asked := d.look(ctx)
	d.told = before.GetSwapFailureUnixNanos()
	place, changed, err := product.Install(d.dir)
	if err != nil {
		d.say("%s: not installed: %v%s", d.name, err, d.goesOn(ctx))
		return false
	}
	took := time.Since(began).Round(10 * time.Millisecond)
	switch {
	case asked != nil:
		d.say("%s: installed in %s (%v); %v", d.name, place, took, explain(asked))
		return true
	case !changed && serves(before):
		d.say("%s: nothing changed%s", d.name, d.goesOn(ctx))
		return true
	}
	d.say("%s: installed in %s (%v)", d.name, place, took)
	good, outcome := d.outcome(ctx, before, saved)
	if outcome != "" {
		d.say("%s", outcome)
	}
	if !good {
		if p, err := d.look(ctx); err == nil {
			d.told = p.GetSwapFailureUnixNanos()
		}
	}
	return good
}

func (d *dev) label() string {
	if d.name != "" {
		return d.name
	}
	if abs, err := filepath.Abs(d.source.Dir); err == nil {
		return filepath.Base(abs)
	}
	return d.source.Dir
}

// goesOn says which version serves on, if one does.
func (d *dev) goesOn(ctx context.Context) string {
	if d.name == "" {
		return ""
	}
	if p, err := d.look(ctx); err == nil && serves(p) {
		return fmt.Sprintf("; %s %s (pid %d) goes on", d.name, orDash(p.GetVersion()), p.GetPid())
	}
	return ""
}

// look asks the broker about the plugin: nil if it does not know it.
func (d *dev) look(ctx context.Context) (*adminv1.Plugin, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	res, err := d.client.GetPlugin(ctx, connect.NewRequest(&adminv1.GetPluginRequest{Name: d.name}))
	if connect.CodeOf(err) == connect.CodeNotFound {
		return nil, nil //nolint:nilnil // there is no such plugin yet
	}
	if err != nil {
		return nil, err
	}
	return res.Msg.GetPlugin(), nil
}

// serves reports whether an instance of the plugin answers.
func serves(p *adminv1.Plugin) bool {
	return p.GetState() == adminv1.PluginState_PLUGIN_STATE_READY || p.GetState() == adminv1.PluginState_PLUGIN_STATE_DEGRADED
}

// How often the broker is asked, and for how long: it looks at its directory
// once a second, and a start may take a while.
const (
	devPoll = 100 * time.Millisecond
	devWait = 45 * time.Second
)

// outcome waits for what the broker makes of the new files: ready, or refused
// with the reason.
func (d *dev) outcome(ctx context.Context, before *adminv1.Plugin, saved chan struct{}) (good bool, what string) {
	look := time.NewTicker(devPoll)
	defer look.Stop()
	limit := time.NewTimer(devWait)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ""
		case <-saved:
			// It was taken from whoever waits for it; the round that it asks for
			// is made at once.
			return d.round(ctx, saved), ""
		case <-limit.C:
			return false, d.name + ": the broker has not taken it up; \"broker plugin info " + d.name + "\" may tell why"
		case <-look.C:
		}
		now, err := d.look(ctx)
		if err != nil {
			return false, fmt.Sprintf("%s: %v", d.name, explain(err))
		}
		if good, what := judge(before, now); what != "" {
			return good, what
		}
	}
}

// judge compares what the broker says with what it said before the files
// changed; "" means that it is not decided yet.
func judge(before, now *adminv1.Plugin) (good bool, what string) {
	name := now.GetName()
	switch {
	case now == nil || now.GetReplacing():
		return false, ""
	case now.GetSwapFailureUnixNanos() > before.GetSwapFailureUnixNanos():
		what = fmt.Sprintf("%s is refused: %s", name, now.GetSwapFailure())
		if serves(now) {
			what += fmt.Sprintf("; %s (pid %d) goes on", orDash(now.GetVersion()), now.GetPid())
		}
		return false, what
	case serves(now) && now.GetPid() != before.GetPid():
		what = fmt.Sprintf("%s %s is %s (pid %d)", name, now.GetVersion(), stateName(now.GetState()), now.GetPid())
		if serves(before) {
			what += fmt.Sprintf("; it took over from pid %d", before.GetPid())
		}
		if h := now.GetHealth(); h != "" {
			what += ": " + h
		}
		return true, what
	case now.GetLastFailureUnixNanos() > before.GetLastFailureUnixNanos():
		return false, fmt.Sprintf("%s is refused: %s", name, now.GetLastFailure())
	case now.GetState() == adminv1.PluginState_PLUGIN_STATE_STOPPED && now.GetState() == before.GetState():
		return false, fmt.Sprintf("%s is disabled: \"broker plugin enable %s\" starts it", name, name)
	default:
		return false, ""
	}
}

// trial tells if a version that took over is rejected before it has proven
// itself. end ends the watch over it.
func (d *dev) trial(ctx context.Context) (rejected <-chan string, end func()) {
	if d.name == "" {
		return nil, func() {}
	}
	if p, err := d.look(ctx); err != nil || p.GetProvenAtUnixNanos() == 0 && !d.lost(p) {
		return nil, func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	out, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		if why := d.rejection(ctx); why != "" {
			out <- why
		}
	}()
	return out, func() {
		cancel()
		<-done
	}
}

// rejection waits until a version on trial is rejected, and says why, or until
// it has proven itself.
func (d *dev) rejection(ctx context.Context) string {
	look := time.NewTicker(5 * devPoll)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return ""
		case <-look.C:
		}
		p, err := d.look(ctx)
		switch {
		case err != nil:
			return ""
		case d.lost(p):
			d.told = p.GetSwapFailureUnixNanos()
			return fmt.Sprintf("%s was on trial and is rejected: %s; %s (pid %d) is back",
				p.GetRejectedVersion(), p.GetSwapFailure(), p.GetVersion(), p.GetPid())
		case p.GetProvenAtUnixNanos() == 0:
			return ""
		}
	}
}

// lost reports whether a version has lost its place and nobody was told.
func (d *dev) lost(p *adminv1.Plugin) bool {
	return p.GetRejectedVersion() != "" && p.GetSwapFailureUnixNanos() > d.told
}
