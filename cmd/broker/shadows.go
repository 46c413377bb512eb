package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/shadow"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// shadows are the second versions of plugins that run beside them. Its methods
// may be called from many goroutines.
type shadows struct {
	log   *slog.Logger
	host  *pluginhost.Host
	hooks *hook.Hooks
	life  context.Context //nolint:containedctx // of all shadows; stop ends it
	end   context.CancelCauseFunc
	all   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	running map[string]*shadowed
	closed  bool
}

func newShadows(log *slog.Logger, host *pluginhost.Host, hooks *hook.Hooks) *shadows {
	s := &shadows{log: log, host: host, hooks: hooks, running: make(map[string]*shadowed)}
	s.life, s.end = context.WithCancelCause(context.Background())
	return s
}

// shadowWish is what is to be a shadow.
type shadowWish struct {
	plugin     string
	config     pluginhost.ShadowConfig
	lasts      time.Duration // 0: it is not ended by itself
	configured bool          // by the configuration: it is started even if it fails at first
}

// shadowed is one shadow.
type shadowed struct {
	wish        shadowWish
	since       time.Time
	host        *pluginhost.Host
	compared    *shadow.Shadow
	differences *differences

	end   context.CancelCauseFunc
	ready chan struct{} // closed when it is asked, or failed
	over  chan struct{} // closed when nothing of it runs

	failure error           // why it does not run; written before ready is closed
	last    *adminv1.Shadow // how it was at its end; written before over is closed

	mu    sync.Mutex // guards bound
	bound bool       // newer bindings than those of the start came
}

// The causes for which shadows end.
var (
	errShadowStopped = errors.New("the shadow was stopped")
	errShadowTime    = errors.New("the shadow's time is over")
)

// start starts a shadow, and returns it before it is ready. The error says why it
// can't be.
func (s *shadows) start(w shadowWish) (*shadowed, error) {
	if _, ok := s.host.Plugin(w.plugin); !ok {
		return nil, fmt.Errorf("there is no plugin %q: %w", w.plugin, admin.ErrUnknown)
	}
	x := &shadowed{
		wish: w, since: time.Now(), differences: newDifferences(), ready: make(chan struct{}), over: make(chan struct{}),
	}
	x.compared = shadow.New(shadow.Options{Hook: w.plugin, Same: sameCall, Differ: x.differ})
	var err error
	if x.host, err = s.host.Shadow(w.plugin, w.config, x.rebind(s.hooks)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old := s.running[w.plugin]; {
	case s.closed:
		return nil, errStops
	case old != nil:
		return nil, fmt.Errorf("plugin %s has a shadow, %s, already: \"broker plugin shadow %[1]s --stop\" ends it", w.plugin, old.path())
	}
	s.running[w.plugin] = x
	var life context.Context
	life, x.end = context.WithCancelCause(s.life)
	s.all.Go(func() {
		defer x.end(nil)
		defer close(x.over)
		defer s.forget(x)
		x.run(life, s.hooks, s.log)
	})
	return x, nil
}

func (s *shadows) forget(x *shadowed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[x.wish.plugin] == x {
		delete(s.running, x.wish.plugin)
	}
}

// find is the shadow of a plugin.
func (s *shadows) find(plugin string) (*shadowed, error) {
	if _, ok := s.host.Plugin(plugin); !ok {
		return nil, fmt.Errorf("there is no plugin %q: %w", plugin, admin.ErrUnknown)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.running[plugin]; x != nil {
		return x, nil
	}
	return nil, fmt.Errorf("plugin %s has no shadow: %w", plugin, admin.ErrUnknown)
}

// stop ends all shadows and waits for that.
func (s *shadows) stop() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end(errStops)
	s.all.Wait()
}

// configure starts the shadows that a configuration names, ends those that it
// does not name any more, and replaces those of which it says something else. It
// does not wait for their starts.
func (s *shadows) configure(plugins map[string]pluginConfig) {
	s.mu.Lock()
	var gone []*shadowed
	for name, x := range s.running {
		if x.wish.configured && (plugins[name].Shadow == nil || !reflect.DeepEqual(x.wish, plugins[name].Shadow.wish(name))) {
			gone = append(gone, x)
		}
	}
	s.mu.Unlock()
	for _, x := range gone {
		x.end(errShadowStopped)
		<-x.over
	}
	for name, p := range plugins {
		if p.Shadow == nil {
			continue
		}
		if old, err := s.find(name); err == nil && old.wish.configured {
			continue
		}
		if _, err := s.start(p.Shadow.wish(name)); err != nil {
			s.log.Error("shadow of plugin does not start", slog.String("plugin", name), slog.Any("error", err))
		}
	}
}

func (c *shadowConfig) wish(plugin string) shadowWish {
	w := shadowWish{plugin: plugin, config: pluginhost.ShadowConfig{Path: c.Path, Attach: c.Attach}, configured: true}
	if c.Config != nil {
		if text, err := json.Marshal(c.Config); err == nil { // it came from YAML's plain values
			w.config.Config = text
		}
	}
	return w
}

// run starts the second version, has it asked until life ends, and stops it.
func (x *shadowed) run(life context.Context, hooks *hook.Hooks, log *slog.Logger) {
	log = log.With(slog.String("plugin", x.wish.plugin), slog.String("path", x.path()))
	b, err := x.host.Start(life)
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := x.host.Stop(ctx); err != nil {
			log.Warn("shadow of plugin was stopped by force", slog.Any("error", err))
		}
	}()
	if err == nil {
		err = x.working()
	}
	if x.failure = err; err != nil {
		x.last = x.read()
		close(x.ready)
		log.Error("shadow of plugin does not start", slog.Any("error", err))
		return
	}
	x.bindFirst(b, hooks)
	comparing, endComparing := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	asking.Go(func() { x.compared.Run(comparing) })
	remove := hooks.Watch().Add(x.compared)
	close(x.ready)
	log.Info("shadow of plugin is asked the same as the plugin")

	x.await(life)
	remove()
	draining, endDraining := context.WithTimeout(context.Background(), drainTimeout)
	x.compared.Drain(draining)
	endDraining()
	endComparing()
	asking.Wait()
	x.last = x.read()
	sum := x.compared.Read().Sum()
	log.Info("shadow of plugin ends", slog.Any("cause", context.Cause(life)), slog.Uint64("same", sum.Same), slog.Uint64("differ", sum.Differ))
}

