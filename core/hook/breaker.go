package hook

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrOpen says that the circuit breaker is open, and the call was not made.
var ErrOpen = errors.New("hook fails again and again and is left alone for now")

// BreakerState is the state of a circuit breaker.
type BreakerState uint8

// The states.
const (
	BreakerClosed   BreakerState = iota // calls are made
	BreakerOpen                         // no call is made
	BreakerHalfOpen                     // one call is made, to see
)

// String names the state in lower case.
func (s BreakerState) String() string {
	names := [...]string{"closed", "open", "half-open"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Generational is a companion of hooks that come and go. Generation is another
// number whenever a process or a configuration took the place of another, and 0
// while there is none. What is known of a hook's behaviour, and what it decided,
// counts for one generation. It is called from many goroutines.
type Generational interface {
	Generation() uint64
}

func generation(hook any) uint64 {
	if g, ok := hook.(Generational); ok {
		return g.Generation()
	}
	return 0
}

const (
	defaultBreakerFailures = 10
	defaultBreakerPause    = 5 * time.Second
)

// breaker keeps a hook from being called at one point that fails there again
// and again: after so many failures in a row no call is made for a while, then
// one to see how it goes. Calls that never reach the hook count as neither.
type breaker struct {
	troubled atomic.Bool // not closed, or failures counted; spares mu

	mu         sync.Mutex // guards the fields below
	state      BreakerState
	failures   int       // in a row, while closed
	until      time.Time // while open
	generation uint64    // of the hook that failed
	opened     uint64    // how often
}

// admit reports whether a call may be made; report has to follow if so.
func (b *breaker) admit(generation uint64) bool {
	if !b.troubled.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.generation != generation:
		b.close()
		return true
	case b.state == BreakerClosed:
		return true
	case b.state == BreakerOpen && !time.Now().Before(b.until):
		b.state = BreakerHalfOpen
		return true
	default:
		return false
	}
}

// report says how a call went that was admitted.
func (b *breaker) report(ctx context.Context, p *Policy, generation uint64, err error) {
	if err == nil && !b.troubled.Load() || p.BreakerFailures < 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		if b.generation == generation {
			b.close()
		}
	case ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		if b.state == BreakerHalfOpen {
			b.state = BreakerOpen // nobody knows yet; the next call will
		}
	default:
		b.fail(p, generation)
	}
}

func (b *breaker) fail(p *Policy, generation uint64) {
	if b.generation != generation {
		b.close()
	}
	b.generation = generation
	b.failures++
	b.troubled.Store(true)
	if b.state == BreakerOpen || b.state == BreakerClosed && b.failures < p.breakerFailures() {
		return
	}
	b.opened++
	b.state, b.until = BreakerOpen, time.Now().Add(p.breakerPause())
}

// close makes b as it was at first. The caller holds mu.
func (b *breaker) close() {
	b.state, b.failures = BreakerClosed, 0
	b.troubled.Store(false)
}

// read returns the state and how often the breaker has opened.
func (b *breaker) read() (BreakerState, uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state, b.opened
}

func (p *Policy) breakerFailures() int {
	if p.BreakerFailures > 0 {
		return p.BreakerFailures
	}
	return defaultBreakerFailures
}

func (p *Policy) breakerPause() time.Duration {
	if p.BreakerPause > 0 {
		return p.BreakerPause
	}
	return defaultBreakerPause
}
