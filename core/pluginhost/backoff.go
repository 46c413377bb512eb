package pluginhost

import (
	"math/rand/v2"
	"time"
)

// backoff decides when a plugin that failed is started again. It is not for
// concurrent use.
type backoff struct {
	first, longest time.Duration
	steady         time.Duration
	window         time.Duration
	tries          int // failures in window that are too many; negative: none are

	step     int
	failures []time.Time
	random   func(n time.Duration) time.Duration // in [0, n)
}

func newBackoff(t timing, maxFailures int) *backoff {
	if maxFailures == 0 {
		maxFailures = defaultMaxFailures
	}
	return &backoff{
		first: t.firstPause, longest: t.longestPause, steady: t.steady, window: t.window,
		tries: maxFailures, random: rand.N[time.Duration],
	}
}

// failed takes note of a failure of a plugin that was ready for a while. It
// returns the pause before the next start, or that there should be none.
func (b *backoff) failed(now time.Time, ready time.Duration) (pause time.Duration, giveUp bool) {
	if ready >= b.steady {
		b.step = 0
	}
	kept := b.failures[:0]
	for _, t := range b.failures {
		if now.Sub(t) < b.window {
			kept = append(kept, t)
		}
	}
	b.failures = append(kept, now)
	if b.tries > 0 && len(b.failures) >= b.tries {
		return 0, true
	}
	pause = b.longest
	if b.step < 16 {
		pause = min(b.first<<b.step, b.longest)
		b.step++
	}
	// Half of it is jitter, so that plugins that fell together do not rise
	// together.
	return pause/2 + b.random(pause/2+1), false
}

// reset forgets everything: the plugin's files or configuration changed.
func (b *backoff) reset() {
	b.step = 0
	b.failures = nil
}
