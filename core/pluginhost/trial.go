package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// A new version that starts well may still answer nonsense. For a while after
// it took over, it is on trial: its predecessor stands by, and the first defect
// brings that back.

// trial is the trust that an instance enjoys. Its methods may be called from
// many goroutines; the zero value is an instance that nobody stands by for.
type trial struct {
	state      atomic.Int32
	unanswered atomic.Int32 // calls in a row that it did not answer in time
}

const (
	proven   int32 = iota // what it does wrong is the policies' business
	onTrial               // another instance takes its place if it does anything wrong
	rejected              // it did
)

// maxUnanswered is how many calls in a row may go unanswered on trial. One may
// be the machine's fault.
const maxUnanswered = 3

// errBroken says that the plugin's own code failed, with a panic for example. To a
// policy it is an error like any other.
var errBroken = errors.New("its own code failed")

// begin puts an instance on trial, before it gets its first call.
func (t *trial) begin() { t.state.Store(onTrial) }

// pass ends the trial well, unless the instance is rejected already.
func (t *trial) pass() bool { return t.state.CompareAndSwap(onTrial, proven) }

// backed reports whether another instance takes over what this one can't do.
func (t *trial) backed() bool { return t.state.Load() != proven }

// offend is told of a defect. It ends an instance that is on trial and does
// nothing to any other.
func (in *instance) offend(defect error) {
	if in.trial.state.CompareAndSwap(onTrial, rejected) {
		in.fail(defect)
	}
}

// judge says what the outcome of a call means to the hook's caller. While
// another instance stands by, a call that was not handed over waits for that,
// whatever its policy; one that was is lost, like any whose answer makes no
// sense.
func (b *binding) judge(ctx context.Context, err error) error {
	t := &b.in.trial
	if !t.backed() {
		return err
	}
	lost := errors.Is(err, hook.ErrLost)
	switch {
	case err == nil:
		if t.unanswered.Load() != 0 {
			t.unanswered.Store(0)
		}
		return nil
	case errors.Is(err, hook.ErrUnavailable):
		return fmt.Errorf("%w: %w", hook.ErrPaused, err)
	case errors.Is(err, hook.ErrProtocol), errors.Is(err, errBroken):
		b.in.offend(err)
		if !lost {
			err = fmt.Errorf("%w: %w", hook.ErrLost, err)
		}
	case errors.Is(err, hook.ErrTimeout):
		if n := t.unanswered.Add(1); n >= maxUnanswered {
			b.in.offend(fmt.Errorf("%d calls in a row got no answer in time: %w", n, err))
		}
	case lost && ctx.Err() == nil && !b.hasEnded():
		b.in.offend(err)
	}
	return err
}

// Overstepped implements [hook.Answerable].
func (b *binding) Overstepped(f hook.Field) {
	b.in.offend(fmt.Errorf("it changed what it has not declared: %v", f))
}
