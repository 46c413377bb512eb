package pluginapi

import (
	"context"
	"sync"
)

// work counts calls that run. Its zero value is ready; it may be used by many
// goroutines.
type work struct {
	mu     sync.Mutex // guards the fields below
	calls  int
	closed bool
	idle   chan struct{} // closed when calls gets 0; nil if nobody waits
}

// begin counts n calls; false means that no call may begin any more.
func (w *work) begin(n int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.calls += n
	return true
}

// done ends n of the calls that begin began.
func (w *work) done(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls -= n
	if w.calls == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// close lets no call begin any more.
func (w *work) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// wait waits until no call runs, or returns ctx's error.
func (w *work) wait(ctx context.Context) error {
	w.mu.Lock()
	if w.calls == 0 {
		w.mu.Unlock()
		return nil
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