// drainTimeout bounds how long a shadow that ends may take for what it has seen.
const drainTimeout = 2 * time.Second

// await waits until the shadow is to end.
func (x *shadowed) await(life context.Context) {
	if x.wish.lasts == 0 {
		<-life.Done()
		return
	}
	timer := time.NewTimer(x.wish.lasts)
	defer timer.Stop()
	select {
	case <-life.Done():
	case <-timer.C:
		x.end(errShadowTime)
	}
}

// working says why the second version does not; one that the configuration names
// may still learn to.
func (x *shadowed) working() error {
	st, ok := x.host.Plugin(x.wish.plugin)
	if !ok || x.wish.configured || st.State == pluginhost.Ready || st.State == pluginhost.Degraded {
		return nil
	}
	if n := len(st.Failures); n > 0 {
		return &st.Failures[n-1]
	}
	return fmt.Errorf("plugin %s: the shadow is %s", x.wish.plugin, st.State)
}

// rebind has bindings that change asked in place of the old ones.
func (x *shadowed) rebind(hooks *hook.Hooks) func(pluginhost.Bindings) {
	return func(b pluginhost.Bindings) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.bound = true
		x.bind(b, hooks)
	}
}

// bindFirst has the bindings of the start asked, unless there are newer ones.
func (x *shadowed) bindFirst(b pluginhost.Bindings, hooks *hook.Hooks) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.bound {
		x.bind(b, hooks)
	}
}

func (x *shadowed) bind(b pluginhost.Bindings, hooks *hook.Hooks) {
	x.compared.Bind(b.Validators, b.Interceptors, b.Observers, hooks.Presence())
}

// path is where the second version is.
func (x *shadowed) path() string { return cmp.Or(x.wish.config.Path, x.wish.config.Attach) }

// sameCall compares what the two versions answered.
func sameCall(first, second *trace.Call) bool {
	return sameAnswer(watchedCall(first), watchedCall(second))
}

// differ keeps two answers that differ, for whoever follows.
func (x *shadowed) differ(first, second *trace.Call) {
	d := &adminv1.ShadowDifference{Plugin: watchedCall(first), Shadow: watchedCall(second)}
	redact(d.GetPlugin(), adminv1.Redaction_REDACTION_SECRETS)
	redact(d.GetShadow(), adminv1.Redaction_REDACTION_SECRETS)
	x.differences.add(d)
}

// read tells how the shadow does.
func (x *shadowed) read() *adminv1.Shadow {
	out := &adminv1.Shadow{
		Plugin: x.wish.plugin, Path: x.path(), SinceUnixNanos: x.since.UnixNano(), Configured: x.wish.configured,
		RefusedChanges: x.host.RefusedChanges(), LeftOut: make(map[string]uint64),
	}
	if x.wish.lasts > 0 {
		out.UntilUnixNanos = x.since.Add(x.wish.lasts).UnixNano()
	}
	if st, ok := x.host.Plugin(x.wish.plugin); ok {
		p := pluginOf(&st)
		out.Version, out.State, out.Pid, out.Restarts, out.LastFailure, out.Socket = p.GetVersion(), p.GetState(), p.GetPid(),
			p.GetRestarts(), p.GetLastFailure(), p.GetSocket()
	}
	counts := x.compared.Read()
	for p := range hook.NumPoints {
		if o := counts.Hooks[p]; o != (shadow.Outcomes{}) {
			out.Hooks = append(out.Hooks, &adminv1.ShadowHook{Hook: p.String(), Same: o.Same, Differ: o.Differ, Failed: o.Failed})
		}
	}
	for why, n := range counts.Left {
		out.LeftOut[string(why)] = n
	}
	out.Events = counts.Events
	return out
}

// shadowPath tells a path from the address of one that somebody else runs.
func shadowPath(path string) pluginhost.ShadowConfig {
	if strings.HasPrefix(path, "unix:") {
		return pluginhost.ShadowConfig{Attach: path}
	}
	return pluginhost.ShadowConfig{Path: path}
}
