package hook

import (
	"context"
	"fmt"
)

// slots bound the calls of a hook that run at once.
type slots chan struct{}

func newSlots(n, byDefault int) slots {
	if n <= 0 {
		n = byDefault
	}
	return make(slots, n)
}

// enter waits for a free slot; leave has to follow unless it returns an error.
func (s slots) enter(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a free slot: %w", ErrTimeout)
	}
}

func (s slots) leave() { <-s }
