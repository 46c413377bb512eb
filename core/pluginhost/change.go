package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Reload starts a plugin anew, from its files as they are: a new instance is
// started beside the one that serves, takes over once it works, and the old one
// is stopped when it has answered what it had. It returns when the new one has
// taken over; the error says why it did not, in which case the old one goes on.
// A plugin that does not run is started. When ctx ends, what has begun goes on.
func (h *Host) Reload(ctx context.Context, name string) error {
	m, err := h.member(name)
	if err != nil {
		return err
	}
	if !m.employed() {
		return fmt.Errorf("plugin %s does not run: enable it", name)
	}
	return m.supervisor.do(ctx, nil)
}

// Enable starts a plugin that is disabled, whatever the configuration says; an
// "enabled: false" there counts again at the next start. The error says why it
// does not work; it is then tried again as any other. It does nothing to one
// that is enabled.
func (h *Host) Enable(ctx context.Context, name string) error {
	done, err := h.beginChange(ctx)
	if err != nil {
		return err
	}
	defer done()
	m, err := h.member(name)
	if err != nil || m.employed() {
		return err
	}
	if err := h.disabled.set(name, time.Time{}); err != nil {
		return err
	}
	return h.hire(ctx, m.found)
}

// Disable takes a plugin out until it is enabled or the "enabled" of its entry in
// the configuration changes. That outlasts the broker, unless the entry says
// "enabled: true", which counts again at the next start. Nobody waits for it or is
// refused because of that: the calls that it has are answered, and later ones
// don't ask it. The error says why it can't be done without.
func (h *Host) Disable(ctx context.Context, name string) error {
	done, err := h.beginChange(ctx)
	if err != nil {
		return err
	}
	defer done()
	m, err := h.member(name)
	if err != nil || !m.employed() {
		return err
	}
	now := time.Now().UTC().Truncate(time.Second)
	err = h.fire(ctx, m, &member{found: m.found, off: true, since: now})
	if m := h.find(name); m != nil && m.off && m.Enabled == nil {
		err = errors.Join(err, h.disabled.set(name, now))
	}
	return err
}

// Configure puts other entries in force, as a start with them would have, and
// returns when that is done. A plugin whose entry did not change is left alone;
// one whose own configuration changed is reconfigured if it can be, or else
// replaced. Each error says what did not succeed; that plugin then goes on
// under its old entry. When the entries make no sense by themselves, nothing is
// changed at all.
//
// between, if not nil, is called once everything that is wanted runs, and before
// what is not wanted goes: there messages can be moved from one store to
// another. Its error is one more, and stops nothing.
func (h *Host) Configure(ctx context.Context, configs []Config, between func(context.Context) error) error {
	done, err := h.beginChange(ctx)
	if err != nil {
		return err
	}
	defer done()
	all, err := discover(h.options.PluginDir, configs, h.log)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.configs = slices.Clone(configs)
	h.mu.Unlock()
	return h.reconcile(ctx, all, between)
}

