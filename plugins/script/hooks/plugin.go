package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// Plugin is script, ready to be served. confine limits the memory of the
// process, nil for a process that is not the plugin's own.
func Plugin(confine func(bytes int64) error) pluginapi.Plugin {
	config := defaultConfig()
	return pluginapi.Plugin{
		Name:    "script",
		Version: "0.1.0",
		Summary: "hooks in Starlark, in files that are read again when they are saved",
		Config:  &config,
		Hooks:   (*scripts)(nil),
		New: func(ctx context.Context, s *pluginapi.Setup) (any, error) {
			return newScripts(ctx, s, confine)
		},
		Check:            checkScripts,
		CompleteInterest: true,
	}
}

// checkScripts loads the scripts and throws them away: their top level does
// nothing.
func checkScripts(ctx context.Context, s *pluginapi.Setup) error {
	c, err := readConfig(s)
	if err != nil {
		return err
	}
	if _, err := c.load(ctx, s, nil); err != nil {
		return errors.Join(problems(err)...)
	}
	return nil
}

// scripts is the plugin.
type scripts struct {
	setup    *pluginapi.Setup
	confine  func(int64) error
	now      atomic.Pointer[generation]
	failures failures
	broken   atomic.Pointer[string] // why what was saved last is not in force; nil if it is

	mu    sync.Mutex // held while one generation takes over from another
	watch *watch     // nil without a folder

	console *console // nil unless the configuration wants it
}

// generation is a set of scripts with all that goes on for it.
type generation struct {
	set    *script.Set
	config Config
	seen   fingerprint

	// ready is closed when initialize has returned; failed is why it failed,
	// nil if it did not.
	ready  chan struct{}
	failed error

	cancel context.CancelFunc // ends what runs in the background
	ended  sync.WaitGroup     // of that
}

func newScripts(ctx context.Context, s *pluginapi.Setup, confine func(int64) error) (*scripts, error) {
	p := &scripts{setup: s, confine: confine, failures: failures{log: s.Logger}}
	g, err := p.prepare(ctx, s)
	if err != nil {
		return nil, err
	}
	p.now.Store(g)
	p.begin(ctx, g)
	p.follow(ctx, g)
	p.talk(ctx, g)
	return p, nil
}

// prepare loads a generation; nothing happens by that.
func (p *scripts) prepare(ctx context.Context, s *pluginapi.Setup) (*generation, error) {
	c, err := readConfig(s)
	if err != nil {
		return nil, err
	}
	if p.confine != nil {
		if err := p.confine(c.Memory); err != nil {
			s.Warn("/memory", "the process can't be limited: %v", err)
		}
	}
	return p.load(ctx, c)
}

func (p *scripts) load(ctx context.Context, c Config) (*generation, error) {
	seen := look(c.Folder)
	set, err := c.load(ctx, p.setup, p.stuck)
	if err != nil {
		return nil, errors.Join(problems(err)...)
	}
	return &generation{set: set, config: c, seen: seen, ready: make(chan struct{})}, nil
}

// stuck ends the process: a goroutine that cannot be ended holds a processor,
// and another process can decide what this one can't.
func (p *scripts) stuck(name string) {
	p.setup.Logger.Error("a call of a script does not end, the process does", slog.String("function", name))
	os.Exit(3)
}

// waitForBroker bounds the wait for a broker that is starting.
const waitForBroker = time.Minute

// begin has a generation initialise itself in the background: the broker can
// only be called once Init has been answered. Calls wait for it.
func (p *scripts) begin(ctx context.Context, g *generation) {
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.ended.Go(func() {
		g.failed = p.initialize(ctx, g.set)
		if g.failed != nil && ctx.Err() == nil {
			p.failures.note(g.failed)
			p.setup.Logger.Error("initialize failed, the scripts decide nothing", slog.Any("error", g.failed))
		}
		close(g.ready)
		if g.failed == nil {
			g.set.RunTimers(ctx, p.failures.note)
		}
	})
}

func (p *scripts) initialize(ctx context.Context, set *script.Set) error {
	until := time.Now().Add(waitForBroker)
	for {
		err := set.Initialize(ctx)
		if !errors.Is(err, pluginapi.ErrNotReady) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// end ends what runs in the background.
func (g *generation) end() {
	g.cancel()
	g.ended.Wait()
}

// use is the set of scripts to call, once it is ready.
func (p *scripts) use(ctx context.Context) (*script.Set, error) {
	g := p.now.Load()
	select {
	case <-g.ready:
	default:
		limit := time.NewTimer(g.config.Limits.ConnectTime)
		defer limit.Stop()
		select {
		case <-g.ready:
		case <-limit.C:
			return nil, errors.New("the scripts are not initialised yet")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if g.failed != nil {
		return nil, fmt.Errorf("the scripts are not initialised: %w", g.failed)
	}
	return g.set, nil
}

// Interest is what the functions of the scripts ask for.
func (p *scripts) Interest() []pluginapi.Interest { return p.now.Load().set.Interest() }

// Stop ends the timers and destroys the scripts.
func (p *scripts) Stop(ctx context.Context) error {
	p.unfollow()
	p.console.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.now.Load()
	g.end()
	if g.failed != nil {
		return nil
	}
	return g.set.Destroy(ctx)
}

// Reconfigure switches to another configuration.
func (p *scripts) Reconfigure(ctx context.Context, s *pluginapi.Setup) error {
	p.unfollow()
	err := func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		g, err := p.prepare(ctx, s)
		if err != nil {
			return err
		}
		return p.take(ctx, g)
	}()
	p.follow(ctx, p.now.Load())
	p.talk(ctx, p.now.Load())
	return err
}

// talk opens or closes the console as the configuration wants it.
func (p *scripts) talk(ctx context.Context, g *generation) {
	switch {
	case g.config.REPL && p.console == nil:
		p.console = openConsole(ctx, p)
	case !g.config.REPL:
		p.console.close()
		p.console = nil
	}
}

// take puts a generation in the place of the one that runs: the old is
// destroyed, the new initialised, and from then on it decides. Until then the
// old one does. If the new one fails, the old is initialised again and stays. mu
// is held.
func (p *scripts) take(ctx context.Context, g *generation) error {
	old := p.now.Load()
	old.end()
	if old.failed == nil {
		if err := old.set.Destroy(ctx); err != nil {
			p.failures.note(err)
		}
	}
	if err := p.initialize(ctx, g.set); err != nil {
		again := &generation{set: old.set, config: old.config, seen: old.seen, ready: make(chan struct{})}
		p.begin(ctx, again)
		<-again.ready
		p.now.Store(again)
		return errors.Join(problems(err)...)
	}
	close(g.ready)
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.cancel = cancel
	g.ended.Go(func() { g.set.RunTimers(background, p.failures.note) })
	p.now.Store(g)
	p.broken.Store(nil)
	return nil
}
