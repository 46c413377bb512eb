package admission

import (
	"container/list"
	"context"
	"sync"
)

// Turnstile lets a number of callers do something at once; others wait for
// their turn, first come, first served. The zero value lets everyone through.
type Turnstile struct {
	mu      sync.Mutex // guards the fields below
	limit   int        // 0 for none
	inside  int
	waiting list.List // of chan struct{}, which are closed when it is their turn
}

// SetLimit replaces the number; 0 is no limit.
func (t *Turnstile) SetLimit(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limit = n
	t.admit()
}

// Enter waits for a turn; Leave has to follow unless there is an error, which is
// ctx's.
func (t *Turnstile) Enter(ctx context.Context) error {
	t.mu.Lock()
	if t.waiting.Len() == 0 && t.free() {
		t.inside++
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	e := t.waiting.PushBack(turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-turn: // it came at the same time
		t.inside--
		t.admit()
	default:
		t.waiting.Remove(e)
	}
	return ctx.Err()
}

// Leave ends a turn.
func (t *Turnstile) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside--
	t.admit()
}

// Waiting returns how many wait for their turn.
func (t *Turnstile) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting.Len()
}

// Inside returns how many have a turn.
func (t *Turnstile) Inside() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inside
}

func (t *Turnstile) free() bool { return t.limit <= 0 || t.inside < t.limit }

// admit gives turns to who waits. The caller holds mu.
func (t *Turnstile) admit() {
	for t.waiting.Len() > 0 && t.free() {
		close(t.waiting.Remove(t.waiting.Front()).(chan struct{}))
		t.inside++
	}
}
