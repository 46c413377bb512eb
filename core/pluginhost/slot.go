package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// slot is a plugin's place: it stays while instances come and go. current and
// WaitReady may be called from any goroutine.
//
// Instances follow each other in two ways. After [slot.vacate] the calls of the
// old one have ended before the new one gets any. With [slot.install] beside an
// old one, new calls go to the new instance at once, while the old one still
// answers those that it has; [slot.shut] and [slot.vacate] then let it go. The
// old one may also stand by for a while, and come back with [slot.occupy].
type slot struct {
	name    string
	log     *slog.Logger // carries the attribute plugin
	facades *facades

	state atomic.Pointer[tenancy]

	// mu orders changes of state and of the facades' bindings. It is held over
	// bind and unbind, which do not block.
	mu sync.Mutex
}

// tenancy is who is in a slot until something changes.
type tenancy struct {
	bound   *binding // nil if there is nobody
	vacancy vacancy  // what becomes of calls then
	reason  error    // why there is nobody

	changed chan struct{} // closed by the next tenancy
}

// vacancy says what becomes of calls to a slot without an instance.
type vacancy uint8

const (
	awaited  vacancy = iota // an instance may come: the policy decides who waits for it
	paused                  // one is on its way: everybody waits, whatever the policy
	hopeless                // none will come by itself: nobody need wait
	removed                 // the plugin is not asked any more: calls pass as if it had never been
)

var (
	errNotStarted = errors.New("it has not been started")
	errStopping   = errors.New("it is being stopped")
	errReplaced   = errors.New("it is being replaced")
	errRemoved    = errors.New("it was removed")
	errRejected   = errors.New("it showed a defect, and the version before it takes over")
)

// newSlot makes an empty slot with its facades.
func newSlot(name string, log *slog.Logger) *slot {
	s := &slot{name: name, log: log}
	s.state.Store(&tenancy{reason: errNotStarted, changed: make(chan struct{})})
	s.facades = newFacades(s, log)
	return s
}

// current is the instance that gets new calls. The error wraps
// [hook.ErrUnavailable] and says why there is none.
func (s *slot) current() (*instance, error) {
	t := s.state.Load()
	if t.bound == nil {
		return nil, s.absent(t)
	}
	if err := t.bound.in.err(); err != nil {
		return nil, s.over(t.bound.in, err)
	}
	return t.bound.in, nil
}

// WaitReady returns nil as soon as there is an instance. It gives up, with an
// error, when ctx ends, and at once if no instance will come by itself: a
// plugin that failed for good is not worth a client's waiting. It makes the
// slot a [hook.Waiter].
func (s *slot) WaitReady(ctx context.Context) error {
	for {
		t := s.state.Load()
		switch {
		case t.bound != nil && t.bound.in.err() == nil:
			return nil
		case t.bound == nil && t.vacancy == removed:
			return nil // the call is made, and passes
		case t.bound == nil && t.vacancy == hopeless:
			return s.unavailable(t.reason)
		}
		select {
		case <-t.changed:
		case <-ctx.Done():
			_, err := s.current()
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// install lets new calls go to in, with the interests of its Init. See
// [slot.occupy].
func (s *slot) install(in *instance) error { return s.occupy(in, in.init.GetInterest()) }

// occupy binds the facades to in and makes it the current instance. Whoever was
// it before keeps the calls that it has, and goes on getting those that were
// chosen by other interests than these. An error, of interests that make no
// sense, leaves the slot as it was.
func (s *slot) occupy(in *instance, interest []*pluginv1.HookInterest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.facades.bind(in, interest)
	if err != nil {
		return err
	}
	s.change(tenancy{bound: b})
	return nil
}

// shut lets no new call reach b, once another binding is current; those that it
// has may end.
func (s *slot) shut(b *binding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().bound != b {
		b.shut.Store(true)
	}
}

// retire lets no new call reach in; those that it has may end. What becomes of
// new calls is in v.
func (s *slot) retire(in *instance, v vacancy, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.state.Load().bound; b != nil && b.in == in {
		s.change(tenancy{vacancy: v, reason: reason})
	}
	for _, b := range s.facades.bindingsOf(in) {
		b.shut.Store(true)
	}
}

// vacate takes in out of the slot and ends the calls that it has. It does
// nothing to another instance, so that a late call harms no successor.
func (s *slot) vacate(in *instance, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.state.Load().bound; b != nil && b.in == in {
		s.change(tenancy{reason: reason})
	}
	for _, b := range s.facades.bindingsOf(in) {
		s.facades.unbind(b)
	}
}

// release ends a binding that was shut, and the calls that it still has.
func (s *slot) release(b *binding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().bound != b {
		s.facades.unbind(b)
	}
}

// explain replaces the reason why the slot is empty and what becomes of calls.
// It does nothing to a slot with an instance.
func (s *slot) explain(reason error, v vacancy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Load().bound == nil {
		s.change(tenancy{vacancy: v, reason: reason})
	}
}

// change starts a new tenancy. s.mu is held.
func (s *slot) change(t tenancy) {
	t.changed = make(chan struct{})
	old := s.state.Swap(&t)
	close(old.changed)
	s.facades.observer.renew()
}

// absent says why a slot has no instance.
func (s *slot) absent(t *tenancy) error {
	switch t.vacancy {
	case paused:
		return fmt.Errorf("plugin %s: %w: %w: %w", s.name, hook.ErrUnavailable, hook.ErrPaused, t.reason)
	case removed:
		return fmt.Errorf("plugin %s: %w: %w", s.name, hook.ErrUnavailable, errRemoved)
	default:
		return s.unavailable(t.reason)
	}
}

// over says that an instance has ended. While another one stands by, that is no
// more than a moment, and calls wait whatever their policy.
func (s *slot) over(in *instance, reason error) error {
	if in.trial.backed() {
		return fmt.Errorf("plugin %s: %w: %w: %w", s.name, hook.ErrUnavailable, hook.ErrPaused, errRejected)
	}
	return s.unavailable(reason)
}

func (s *slot) unavailable(reason error) error {
	if f := (*Failure)(nil); errors.As(reason, &f) {
		reason = errors.New(f.What) // the name is said once
	}
	return fmt.Errorf("plugin %s: %w: %w", s.name, hook.ErrUnavailable, reason)
}
