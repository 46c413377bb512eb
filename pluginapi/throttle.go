package pluginapi

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// throttle logs what may happen with every message: the first of each kind in an
// interval, with the number of those left out since.
type throttle struct {
	log   *slog.Logger
	every time.Duration

	mu    sync.Mutex // guards the fields below
	kinds map[string]*throttled
}

type throttled struct {
	next time.Time
	left int
}

func newThrottle(log *slog.Logger, every time.Duration) *throttle {
	return &throttle{log: log, every: every, kinds: make(map[string]*throttled)}
}

// warn logs msg. msg is also the kind and has to be one of few.
func (t *throttle) warn(msg string, attrs ...slog.Attr) {
	now := time.Now()
	t.mu.Lock()
	k := t.kinds[msg]
	if k == nil {
		k = new(throttled)
		t.kinds[msg] = k
	}
	if now.Before(k.next) {
		k.left++
		t.mu.Unlock()
		return
	}
	left := k.left
	k.left, k.next = 0, now.Add(t.every)
	t.mu.Unlock()
	if left > 0 {
		attrs = append(attrs, slog.Int("more", left))
	}
	t.log.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...) //nolint:sloglint // one of few
}
