package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// Host runs plugins. Make one with [New]; call Start once and then Stop once.
// The other methods may be called from many goroutines at any time.
type Host struct {
	options  Options
	log      *slog.Logger
	onChange func(Bindings)
	timing   timing
	api      atomic.Pointer[ServerAPI]

	shadowing *shadowing // nil unless Shadow made the host

	// Set by Start before any goroutine begins.
	disabled *disablings
	dirs     *runDir
	guard    *guard
	launch   func(*member)        // runs the supervisor of a plugin
	dirty    chan struct{}        // holds a token when bindings may have changed
	flush    chan chan<- struct{} // who waits until they have been told

	// store keeps retained messages; nil if no plugin does.
	store atomic.Pointer[supervisor]

	// wanted is the plugin that is to keep them, whatever others there are;
	// [noPlugin] if none is to; "" if there is no wish.
	wanted atomic.Pointer[string]

	// changing holds a token while the plugins are being changed.
	changing chan struct{}

	running sync.WaitGroup // the supervisors, and who looks for plugins
	quit    chan struct{}  // ends publishing
	told    sync.WaitGroup // the publisher
	stopped sync.Once

	mu      sync.Mutex         // guards the fields below
	members []*member          // every plugin, in order; replaced, not changed
	configs []Config           // as they are in force
	started bool               // Start has succeeded
	end     context.CancelFunc // ends all plugins, gently; nil before Start
	halt    context.CancelFunc // at once
}

// New makes a host. It starts nothing.
func New(o Options) (*Host, error) {
	var errs []error
	if o.RunDir == "" {
		errs = append(errs, errors.New("plugin host: RunDir is not set"))
	}
	if o.DataDir == "" {
		errs = append(errs, errors.New("plugin host: DataDir is not set"))
	}
	for i := range o.Plugins {
		if err := o.Plugins[i].check(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	h := &Host{
		options: o, log: o.Logger, onChange: o.OnChange, timing: defaultTiming,
		dirty: make(chan struct{}, 1), flush: make(chan chan<- struct{}), quit: make(chan struct{}),
		changing: make(chan struct{}, 1), configs: o.Plugins,
	}
	h.wanted.Store(&o.Store)
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.onChange == nil {
		h.onChange = func(Bindings) {}
	}
	return h, nil
}

// Start finds and launches all plugins at once. It returns when every required
// plugin is Ready and each of the others either is or failed once. If a
// required one fails, the error names it, says what went wrong and what to do,
// everything is stopped again, and the host can't be used any more. ctx bounds
// Start only.
func (h *Host) Start(ctx context.Context) (Bindings, error) {
	seen, err := search(h.options.PluginDir, slog.New(slog.DiscardHandler))
	if err != nil {
		return Bindings{}, err
	}
	all, err := discover(h.options.PluginDir, h.options.Plugins, h.log)
	if err != nil {
		return Bindings{}, err
	}
	if h.disabled, err = readDisablings(h.options.DataDir); err != nil {
		return Bindings{}, err
	}
	if h.dirs, err = openRunDir(h.options.RunDir, h.log); err != nil {
		return Bindings{}, err
	}
	if len(all) > 0 {
		h.guard = startGuard(h.log)
	}
	life := h.prepare(ctx)
	for _, f := range all {
		m, wanted := h.firstMember(f)
		if wanted {
			h.employ(m)
		}
		h.put(m)
	}
	if err := h.settle(ctx); err != nil {
		return Bindings{}, errors.Join(err, h.Stop(context.WithoutCancel(ctx)))
	}
	b := h.bindings(nil)
	h.told.Go(func() { h.publish(b, h.quit) })
	if h.options.PluginDir != "" {
		h.running.Go(func() { h.watchDir(life, seen) })
	}
	h.mu.Lock()
	h.started = true
	h.mu.Unlock()
	return b, nil
}

// prepare makes what supervisors need, and the contexts under which they run.
func (h *Host) prepare(ctx context.Context) (life context.Context) {
	l := &launcher{
		dirs: h.dirs, guard: h.guard, pins: newPins(&h.options, h.shadowing, h.log), dataDir: h.options.DataDir,
		version: h.options.Version, logLevel: cmp.Or(h.options.LogLevel, "info"), now: time.Now, timing: h.timing,
		api: &h.api, watch: h.options.Watch, shadowing: h.shadowing,
	}
	ctx = context.WithoutCancel(ctx)
	halted, halt := context.WithCancel(ctx)
	life, end := context.WithCancel(ctx)
	h.launch = func(m *member) {
		own, dismiss := context.WithCancelCause(life)
		m.dismiss = dismiss
		m.supervisor = newSupervisor(m.found, l, h.log, h.changed, h.publishNow)
		m.supervisor.spare = func() bool { return h.spare(m.Name) }
		h.running.Go(func() {
			defer dismiss(nil)
			m.supervisor.run(own, halted)
		})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end, h.halt = end, halt
	return life
}

// settle waits until it is known of every plugin how its start went.
func (h *Host) settle(ctx context.Context) error {
	for _, m := range h.list() {
		if m.supervisor == nil {
			continue
		}
		select {
		case <-m.supervisor.settled:
		case <-ctx.Done():
			return fmt.Errorf("plugin %s did not start in time: %w", m.Name, context.Cause(ctx))
		}
	}
	var errs []error
	for _, m := range h.list() {
		s := m.supervisor
		if s == nil {
			continue
		}
		if s.required() && !s.serves() {
			if f := s.lastFailure(); f != nil {
				errs = append(errs, f)
			}
		}
	}
	return errors.Join(append(errs, h.chooseStore())...)
}

// Stop stops all plugins at once: each may finish what it has and is then asked
// to exit, ever less gently. It is bounded by about twelve seconds, and ends
// everything by force when ctx ends; the error is then ctx's. When it returns no
// process is left. Call it after Start has returned; it may be called again.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	end, halt := h.end, h.halt
	h.mu.Unlock()
	if end == nil {
		return nil // it did not start
	}
	defer context.AfterFunc(ctx, halt)()
	end()
	h.stopped.Do(func() {
		h.changing <- struct{}{} // for good: nothing is started any more
		h.running.Wait()
		halt()
		close(h.quit)
		h.told.Wait()
		h.guard.close()
		h.dirs.close()
	})
	return context.Cause(ctx)
}

// Plugins tells of all plugins, disabled ones too, in their order.
func (h *Host) Plugins() []Status {
	all := h.list()
	out := make([]Status, len(all))
	for i, m := range all {
		out[i] = m.status()
	}
	return out
}

// Plugin tells of one plugin; false if there is none of that name.
func (h *Host) Plugin(name string) (Status, bool) {
	if m := h.find(name); m != nil {
		return m.status(), true
	}
	return Status{}, false
}

var _ hook.Waiter = (*slot)(nil)
