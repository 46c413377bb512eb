package hook

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Watch is the one place where calls of hooks can be looked at: by whoever shows
// them, writes them down, or asks another hook the same. It costs one atomic
// load per batch while nobody does. All methods may be called from many
// goroutines; the zero value is ready.
type Watch struct {
	mu   sync.Mutex // serialises changes of list
	list atomic.Pointer[[]Watcher]
}

// Watcher is told of calls after they were decided and before anything follows
// from that. Its methods are called from the goroutines of clients, from many at
// once: they must not block, and a client waits for them.
type Watcher interface {
	// Watches reports whether calls of a hook at a point are worth a Report.
	Watches(hook string, p Point) bool
	// Watched is told of calls that were made together. r is immutable, shared
	// with other watchers, and may be kept.
	Watched(r *Report)
}

// Report tells of what one hook was asked together and what it answered.
type Report struct {
	Hook  string // the entry's name
	Point Point
	Phase Phase // at the points of interceptors

	Began    time.Time
	Took     time.Duration // the last attempt; a decision that was kept took none
	Waited   time.Duration // all attempts, and what was waited for between them
	Attempts int           // 0 if no call was made: a kept decision, an open breaker

	Connect  *Connect  // at PointConnect
	Decision *Decision // its answer; nil if it gave none
	Kept     bool      // Decision is one that was kept
	Exchange bool      // it was enhanced authentication; Took is the hook's share

	Calls []CallReport // at the points of interceptors

	Events  []Event // at PointEvent
	Dropped uint64  // events that it lost before these

	Changes int // at PointRetain: how many it was to keep

	// Err is why it could not decide, and OnError what its policy therefore did;
	// OnErrorDefault says that there was no need.
	Err     error
	OnError OnError
}

// CallReport is one call of a [Report].
type CallReport struct {
	// Asked is the call as the hook was asked; its Verdict is empty.
	Asked Call
	// Message and Subscription are what it left, Verdict is its answer.
	Message      *mqtt.Message
	Subscription mqtt.Subscription
	Verdict      CallVerdict
	// Undeclared are changes that it made and may not make. They were undone and
	// the call refused.
	Undeclared Field
}

// Changed returns the fields in which the hook changed what it was asked.
func (c *CallReport) Changed() Field {
	o := original{c.Asked.Message, c.Asked.Subscription}
	return o.changed(&Call{Message: c.Message, Subscription: c.Subscription})
}

// Add lets x watch until remove is called; a report that is on its way may
// still reach it afterwards.
func (w *Watch) Add(x Watcher) (remove func()) {
	w.change(func(list []Watcher) []Watcher { return append(list, x) })
	return sync.OnceFunc(func() {
		w.change(func(list []Watcher) []Watcher {
			i := slices.Index(list, x)
			return slices.Delete(list, i, i+1)
		})
	})
}

func (w *Watch) change(f func([]Watcher) []Watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Watcher
	if old := w.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	if list = f(list); len(list) == 0 {
		w.list.Store(nil)
		return
	}
	w.list.Store(&list)
}

// Of returns those who watch a hook at a point; nil, at once, if nobody watches
// anything.
func (w *Watch) Of(hook string, p Point) Watchers {
	list := w.list.Load()
	if list == nil {
		return nil
	}
	var out Watchers
	for _, x := range *list {
		if x.Watches(hook, p) {
			out = append(out, x)
		}
	}
	return out
}

// Watchers are told of the same calls.
type Watchers []Watcher

// Tell hands a report, which is not changed afterwards, to all of them.
func (w Watchers) Tell(r *Report) {
	for _, x := range w {
		x.Watched(r)
	}
}

// timing is when a call was made and how long it took.
type timing struct {
	began    time.Time
	took     time.Duration // the last attempt
	waited   time.Duration
	attempts int
}

// report begins one.
func (t *timing) report(hook string, p Point, err error, onError OnError) *Report {
	r := &Report{
		Hook: hook, Point: p, Began: t.began, Took: t.took, Waited: t.waited, Attempts: t.attempts, Err: err,
	}
	if err != nil {
		r.OnError = onError
	}
	return r
}

// watched tells of a batch that was decided. undeclared is nil or has an entry
// for each call.
func (s *interceptorStage) watched(w Watchers, t *timing, b *Batch, before []original, undeclared []Field, err error) {
	onError := s.onError()
	if onError == OnErrorHold {
		onError = OnErrorRefuse // what follows when holding was in vain
	}
	r := t.report(s.Name, b.Point, err, onError)
	r.Phase = s.phase
	r.Calls = make([]CallReport, len(b.Calls))
	for i, c := range b.Calls {
		asked := *c
		asked.Message, asked.Subscription, asked.Verdict, asked.ToAuthorize = before[i].message, before[i].subscription, CallVerdict{}, 0
		r.Calls[i] = CallReport{Asked: asked, Message: c.Message, Subscription: c.Subscription, Verdict: c.Verdict}
		if undeclared != nil {
			r.Calls[i].Undeclared = undeclared[i]
		}
	}
	w.Tell(r)
}

// watched tells of a CONNECT that was decided.
func (s *validatorStage) watched(w Watchers, c *Connect, a *answer) {
	onError := s.onError()
	if onError == OnErrorHold {
		onError = OnErrorRefuse
	}
	r := a.timing.report(s.Name, PointConnect, a.err, onError)
	seen := *c // the broker goes on with its own
	r.Connect, r.Decision, r.Kept, r.Exchange = &seen, a.decision, a.kept, a.exchange
	w.Tell(r)
}
