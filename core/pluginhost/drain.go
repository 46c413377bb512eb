package pluginhost

import (
	"context"
	"time"
)

// settled waits until the calls that b has are answered, but not longer than
// limit or ctx, and reports whether they are. A plugin's word that it has
// drained may overtake its last answers.
func (b *binding) settled(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for b.busy() {
		select {
		case <-look.C:
		case <-b.in.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// busy reports whether calls are under way, or events not confirmed.
func (b *binding) busy() bool {
	if b.users.Load() > 0 || b.tap != nil && !b.tap.quiet() {
		return true
	}
	if b.coalescer == nil {
		return false
	}
	// A caller that gave up has left, but its call may be away.
	queued, away := b.coalescer.depth()
	return queued > 0 || away > 0
}

// settled waits until the calls that in has are answered; see
// [binding.settled].
func (f *facades) settled(ctx context.Context, in *instance, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	all := true
	for _, b := range f.bindingsOf(in) {
		all = b.settled(ctx, limit) && all
	}
	return all
}
