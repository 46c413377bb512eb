package hook

import (
	"context"
	"errors"
	"time"
)

// Errors that an external hook returns, wrapped, when it could not decide.
// The chain and the counters tell them apart with errors.Is.
var (
	// ErrUnavailable: the call was never handed over, so it may be made again.
	ErrUnavailable = errors.New("hook is not available")
	// ErrPaused, beside ErrUnavailable: the hook is being replaced and will be
	// back in a moment, so the call is held whatever [Policy.OnError] says.
	ErrPaused = errors.New("hook is being replaced")
	// ErrLost: the call was handed over and its answer was lost with the
	// hook. It may be made again only if the hook is idempotent.
	ErrLost = errors.New("hook was lost before it answered")
	// ErrTimeout: no answer came in time.
	ErrTimeout = errors.New("hook did not answer in time")
	// ErrProtocol: the answer was illegal.
	ErrProtocol = errors.New("hook gave an illegal answer")
)

// OnError says what happens with a call that a hook could not decide.
type OnError uint8

// The policies. Hold is back-pressure: the client waits until the hook is
// available again, bounded by [Policy.HoldFor] and [Policy.HoldBytes], then
// the call is refused.
const (
	OnErrorDefault    OnError = iota // Refuse for validators, Hold for interceptors
	OnErrorHold                      // wait, then refuse
	OnErrorRefuse                    // refuse at once
	OnErrorPass                      // as if the hook did not exist
	OnErrorDisconnect                // end the client's connection
)

// String names the policy as the configuration writes it.
func (o OnError) String() string {
	names := [...]string{"default", "hold", "refuse", "pass", "disconnect"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

// Policy bounds a hook.
type Policy struct {
	// Timeout bounds one call. Zero means 2 s for validators and 200 ms for
	// interceptors; negative means no bound (a plugin under a debugger).
	Timeout time.Duration
	OnError OnError
	// HoldFor bounds how long a client is held. Zero means 5 s.
	HoldFor time.Duration
	// HoldBytes bounds the payload bytes held for all clients together. Zero
	// means 64 MiB. A client that would exceed it is refused at once.
	HoldBytes int64
	// MaxConcurrent bounds the calls that run at once, of an interceptor at
	// each point; more wait within their timeout. A call of an interceptor is a
	// batch. Zero means 256 for validators and 1,024 for interceptors.
	MaxConcurrent int
	// BreakerFailures is how many calls in a row may fail at a point before no
	// more are made for BreakerPause and OnError decides at once; then one call
	// shows whether it goes on like that. Zero means 10, negative never.
	BreakerFailures int
	// BreakerPause is how long the hook is left alone. Zero means 5 s.
	BreakerPause time.Duration
	// Idempotent: a call whose answer was lost may be made again.
	Idempotent bool
}

// Waiter is a companion of hooks that come and go. WaitReady returns nil once
// the hook can be called, or ctx's error. The chain calls it for
// [OnErrorHold].
type Waiter interface {
	WaitReady(ctx context.Context) error
}
