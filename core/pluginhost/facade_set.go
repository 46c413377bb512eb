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

// facades are the hooks of one slot. They exist as long as the slot does and
// keep their identity over restarts of the plugin. Their methods may be called
// from any goroutine at any time, bound or not.
type facades struct {
	slot *slot
	log  *slog.Logger

	// bindings are those of the instance in the slot and, for a moment, of its
	// predecessor. The slot's mutex orders changes; the slice is replaced.
	bindings atomic.Pointer[[]*binding]

	intercepts streamStats
	observes   observeStats
	illegal    atomic.Uint64 // illegal answers to single calls

	generations atomic.Uint64 // bindings so far

	validator   *validatorFacade
	interceptor *interceptorFacade
	observer    *observerFacade
	store       *storeFacade
}

// newFacades makes the facades of a slot. They are not bound.
func newFacades(s *slot, log *slog.Logger) *facades {
	f := &facades{slot: s, log: log}
	f.bindings.Store(new([]*binding))
	f.validator = &validatorFacade{set: f}
	f.interceptor = &interceptorFacade{f}
	f.observer = &observerFacade{set: f}
	f.store = &storeFacade{f}
	return f
}

// bind lets the facades call in. It does not block: streams open lazily. The
// error names the interest that makes no sense.
func (f *facades) bind(in *instance) error {
	list, err := interestsFromProto(in.init.GetInterest())
	if err != nil {
		return err
	}
	b := newBinding(in, newPayloadPlan(list))
	b.generation = f.generations.Add(1)
	if in.init.GetCapabilities().GetInterceptStream() {
		b.coalescer = newCoalescer(in.conn, &f.intercepts, func(cause error, inARow int) { f.fault(in, cause, inARow) })
		b.coalescer.start()
	}
	if in.init.GetCapabilities().GetObserveStream() {
		b.tap = &tapStream{conn: in.conn, lost: &f.observer.adrift}
	}
	f.bindings.Store(new(append(slices.Clone(*f.bindings.Load()), b)))
	return nil
}

// maxFaults is how many streams in a row may end with an illegal answer before
// the plugin is given up.
const maxFaults = 5

// fault is told of a stream that ended with an illegal answer. The pause between
// streams keeps it from filling the log.
func (f *facades) fault(in *instance, cause error, inARow int) {
	f.log.Warn("interceptor gave an illegal answer, its stream is closed", slog.Any("error", cause))
	if inARow >= maxFaults {
		in.fail(fmt.Errorf("it keeps giving illegal answers: %w", cause))
	}
}

// unbind ends every outstanding call to in with [hook.ErrLost], or, if it was
// not handed over yet, [hook.ErrUnavailable]. It waits for nothing outside this
// process; when it returns, no goroutine is left of what bind began.
func (f *facades) unbind(in *instance) {
	list := *f.bindings.Load()
	i := slices.IndexFunc(list, func(b *binding) bool { return b.in == in })
	if i < 0 {
		return
	}
	b := list[i]
	f.bindings.Store(new(slices.Delete(slices.Clone(list), i, i+1)))
	b.end()
}

// current is the binding to call. The error wraps [hook.ErrUnavailable].
func (f *facades) current() (*binding, error) {
	in, err := f.slot.current()
	if err != nil {
		return nil, err
	}
	for _, b := range *f.bindings.Load() {
		if b.in == in {
			return b, nil
		}
	}
	return nil, f.slot.unavailable(errGone)
}

// generation tells apart what the plugin was and what it is; see
// [hook.Generational].
func (f *facades) generation() uint64 {
	b, err := f.current()
	if err != nil {
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

// interests converts what a plugin asked for at Init.
func interests(init *pluginv1.InitResponse) []hook.Interest {
	list, err := interestsFromProto(init.GetInterest())
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
	QueuedBytes    int    // what waits to be sent
	FramesAway     int    // frames whose answers are waited for
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
		EventsLost:     f.observes.lost.Load() + f.observer.adrift.Load(),
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
