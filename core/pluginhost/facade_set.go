package pluginhost

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// facades are the hooks of one slot. They exist as long as the slot does. Their
// methods may be called from any goroutine at any time, bound or not.
type facades struct {
	slot *slot
	log  *slog.Logger

	// bindings are those of the instance in the slot and of its predecessor
	// while that answers what it has. The slot's mutex orders changes; the
	// slice is replaced.
	bindings atomic.Pointer[[]*binding]

	intercepts streamStats
	observes   observeStats
	illegal    atomic.Uint64 // illegal answers to single calls

	generations atomic.Uint64 // bindings so far

	validator *validatorFacade
	observer  *observerFacade
	store     *storeFacade

	// latest is for the interests of the latest binding. The slot's mutex
	// orders changes.
	latest atomic.Pointer[interceptorFacade]
}

// newFacades makes the facades of a slot. They are not bound.
func newFacades(s *slot, log *slog.Logger) *facades {
	f := &facades{slot: s, log: log}
	f.bindings.Store(new([]*binding))
	f.validator = &validatorFacade{set: f}
	f.observer = &observerFacade{set: f}
	f.store = &storeFacade{set: f}
	f.latest.Store(&interceptorFacade{set: f, interests: interceptions(nil, false)})
	return f
}

// interceptor is the facade for the interests of the latest binding. It stays
// the same while those do, whatever instances come and go.
func (f *facades) interceptor() *interceptorFacade { return f.latest.Load() }

// bind lets the facades call in, whose interests are given. It does not block:
// streams open lazily. The error names the interest that makes no sense.
func (f *facades) bind(in *instance, interest []*pluginv1.HookInterest) (*binding, error) {
	list, err := interestsFromProto(interest)
	if err != nil {
		return nil, err
	}
	b := newBinding(in, newPayloadPlan(list))
	b.generation = f.generations.Add(1)
	chosen := interceptions(list, in.init.GetCapabilities().GetCompleteInterest())
	if b.intercepts = f.latest.Load(); !sameInterests(b.intercepts.interests, chosen) {
		b.intercepts = &interceptorFacade{set: f, interests: chosen}
		f.latest.Store(b.intercepts)
	}
	if in.init.GetCapabilities().GetInterceptStream() {
		b.coalescer = newCoalescer(in.conn, &f.intercepts, func(cause error, inARow int) { f.fault(in, cause, inARow) })
		b.coalescer.start()
	}
	if in.init.GetCapabilities().GetObserveStream() {
		b.tap = &tapStream{conn: in.conn, lost: &f.observer.adrift, fault: in.offend}
	}
	f.bindings.Store(new(append(slices.Clone(*f.bindings.Load()), b)))
	return b, nil
}

// maxFaults is how many streams in a row may end with an illegal answer before
// the plugin is given up.
const maxFaults = 5

// fault is told of a stream that ended with an illegal answer. The pause between
// streams keeps it from filling the log.
func (f *facades) fault(in *instance, cause error, inARow int) {
	f.log.Warn("interceptor gave an illegal answer, its stream is closed", slog.Any("error", cause))
	in.offend(cause)
	if inARow >= maxFaults {
		in.fail(fmt.Errorf("it keeps giving illegal answers: %w", cause))
	}
}

// bindingsOf are the bindings of an instance: one, or two while it changes its
// interests.
func (f *facades) bindingsOf(in *instance) []*binding {
	var list []*binding
	for _, b := range *f.bindings.Load() {
		if b.in == in {
			list = append(list, b)
		}
	}
	return list
}

// unbind ends every outstanding call of b with [hook.ErrLost], or, if it was
// not handed over yet, [hook.ErrUnavailable]. It waits for nothing outside this
// process; when it returns, no goroutine is left of what bind began.
func (f *facades) unbind(b *binding) {
	list := *f.bindings.Load()
	i := slices.Index(list, b)
	if i < 0 {
		return
	}
	f.bindings.Store(new(slices.Delete(slices.Clone(list), i, i+1)))
	b.end()
}

// enter is the binding to call, which stays until [binding.leave]: the current
// one, or, for a call that was chosen by other interests than its, an older one
// of those interests as long as that takes calls. A nil chosen goes to the
// current one. The error wraps [hook.ErrUnavailable].
func (f *facades) enter(chosen *interceptorFacade) (*binding, error) {
	for {
		t := f.slot.state.Load()
		if t.bound == nil {
			return nil, f.slot.absent(t)
		}
		if chosen != nil && t.bound.intercepts != chosen {
			if b := f.enterOlder(chosen); b != nil {
				return b, nil
			}
		}
		if err := t.bound.in.err(); err != nil {
			return nil, f.slot.over(t.bound.in, err)
		}
		if t.bound.enter() {
			return t.bound, nil
		}
		if f.slot.state.Load() == t {
			return nil, f.slot.unavailable(errGone)
		}
	}
}

// enterOlder enters a binding of certain interests that is not current any more.
func (f *facades) enterOlder(chosen *interceptorFacade) *binding {
	for _, b := range *f.bindings.Load() {
		if b.intercepts == chosen && b.in.err() == nil && b.enter() {
			return b
		}
	}
	return nil
}

// generation tells apart what the plugin was and what it is; see
// [hook.Generational].
func (f *facades) generation() uint64 {
	b := f.slot.state.Load().bound
	if b == nil || b.in.err() != nil {
		return 0
	}
	return b.generation
}

// counted counts an illegal answer to a single call. Those that broke a stream
// are counted where it breaks: once, not for every caller.
func (f *facades) counted(err error) error {
	if errors.Is(err, hook.ErrProtocol) {
		f.illegal.Add(1)
	}
	return err
}

// interests converts what a plugin asked for.
func interests(interest []*pluginv1.HookInterest) []hook.Interest {
	list, err := interestsFromProto(interest)
	if err != nil {
		return nil
	}
	return list
}

// trafficStats is what went over the streams of a plugin, for its status.
type trafficStats struct {
	Streams        uint64 // streams opened for interception
	Frames         uint64 // frames sent on them
	Items          uint64 // calls in them
	Late           uint64 // answers that came when nobody waited any more
	ProtocolErrors uint64 // illegal answers
	QueuedBytes    int    // what waits to be sent, up to MaxQueuedBytes
	FramesAway     int    // frames whose answers are waited for, up to MaxFramesAway
	Events         uint64 // events that an observer was told
	EventsLost     uint64 // events that it was not, or perhaps not, told
}

// stats reads the counters.
func (f *facades) stats() trafficStats {
	s := trafficStats{
		Streams:        f.intercepts.streams.Load(),
		Frames:         f.intercepts.frames.Load(),
		Items:          f.intercepts.items.Load(),
		Late:           f.intercepts.late.Load(),
		ProtocolErrors: f.intercepts.protocolErrors.Load() + f.illegal.Load(),
		Events:         f.observes.events.Load(),
		EventsLost:     f.observes.lost.Load() + f.observer.adrift.Load() + f.observes.overflowed.Load(),
	}
	for _, b := range *f.bindings.Load() {
		if b.coalescer != nil {
			queued, away := b.coalescer.depth()
			s.QueuedBytes += queued
			s.FramesAway += away
		}
	}
	return s
}
