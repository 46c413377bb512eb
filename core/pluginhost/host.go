package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
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

	// Set by Start before any goroutine begins.
	dirs        *runDir
	guard       *guard
	supervisors []*supervisor // in order, disabled ones left out
	dirty       chan struct{} // holds a token when bindings may have changed

	// store keeps retained messages. Start sets it, then only publish does.
	store *supervisor

	running sync.WaitGroup // the supervisors
	quit    chan struct{}  // ends publishing
	told    sync.WaitGroup // the publisher
	stopped sync.Once

	mu   sync.Mutex         // guards the fields below
	all  []reading          // every plugin, for its status
	end  context.CancelFunc // ends all plugins, gently; nil before Start
	halt context.CancelFunc // at once
}

// reading is a plugin that has a status.
type reading struct {
	found
	supervisor *supervisor // nil if it is disabled
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
		dirty: make(chan struct{}, 1), quit: make(chan struct{}),
	}
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
	all, err := discover(h.options.PluginDir, h.options.Plugins, h.log)
	if err != nil {
		return Bindings{}, err
	}
	if h.dirs, err = openRunDir(h.options.RunDir, h.log); err != nil {
		return Bindings{}, err
	}
	if len(all) > 0 {
		h.guard = startGuard(h.log)
	}
	life, halted := h.launchAll(ctx, all)
	for _, s := range h.supervisors {
		h.running.Go(func() { s.run(life, halted) })
	}
	if err := h.settle(ctx); err != nil {
		return Bindings{}, errors.Join(err, h.Stop(context.WithoutCancel(ctx)))
	}
	b := h.bindings()
	h.told.Go(func() { h.publish(b, h.quit) })
	return b, nil
}

// launchAll makes the supervisors, and the contexts under which they run.
func (h *Host) launchAll(ctx context.Context, all []found) (life, halted context.Context) {
	l := &launcher{
		dirs: h.dirs, guard: h.guard, dataDir: h.options.DataDir, version: h.options.Version,
		logLevel: cmp.Or(h.options.LogLevel, "info"), now: time.Now, timing: h.timing,
	}
	changed := func() {
		select {
		case h.dirty <- struct{}{}:
		default:
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range all {
		r := reading{found: f}
		if f.enabled() {
			r.supervisor = newSupervisor(f, l, h.log, changed)
			h.supervisors = append(h.supervisors, r.supervisor)
		}
		h.all = append(h.all, r)
	}
	ctx = context.WithoutCancel(ctx)
	halted, h.halt = context.WithCancel(ctx)
	life, h.end = context.WithCancel(ctx)
	return life, halted
}

// settle waits until it is known of every plugin how its start went.
func (h *Host) settle(ctx context.Context) error {
	for _, s := range h.supervisors {
		select {
		case <-s.settled:
		case <-ctx.Done():
			return fmt.Errorf("plugin %s did not start in time: %w", s.Name, context.Cause(ctx))
		}
	}
	var errs []error
	for _, s := range h.supervisors {
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
	h.mu.Lock()
	all := h.all
	h.mu.Unlock()
	out := make([]Status, len(all))
	for i := range all {
		out[i] = all[i].status()
	}
	return out
}

// Plugin tells of one plugin; false if there is none of that name.
func (h *Host) Plugin(name string) (Status, bool) {
	h.mu.Lock()
	all := h.all
	h.mu.Unlock()
	for i := range all {
		if all[i].Name == name {
			return all[i].status(), true
		}
	}
	return Status{}, false
}

func (r *reading) status() Status {
	out := Status{
		Name: r.Name, Path: filepath.Clean(r.place.String()), Order: r.Order, State: Stopped,
		Health: "it is disabled by the configuration", Validator: r.Validator, Interceptor: r.Interceptor,
	}
	s := r.supervisor
	if s == nil {
		return out
	}
	s.read(&out)
	out.Required = s.required()
	out.Traffic = Traffic(s.slot.facades.stats())
	out.Calls = append(s.validatorCalls.Read(), s.interceptorCalls.Read()...)
	return out
}

var _ hook.Waiter = (*slot)(nil)
