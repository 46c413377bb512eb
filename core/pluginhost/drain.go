package pluginhost

import (
	"context"
	"slices"
	"time"
)

// settled waits until the calls that in has are answered, but not longer than
// limit or ctx. A plugin's word that it has drained may overtake its last
// answers.
func (f *facades) settled(ctx context.Context, in *instance, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for f.busy(in) {
		select {
		case <-look.C:
		case <-in.done:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// busy reports whether calls to in are under way.
func (f *facades) busy(in *instance) bool {
	list := *f.bindings.Load()
	i := slices.IndexFunc(list, func(b *binding) bool { return b.in == in })
	return i >= 0 && list[i].busy()
}

func (b *binding) busy() bool {
	b.mu.Lock()
	calls := len(b.calls)
	b.mu.Unlock()
	if b.coalescer == nil {
		return calls > 0
	}
	queued, away := b.coalescer.depth()
	return calls > 0 || queued > 0 || away > 0
}
