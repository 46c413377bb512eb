package hook

import (
	"log/slog"
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

	mu     sync.Mutex // serialises the setters
	closed bool       // guarded by mu
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
