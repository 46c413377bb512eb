package hook

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	defaultObserverQueue = 8192
	observerBatch        = 256
	observerFarewell     = 2 * time.Second
)

// observerSet is the observers with the union of the events they want.
type observerSet struct {
	mask uint32
	taps []*tap
}

func newObserverSet(entries []ObserverEntry, old *observerSet, h *Hooks) *observerSet {
	set := new(observerSet)
	for _, e := range entries {
		var t *tap
		for _, o := range old.taps {
			if o.entry.Observer == e.Observer {
				t = o
			}
		}
		if t == nil {
			t = startTap(e, h)
		}
		f := newEventFilter(e.Interests)
		t.filter.Store(f)
		t.signal() // it may want a snapshot
		set.mask |= f.mask
		set.taps = append(set.taps, t)
	}
	return set
}

func (s *observerSet) stopAllBut(keep *observerSet) {
	for _, t := range s.taps {
		kept := false
		for _, k := range keep.taps {
			kept = kept || k == t
		}
		if !kept {
			t.stop()
		}
	}
}

// Observes reports whether anybody wants events of a kind; if not, none needs
// to be made.
func (h *Hooks) Observes(k EventKind) bool { return h.observers.Load().mask&(1<<k) != 0 }

// Emit queues an event for every observer that wants it. It never blocks: an
// observer that is behind loses its oldest events. The event must not be
// changed afterwards.
func (h *Hooks) Emit(e *Event) {
	set := h.observers.Load()
	if set.mask&(1<<e.Kind) == 0 {
		return
	}
	for _, t := range set.taps {
		if t.filter.Load().wants(e) && (t.entry.Only == nil || t.entry.Only(e)) {
			t.push(e)
		}
	}
}

// EmitRun queues events as Emit does, all of one kind and about messages with
// one topic: what they have in common is looked at once. The slice is the
// caller's again when it returns.
func (h *Hooks) EmitRun(events []Event) {
	set := h.observers.Load()
	if len(events) == 0 || set.mask&(1<<events[0].Kind) == 0 {
		return
	}
	for _, t := range set.taps {
		switch {
		case !t.filter.Load().wants(&events[0]):
		case t.entry.Only == nil:
			t.pushRun(events)
		default:
			for i := range events {
				if t.entry.Only(&events[i]) {
					t.push(&events[i])
				}
			}
		}
	}
}

// eventFilter is an observer's interest, compiled.
type eventFilter struct {
	mask      uint32
	interests []Interest
	snapshot  bool
}

func newEventFilter(interests []Interest) *eventFilter {
	f := new(eventFilter)
	for _, in := range interests {
		if in.Point != PointEvent {
			continue
		}
		f.interests = append(f.interests, in)
		f.mask |= in.eventMask()
		f.snapshot = f.snapshot || in.Snapshot
	}
	if len(f.interests) == 0 {
		f.interests = []Interest{{Point: PointEvent}}
		f.mask = ^uint32(0)
	}
	return f
}

func (in *Interest) eventMask() uint32 {
	if len(in.Events) == 0 {
		return ^uint32(0)
	}
	var m uint32
	for _, k := range in.Events {
		m |= 1 << k
	}
	return m
}

func (f *eventFilter) wants(e *Event) bool {
	if f.mask&(1<<e.Kind) == 0 {
		return false
	}
	for i := range f.interests {
		in := &f.interests[i]
		if in.eventMask()&(1<<e.Kind) != 0 && (e.Message == nil || in.wantsTopic(e.Message.Topic)) {
			return true
		}
	}
	return false
}

// tap is one observer with its bounded ring and the goroutine that empties it.
type tap struct {
	entry  ObserverEntry
	watch  *Watch
	filter atomic.Pointer[eventFilter]

	wake   chan struct{} // holds one token while there is something to do
	done   chan struct{} // closed when run has returned
	cancel context.CancelFunc

	snapshots snapshots

	mu      sync.Mutex // guards the fields below
	ring    []Event
	head, n int
	dropped uint64
	closing bool
}

// startTap makes a tap and the goroutine that empties it; stop ends both.
func startTap(e ObserverEntry, h *Hooks) *tap {
	if e.Queue <= 0 {
		e.Queue = defaultObserverQueue
	}
	ctx, cancel := context.WithCancel(context.Background())
	t := &tap{entry: e, wake: make(chan struct{}, 1), done: make(chan struct{}), cancel: cancel}
	t.watch = &h.watch
	t.snapshots.presence = &h.presence
	if r, ok := e.Observer.(Renewable); ok {
		r.OnRenew(t.signal)
	}
	go t.run(ctx)
	return t
}

