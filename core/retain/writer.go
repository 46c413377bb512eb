package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"
)

// How long the writer waits after a failure: doubling from the one to the other.
const (
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

var errDrained = errors.New("drain timeout")

// Run writes changes to the store until ctx is done, and then for at most
// Options.DrainTimeout what is still queued. A failed write is tried again, at
// first after 50 ms and at most after 2 s, for ever. The error says how many
// changes were left unwritten in the end and why. Run is called at most once,
// by one goroutine, also if there is no store.
func (x *Index) Run(ctx context.Context) error {
	defer x.stop()
	w := &writer{index: x, stopping: ctx.Done()}
	bounded, release := w.bound(ctx)
	defer release()
	for {
		b, at, done := x.take(ctx)
		if done {
			return nil
		}
		if err := w.write(bounded, b, at); err != nil {
			return fmt.Errorf("%d changes of retained messages not written: %w", x.Pending(), err)
		}
	}
}

// place is a store while it is the index's.
type place struct {
	store Store
	epoch int
}

// take waits for changes and takes all that are queued, with the store that they
// are for. It is done when ctx is and nothing is queued any more; then nothing
// can be queued any more either.
func (x *Index) take(ctx context.Context) (b batch, at place, done bool) {
	for {
		x.mu.Lock()
		x.writing.add(x.queue.load)
		b, at = x.queue.take(), place{x.store, x.epoch}
		done = len(b.changes) == 0 && ctx.Err() != nil
		x.stopped = done
		x.follow()
		if r := x.recorder(); r != nil {
			b.record(r)
		}
		x.mu.Unlock()
		if done || len(b.changes) > 0 {
			return b, at, done
		}
		select {
		case <-x.wake:
		case <-ctx.Done():
		}
	}
}

// stop refuses further changes and ends all waiting.
func (x *Index) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopped = true
	x.follow()
	x.notify()
}

// written notes that a chunk is in a store. It reports false if that store is
// no longer the index's.
func (x *Index) written(at place, c chunk) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at.epoch != x.epoch {
		return false
	}
	x.writing.sub(c.load)
	x.reached = max(x.reached, c.durable)
	x.settle()
	return true
}

// settle tells what has become durable. The caller holds mu.
func (x *Index) settle() {
	if !x.frozen && x.reached > x.durable.Load() {
		x.durable.Store(x.reached)
		x.notify()
	}
}

// visit is the time that the writer spends with one batch at a store.
type visit struct {
	cut  context.CancelFunc // ends it soon
	left chan struct{}      // closed when it has ended
}

// enter begins a visit, and fails if the store is no longer the index's.
func (x *Index) enter(at place, v *visit) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if at.epoch != x.epoch {
		return false
	}
	x.busy = v
	return true
}

// leave ends it.
func (x *Index) leave(v *visit) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.busy = nil
	close(v.left)
}

// notify wakes those who wait.
func (x *Index) notify() {
	if x.advanced != nil {
		close(x.advanced)
		x.advanced = nil
	}
}

// Wait returns nil when the change with this revision is durable, or was
// replaced by a later one that is. It returns at once if there is no store or
// the index writes behind. The error is that of ctx, or [ErrStopped] if Run
// has ended without writing the change.
func (x *Index) Wait(ctx context.Context, revision uint64) error {
	if x.memory.Load() || x.writeBehind.Load() {
		return nil
	}
	for x.durable.Load() < revision {
		if r := x.recorded(revision); r != nil {
			return r.Recorded(ctx)
		}
		advanced, stopped := x.waiting(revision)
		switch {
		case stopped:
			return ErrStopped
		case advanced == nil:
			return nil
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// waiting returns what is closed when more has become durable; nil if the
// revision already is.
func (x *Index) waiting(revision uint64) (advanced <-chan struct{}, stopped bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.durable.Load() >= revision {
		return nil, false
	}
	if x.stopped {
		return nil, true
	}
	if x.advanced == nil {
		x.advanced = make(chan struct{})
	}
	return x.advanced, false
}

// writer is the state of Run.
type writer struct {
	index    *Index
	stopping <-chan struct{} // closed when no changes should come any more; nil once that was seen

	failures int       // in a row
	since    time.Time // the first of them
}

// bound returns a context that ends the drain timeout after ctx does.
func (w *writer) bound(ctx context.Context) (bounded context.Context, release func()) {
	bounded, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	started := make(chan *time.Timer, 1)
	unhook := context.AfterFunc(ctx, func() {
		started <- time.AfterFunc(w.index.options.DrainTimeout, func() { cancel(errDrained) })
	})
	return bounded, func() {
		if !unhook() {
			(<-started).Stop()
		}
		cancel(nil)
	}
}

// write brings a batch into a store, however often that takes, unless the index
// moves to another meanwhile: that has the batch then. The error, once ctx is
// done, is the last one of the store or why ctx is done.
func (w *writer) write(ctx context.Context, b batch, at place) error {
	o := &w.index.options
	here, cancel := context.WithCancel(ctx)
	defer cancel()
	v := &visit{cut: cancel, left: make(chan struct{})}
	if !w.index.enter(at, v) {
		return nil
	}
	defer w.index.leave(v)
	chunks, apply := b.chunks(o.BatchChanges, o.BatchBytes), at.store.Apply
	if r, ok := at.store.(Recorder); ok { // which has them
		chunks, apply = b.chunks(len(b.changes), math.MaxInt), func(ctx context.Context, _ []Change) error { return r.Recorded(ctx) }
	}
	for _, c := range chunks {
		for {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := apply(here, c.changes)
			if err == nil {
				break
			}
			if here.Err() != nil && ctx.Err() == nil {
				w.failures = 0 // of a store that is no longer ours
				return nil
			}
			w.failed(err)
			if !w.pause(here) && ctx.Err() != nil {
				return err
			}
		}
		w.succeeded()
		if !w.index.written(at, c) {
			return nil
		}
	}
	return nil
}

// failed counts a failure, and logs the first one of an outage.
func (w *writer) failed(err error) {
	o := &w.index.options
	if w.failures == 0 {
		w.since = time.Now()
		o.Logger.Warn("retained store failed, trying again until it is back", slog.Any("error", err))
	}
	w.failures++
	if o.OnWriteError != nil {
		o.OnWriteError(err)
	}
}

// succeeded ends an outage.
func (w *writer) succeeded() {
	if w.failures == 0 {
		return
	}
	w.index.options.Logger.Info("retained store is back", slog.Int("failures", w.failures), slog.Duration("after", time.Since(w.since)))
	w.failures = 0
}

// pause waits before the next attempt and reports whether there may be one.
// The end of the broker cuts it short once, so that the store has a last
// chance however long the drain lasts.
func (w *writer) pause(ctx context.Context) bool {
	timer := time.NewTimer(min(lastRetry, firstRetry<<min(w.failures-1, 10)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-w.stopping:
		w.stopping = nil
	}
	return ctx.Err() == nil
}
