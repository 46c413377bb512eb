package validator

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// gate lets password checks through, as many at once as memory and processors
// allow, and in the order in which they came. argon2id takes 19 MiB and more
// for each check: without a gate the connections that an attacker opens would
// decide how much memory the plugin takes.
type gate struct {
	memory *semaphore.Weighted
	budget int64
	share  int64 // what a check counts for at least, so that processors bound too
	verify func(password.Digest, []byte) bool
}

// newGate bounds the memory of all checks together to budget bytes, and their
// number to slots. A check that needs more than the budget runs alone.
func newGate(budget int64, slots int) *gate {
	return &gate{
		memory: semaphore.NewWeighted(budget),
		budget: budget,
		share:  max(budget/int64(slots), 1),
		verify: password.Digest.Verify,
	}
}

// check waits for its turn and reports whether secret is the password of d. An
// error wraps that of ctx: the client or the broker would not wait, and no
// check was made.
func (g *gate) check(ctx context.Context, d password.Digest, secret []byte) (bool, error) {
	weight := min(max(d.Memory(), g.share), g.budget)
	if err := g.memory.Acquire(ctx, weight); err != nil {
		return false, fmt.Errorf("waiting to check a password: %w", err)
	}
	defer g.memory.Release(weight)
	if err := ctx.Err(); err != nil { // Acquire does not look if there is room
		return false, fmt.Errorf("waiting to check a password: %w", err)
	}
	return g.verify(d, secret), nil
}
