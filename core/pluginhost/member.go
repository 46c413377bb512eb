package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// member is a plugin that the host knows. It is not changed once it is in the
// host's list.
type member struct {
	found
	supervisor *supervisor // nil if it was never started
	dismiss    context.CancelCauseFunc

	late bool // came after the start: takes part from its first instance on
	out  bool // takes no part any more: it was disabled, or its files are gone
	off  bool // by somebody's order, not by the configuration

	since time.Time // when that was
}

// employed reports whether the plugin is supervised.
func (m *member) employed() bool { return m.supervisor != nil && !m.out }

// takesPart reports whether the broker is to ask the plugin.
func (m *member) takesPart() bool {
	return m.employed() && (!m.late || m.supervisor.latestInit() != nil)
}

// list is all plugins in their order. It must not be changed.
func (h *Host) list() []*member {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.members
}

// find is the plugin of a name, nil if there is none.
func (h *Host) find(name string) *member {
	for _, m := range h.list() {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// put puts m into the list, in the place of the one of its name.
func (h *Host) put(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(h.members), func(o *member) bool { return o.Name == m.Name })
	next = append(next, m)
	slices.SortFunc(next, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
	h.members = next
}

// drop takes the plugin of a name off the list.
func (h *Host) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.members = slices.DeleteFunc(slices.Clone(h.members), func(o *member) bool { return o.Name == name })
}

// employ begins to supervise a plugin that nobody supervises.
func (h *Host) employ(m *member) {
	m.out, m.off, m.since = false, false, time.Time{}
	h.launch(m)
}

// hire starts a plugin while the host runs, and waits until it is known how that
// went. It takes part only once it works, so that one which never does harms
// nobody.
func (h *Host) hire(ctx context.Context, f found) error {
	if old := h.find(f.Name); old != nil && old.supervisor != nil {
		select {
		case <-old.supervisor.over:
		case <-ctx.Done():
			return fmt.Errorf("plugin %s: its last instance still answers what it had: %w", f.Name, context.Cause(ctx))
		}
	}
	m := &member{found: f, late: true}
	h.employ(m)
	h.put(m)
	s := m.supervisor
	select {
	case <-s.settled:
	case <-ctx.Done():
		return fmt.Errorf("plugin %s: it is still being started: %w", f.Name, context.Cause(ctx))
	}
	if f := s.lastFailure(); f != nil && !s.serves() {
		return f
	}
	h.publishNow(ctx)
	return nil
}

// fire lets a plugin take no part any more, has it answer what it was asked
// before, and stops it. then is what becomes of it in the list; nil: it goes. The
// error says why it stays.
func (h *Host) fire(ctx context.Context, m *member, then *member) error {
	if m.supervisor == h.store.Load() {
		return fmt.Errorf("plugin %s keeps the retained messages: move them to another store first", m.Name)
	}
	if h.options.Permit != nil && m.takesPart() {
		if err := h.options.Permit(h.bindings(m.supervisor)); err != nil {
			return fmt.Errorf("plugin %s can't be left out: %w", m.Name, err)
		}
	}
	if then != nil {
		then.supervisor, then.dismiss, then.out = m.supervisor, m.dismiss, true
		h.put(then)
	} else {
		h.drop(m.Name)
	}
	h.publishNow(ctx)
	m.dismiss(errRemoved)
	select {
	case <-m.supervisor.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("plugin %s is not asked any more and still answers what it had: %w", m.Name, context.Cause(ctx))
	}
}

func (m *member) status() Status {
	out := Status{
		Name: m.Name, Path: filepath.Clean(m.place.String()), Order: m.Order, State: Stopped,
		Health: "it is disabled by the configuration", Validator: m.Validator, Interceptor: m.Interceptor,
	}
	if m.off {
		out.Health = fmt.Sprintf("it was disabled by \"broker plugin disable\" on %s", m.since.Local().Format("2006-01-02 15:04:05"))
		if m.Enabled != nil && *m.Enabled {
			out.Health += ", until the broker starts anew: the configuration says that it is enabled"
		}
	}
	s := m.supervisor
	if s == nil {
		return out
	}
	health := out.Health
	s.read(&out)
	if m.out && out.State == Stopped {
		out.Health = health
	}
	entry := s.settings()
	out.Path, out.Order = filepath.Clean(entry.place.String()), entry.Order
	out.Validator, out.Interceptor = entry.Validator, entry.Interceptor
	out.Required = s.required()
	out.Traffic = Traffic(s.slot.facades.stats())
	out.Calls = append(s.validatorCalls.Read(), s.interceptorCalls.Read()...)
	out.Latencies = slices.Concat(s.validatorCalls.Latencies(), s.interceptorCalls.Latencies(), s.otherCalls.Latencies())
	return out
}

var errNotRunning = errors.New("the plugin host does not run")
