package hook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// turns is an exchange in which the hook and the client take turns. The hook's
// are bounded, counted and hold a slot; the client's do not. It belongs to the
// goroutine of one call. A nil *turns is a call without the client's part.
type turns struct {
	Exchange
	slots slots

	began   time.Time
	own     time.Duration // what the hook's turns took
	timer   *time.Timer   // ends the hook's turn; nil: it is not bounded
	timeout time.Duration
	inSlot  bool
	asked   bool  // the client was asked, and can't be asked the same again
	broken  error // why the client's part ended; nil while it goes on
}

// within makes a call whose turns are bounded each, or one that is bounded as a
// whole.
func (x *turns) within(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	if x == nil {
		return callWithin(ctx, timeout, f)
	}
	x.own, x.timeout = 0, timeout
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if timeout >= 0 {
		x.timer = time.AfterFunc(timeout, func() { cancel(ErrTimeout) })
		defer x.timer.Stop()
	}
	err := x.begin(ctx)
	if err == nil {
		err = f(ctx)
	}
	x.end()
	if err != nil && x.broken == nil && errors.Is(context.Cause(ctx), ErrTimeout) && !errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// begin is the beginning of a turn of the hook.
func (x *turns) begin(ctx context.Context) error {
	x.began = time.Now()
	if err := x.slots.enter(ctx); err != nil {
		return err
	}
	x.inSlot = true
	return nil
}

// end is the end of it.
func (x *turns) end() {
	x.own += time.Since(x.began)
	if x.inSlot {
		x.slots.leave()
		x.inSlot = false
	}
}

// Challenge is the client's turn.
func (x *turns) Challenge(ctx context.Context, s AuthStep) (AuthStep, error) {
	x.end()
	if x.timer != nil && !x.timer.Stop() {
		return AuthStep{}, fmt.Errorf("it took its time before it asked the client: %w", ErrTimeout)
	}
	x.asked = true
	answer, err := x.Exchange.Challenge(ctx, s)
	if err != nil {
		x.broken = err
		return answer, err
	}
	if x.timer != nil {
		x.timer.Reset(x.timeout)
	}
	return answer, x.begin(ctx)
}

// took is what a call cost the hook, of which the client's turns are no part.
func (x *turns) took(whole time.Duration) time.Duration {
	if x == nil {
		return whole
	}
	return x.own
}

// final reports whether the call can't be made again.
func (x *turns) final() bool { return x != nil && x.asked }

// byClient reports whether it was the client that ended the call.
func (x *turns) byClient() bool { return x != nil && x.broken != nil }
