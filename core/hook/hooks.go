package hook

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// ValidatorEntry is one validator in the chain.
type ValidatorEntry struct {
	Name      string
	Validator Validator
	Policy    Policy
	Counters  *Counters // nil: not counted
}

// InterceptorEntry is one interceptor in the chain.
type InterceptorEntry struct {
	Name        string
	Interceptor Interceptor
	// Interests says at which points it is asked; a point without an entry is
	// not asked at all.
	Interests []Interest
	Policy    Policy
	Counters  *Counters // nil: not counted
	// MayBypassAuthorization honours [Interest.BeforeAuthorization] and
	// [Interest.ExemptChanges].
	MayBypassAuthorization bool
}

// ObserverEntry is one observer.
type ObserverEntry struct {
	Name      string
	Observer  Observer
	Interests []Interest // those at PointEvent count; none means everything
	// Queue bounds the events that wait for it. Zero means 8,192.
	Queue    int
	Counters *Counters // nil: how long it takes is not counted
	// Dropped, if not nil, is told of lost events; it must not block.
	Dropped func(n uint64)
	// Only, if not nil, says which of the events that the interests want are
	// queued. It is called from the goroutines of clients, from many at once, and
	// must not block. What a snapshot tells passes it by.
	Only func(*Event) bool
}

// Hooks is what the broker asks: the validators, interceptors and observers in
// their order. The setters replace a whole chain at any time; calls that run
// end on the chain on which they began. All methods may be called from many
// goroutines.
type Hooks struct {
	log   *slog.Logger
	watch Watch

	validators   atomic.Pointer[[]*validatorStage]
	interceptors atomic.Pointer[interceptorChain]
	observers    atomic.Pointer[observerSet]
	presence     atomic.Pointer[Presence] // nil: no snapshots

	mu     sync.Mutex // serialises the setters and guards the fields below
	closed bool
	set    []ObserverEntry  // by SetObservers
	added  []*ObserverEntry // by AddObserver
}

// NewHooks returns hooks with nothing in them: everyone may connect and
// everything passes. A nil logger discards.
func NewHooks(log *slog.Logger) *Hooks {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Hooks{log: log}
	h.validators.Store(&[]*validatorStage{})
	h.interceptors.Store(&interceptorChain{})
	h.observers.Store(&observerSet{})
	return h
}

// Watch is where calls can be watched.
func (h *Hooks) Watch() *Watch { return &h.watch }

// SetValidators replaces the validators. They are asked in order. What was kept
// of the decisions of one that stays, recognised by its name and its Counters,
// is kept.
func (h *Hooks) SetValidators(entries []ValidatorEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := *h.validators.Load()
	stages := make([]*validatorStage, len(entries))
	for i, e := range entries {
		stages[i] = newValidatorStage(e)
		for _, o := range old {
			if o.Name == e.Name && o.Counters == e.Counters {
				stages[i].keep = o.keep
			}
		}
	}
	h.validators.Store(&stages)
}

// HasValidators reports whether anything decides who may connect.
func (h *Hooks) HasValidators() bool { return len(*h.validators.Load()) > 0 }

// SetInterceptors replaces the interceptors. Each sees its predecessors'
// changes.
func (h *Hooks) SetInterceptors(entries []InterceptorEntry) {
	h.interceptors.Store(newInterceptorChain(entries))
}

// SetObservers replaces the observers. One that stays, recognised by its
// Observer, keeps what is queued for it; one that goes is told what is queued
// before SetObservers returns.
func (h *Hooks) SetObservers(entries []ObserverEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.set = slices.Clone(entries)
	h.observe()
}

// AddObserver adds an observer, whatever SetObservers sets, until remove is
// called, which ends its goroutine after what is queued was told, or returns at
// once if the hooks are closed.
func (h *Hooks) AddObserver(e ObserverEntry) (remove func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return func() {}
	}
	h.added = append(h.added, &e)
	h.observe()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.added = slices.DeleteFunc(h.added, func(o *ObserverEntry) bool { return o == &e })
		if !h.closed {
			h.observe()
		}
	})
}

// observe puts the observers in force. mu is held.
func (h *Hooks) observe() {
	entries := slices.Clone(h.set)
	for _, e := range h.added {
		entries = append(entries, *e)
	}
	old := h.observers.Load()
	next := newObserverSet(entries, old, h)
	h.observers.Store(next)
	old.stopAllBut(next)
}

// Close ends the observers' goroutines after what is queued was told. Nothing
// is observed any more afterwards.
func (h *Hooks) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	old := h.observers.Swap(&observerSet{})
	old.stopAllBut(&observerSet{})
}
