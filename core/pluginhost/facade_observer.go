package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

const (
	// observeTimeout bounds one call of Observe: how long a plugin that is away
	// or slow is waited for before events are given up. Meanwhile the observer's
	// ring holds what happens.
	observeTimeout = 5 * time.Second

	// observePause is how long to wait before another try within that time.
	observePause = 20 * time.Millisecond

	maxEventsPerBatch = 256
)

// observerFacade is a plugin's [hook.Observer]. It may take its time, for the
// caller has a goroutine for it and a bounded ring before it. What the plugin
// does not get is counted and told with the next events that it does get.
type observerFacade struct {
	set    *facades
	adrift atomic.Uint64 // events lost with streams, not yet in the books

	renewed atomic.Pointer[func()] // told of another generation; nil: nobody

	// The fields below belong to the goroutine that calls Observe.
	untold  uint64 // lost events that the plugin was not told of
	failing bool
	last    *binding // that was told last
}

var (
	_ hook.Observer  = (*observerFacade)(nil)
	_ hook.Renewable = (*observerFacade)(nil)
)

// Generation implements [hook.Generational].
func (f *observerFacade) Generation() uint64 { return f.set.generation() }

// Lost implements [hook.Renewable].
func (f *observerFacade) Lost() uint64 { return f.set.observes.lost.Load() + f.adrift.Load() }

// OnRenew implements [hook.Renewable].
func (f *observerFacade) OnRenew(renewed func()) { f.renewed.Store(&renewed) }

// renew tells whoever wants to know that another binding is current.
func (f *observerFacade) renew() {
	if tell := f.renewed.Load(); tell != nil {
		(*tell)()
	}
}

// observeStats counts what an observer was told.
type observeStats struct {
	events, lost atomic.Uint64
	overflowed   atomic.Uint64 // lost before the facade was called
}

// Observe tells the plugin; see [hook.Observer]. It is called by one goroutine.
func (f *observerFacade) Observe(ctx context.Context, events []hook.Event, dropped uint64) {
	f.untold += dropped
	f.set.observes.overflowed.Add(dropped)
	ctx, cancel := context.WithTimeout(ctx, observeTimeout)
	defer cancel()
	for first := true; len(events) > 0 || first && f.untold > 0; first = false {
		n, err := f.tell(ctx, events)
		f.note(n, err)
		events = events[n:]
	}
}

// note keeps the books, and a plugin that is away from filling the log.
func (f *observerFacade) note(n int, err error) {
	if err == nil {
		f.set.observes.events.Add(uint64(n))
		if f.failing {
			f.failing = false
			f.set.log.Info("observer takes events again", slog.Uint64("lost", f.set.observes.lost.Load()))
		}
		return
	}
	if !f.failing {
		f.failing = true
		f.set.log.Warn("observer does not take events", slog.Any("error", err))
	}
}

// lose counts events that were, or may have been, lost.
func (f *observerFacade) lose(n uint64) {
	f.untold += n
	f.set.observes.lost.Add(n)
}

// tell hands over as many of the events as one batch holds. It returns how many
// it has done with: handed over, or, with an error, lost.
func (f *observerFacade) tell(ctx context.Context, events []hook.Event) (n int, err error) {
	for {
		var counted bool
		n, counted, err = f.attempt(ctx, events)
		if err == nil {
			return n, nil
		}
		if errors.Is(err, hook.ErrUnavailable) && sleep(ctx, observePause) {
			continue
		}
		if ctx.Err() == nil && !errors.Is(err, hook.ErrUnavailable) {
			if !counted {
				f.lose(uint64(n))
			}
			return n, err
		}
		if counted { // the time is over for all that is left
			f.lose(uint64(len(events) - n))
		} else {
			f.lose(uint64(len(events)))
		}
		return len(events), err
	}
}

// attempt makes one batch and hands it over. If it fails, counted says that the
// stream has counted the n events of the batch as lost.
func (f *observerFacade) attempt(ctx context.Context, events []hook.Event) (n int, counted bool, err error) {
	if err = f.set.slot.WaitReady(ctx); err != nil {
		return 0, false, err
	}
	b, err := f.set.enter(nil)
	if errors.Is(err, errRemoved) {
		return len(events), false, nil // nobody wants to know any more
	}
	if err != nil {
		return 0, false, err
	}
	defer b.leave()
	f.follow(ctx, b)
	f.lose(f.adrift.Swap(0))
	var out outgoing
	n = marshalEvents(&out, events, f.untold, b.plan)
	if b.tap != nil {
		err = b.tap.send(ctx, &out, n)
		counted = errors.Is(err, hook.ErrLost)
	} else {
		err = b.invoke(ctx, pluginv1.ObserverService_Observe_FullMethodName, &out,
			generated{new(pluginv1.ObserveResponse)}, maxCallBytes)
	}
	if err == nil {
		f.untold = 0
	}
	return n, counted, b.judge(ctx, err)
}

// maxOverlap bounds how long a new instance waits for what its predecessor was
// told, so that one which hangs does not cost it its own events.
const maxOverlap = time.Second

// follow waits until the instance before b has taken what it was told: what
// happened later must not be seen earlier.
func (f *observerFacade) follow(ctx context.Context, b *binding) {
	before := f.last
	f.last = b
	if before == nil || before == b || before.tap == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, maxOverlap)
	defer cancel()
	for !before.tap.quiet() && before.in.err() == nil && sleep(ctx, time.Millisecond) {
	}
}

// marshalEvents writes an ObserveRequest, which an ObserveStreamRequest is too,
// with as many events as fit, and returns how many.
func marshalEvents(out *outgoing, events []hook.Event, dropped uint64, plan *payloadPlan) (n int) {
	out.alloc(min(len(events), maxEventsPerBatch) * 256)
	dst := *out.buf
	for n < len(events) && n < maxEventsPerBatch && len(dst) < maxFrameBytes {
		dst = appendNested(dst, 1, func(dst []byte) []byte { return appendEvent(dst, &events[n], plan) })
		n++
	}
	*out.buf = appendUint(dst, 2, dropped)
	return n
}