// beginChange waits for its turn to change the plugins. done ends the turn.
func (h *Host) beginChange(ctx context.Context) (done func(), err error) {
	select {
	case h.changing <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("plugins are being changed: %w", context.Cause(ctx))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started {
		<-h.changing
		return nil, errNotRunning
	}
	return func() { <-h.changing }, nil
}

// member finds a plugin; the error names those that there are.
func (h *Host) member(name string) (*member, error) {
	if m := h.find(name); m != nil {
		return m, nil
	}
	var names []string
	for _, m := range h.list() {
		names = append(names, m.Name)
	}
	return nil, fmt.Errorf("%w %q; there is: %s", ErrUnknown, name, cmp.Or(strings.Join(names, ", "), "nothing"))
}

// ErrUnknown says that there is no plugin of a name.
var ErrUnknown = errors.New("there is no plugin")

// reconcile makes the plugins those that are wanted: what is new is started, and
// what stays is changed, at the same time, because each may take a while; then
// what goes is stopped.
func (h *Host) reconcile(ctx context.Context, wanted []found, between func(context.Context) error) error {
	names := make(map[string]bool)
	var leaving []found
	var wg sync.WaitGroup
	errs := make([]error, len(wanted))
	for i, f := range wanted {
		names[f.Name] = true
		if m := h.find(f.Name); m != nil && m.employed() && !f.enabled() && m.enabled() {
			leaving = append(leaving, f)
			continue
		}
		wg.Go(func() { errs[i] = h.alter(ctx, f) })
	}
	wg.Wait()
	if between != nil {
		errs = append(errs, between(ctx))
	}
	for _, f := range leaving {
		errs = append(errs, h.fire(ctx, h.find(f.Name), &member{found: f}))
	}
	for _, m := range h.list() {
		if names[m.Name] {
			continue
		}
		if !m.employed() {
			h.drop(m.Name)
			continue
		}
		h.log.Info("plugin was removed", slog.String("plugin", m.Name))
		errs = append(errs, h.fire(ctx, m, nil))
	}
	return errors.Join(errs...)
}

// alter puts one entry in force.
func (h *Host) alter(ctx context.Context, f found) error {
	m := h.find(f.Name)
	switch {
	case m == nil:
		first, wanted := h.firstMember(f)
		if !wanted {
			h.put(first)
			return nil
		}
		h.log.Info("plugin was added", slog.String("plugin", f.Name))
		return h.hire(ctx, f)
	case m.employed():
		return h.adjust(ctx, m, f)
	case f.enabled() && !(m.off && reflect.DeepEqual(m.Enabled, f.Enabled)):
		h.forgetDisabling(f.Name)
		return h.hire(ctx, f)
	default:
		next := *m
		next.found = f
		h.put(&next)
		return nil
	}
}

// adjust puts another entry in force for a plugin that is supervised.
func (h *Host) adjust(ctx context.Context, m *member, f found) error {
	old := m.supervisor.settings()
	if old.named == f.named && old.place.same(f.place) && reflect.DeepEqual(old.Config, f.Config) {
		return nil
	}
	if f.place.err != nil && m.supervisor.serves() {
		// Its files are gone; it needs them only to start again.
		return fmt.Errorf("plugin %s goes on as it is: %w", f.Name, f.place.err)
	}
	if err := m.supervisor.do(ctx, &f); err != nil {
		return err
	}
	next := *m
	next.found = f
	h.put(&next)
	h.publishNow(ctx)
	return nil
}

// watchDir looks for plugins that come and go in the plugin directory, until
// life ends. known are those that were there at the start. A change counts once
// it is the same at two looks.
func (h *Host) watchDir(life context.Context, known map[string]place) {
	quiet := slog.New(slog.DiscardHandler)
	look := time.NewTicker(h.timing.watch)
	defer look.Stop()
	before, failed := known, false
	for {
		select {
		case <-life.Done():
			return
		case <-look.C:
		}
		places, err := search(h.options.PluginDir, quiet)
		if err != nil {
			if !failed {
				h.log.Error("plugin directory can't be searched, plugins stay as they are", slog.Any("error", err))
			}
			failed = true
			continue
		}
		failed = false
		if maps.EqualFunc(places, known, place.same) || !maps.EqualFunc(places, before, place.same) {
			before = places
			continue
		}
		known = places
		h.followDir(life)
	}
}

// followDir puts in force what the plugin directory has now.
func (h *Host) followDir(life context.Context) {
	done, err := h.beginChange(life)
	if err != nil {
		return
	}
	defer done()
	h.mu.Lock()
	configs := h.configs
	h.mu.Unlock()
	all, err := discover(h.options.PluginDir, configs, h.log)
	if err == nil {
		err = h.reconcile(life, all, nil)
	}
	if err != nil && life.Err() == nil {
		h.log.Error("change of the plugin directory was not followed in full", slog.Any("error", err))
	}
}