func (t *tap) push(e *Event) {
	t.mu.Lock()
	first := t.n == 0
	t.put(e)
	t.mu.Unlock()
	if first {
		t.signal()
	}
}

func (t *tap) pushRun(events []Event) {
	t.mu.Lock()
	first := t.n == 0
	for i := range events {
		t.put(&events[i])
	}
	t.mu.Unlock()
	if first {
		t.signal()
	}
}

// put adds an event to the ring, in place of the oldest if it is full. The caller
// holds mu.
func (t *tap) put(e *Event) {
	if t.n == len(t.ring) {
		t.grow()
	}
	if t.n == len(t.ring) {
		t.head = (t.head + 1) % len(t.ring)
		t.n--
		t.dropped++
	}
	t.ring[(t.head+t.n)%len(t.ring)] = *e
	t.n++
}

// grow doubles the ring up to its bound, so that an observer that keeps up
// costs little memory. The caller holds mu.
func (t *tap) grow() {
	size := min(max(64, 2*len(t.ring)), t.entry.Queue)
	if size == len(t.ring) {
		return
	}
	ring := make([]Event, size)
	for i := range t.n {
		ring[i] = t.ring[(t.head+i)%len(t.ring)]
	}
	t.ring, t.head = ring, 0
}

func (t *tap) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *tap) run(ctx context.Context) {
	defer close(t.done)
	defer t.snapshots.stop()
	batch := make([]Event, 0, observerBatch)
	for range t.wake {
		for {
			if t.filter.Load().snapshot && t.snapshots.due(t.entry.Observer, t.signal) {
				t.snapshots.tell(ctx, t.entry.Observer, batch[:0])
			}
			var dropped uint64
			var closing bool
			batch, dropped, closing = t.take(batch[:0])
			if len(batch) == 0 && dropped == 0 {
				if closing {
					return
				}
				break
			}
			if dropped > 0 && t.entry.Dropped != nil {
				t.entry.Dropped(dropped)
			}
			t.snapshots.gap = t.snapshots.gap || dropped > 0
			if batch = t.snapshots.sift(batch); len(batch) == 0 && dropped == 0 {
				continue
			}
			t.observe(ctx, batch, dropped)
			clear(batch)
		}
	}
}

// observe tells the observer.
func (t *tap) observe(ctx context.Context, batch []Event, dropped uint64) {
	took := timing{began: time.Now(), attempts: 1}
	t.entry.Observer.Observe(WithInHand(ctx, NewInHand(mostHops(batch))), batch, dropped)
	took.took = time.Since(took.began)
	took.waited = took.took
	if t.entry.Counters != nil && len(batch) > 0 {
		t.entry.Counters.Took(PointEvent, OutcomePass, took.took, len(batch))
	}
	if watchers := t.watch.Of(t.entry.Name, PointEvent); watchers != nil {
		r := took.report(t.entry.Name, PointEvent, nil, OnErrorDefault)
		r.Events, r.Dropped = slices.Clone(batch), dropped
		watchers.Tell(r)
	}
}

// mostHops is what counts for a message that is published on account of a batch.
func mostHops(batch []Event) uint8 {
	var most uint8
	for i := range batch {
		if m := batch[i].Message; m != nil {
			most = max(most, m.Hops)
		}
	}
	return most
}

func (t *tap) take(dst []Event) (batch []Event, dropped uint64, closing bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.n > 0 && len(dst) < observerBatch {
		dst = append(dst, t.ring[t.head])
		t.ring[t.head] = Event{}
		t.head = (t.head + 1) % len(t.ring)
		t.n--
	}
	dropped, t.dropped = t.dropped, 0
	return dst, dropped, t.closing
}

// stop tells the observer what is queued and ends the goroutine. An observer
// that does not take it in time has its context cancelled.
func (t *tap) stop() {
	t.mu.Lock()
	t.closing = true
	t.mu.Unlock()
	t.signal()
	patience := time.AfterFunc(observerFarewell, t.cancel)
	<-t.done
	patience.Stop()
	t.cancel()
}
