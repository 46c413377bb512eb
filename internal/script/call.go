package script

import (
	"context"
	"fmt"
	"sync"
	"time"

	startime "go.starlark.net/lib/time"
	"go.starlark.net/starlark"
)

// call is one run of the interpreter: a function of a script, for one event, on
// one goroutine.
type call struct {
	thread *starlark.Thread
	limits *Limits
	set    *Set
	ctx    context.Context //nolint:containedctx // the call's own; functions of the language have no parameter for it
	memory int64
	// loading says that the script's top level runs, which must not do anything.
	loading bool
	module  *module // that is loading
}

const callKey = "call"

// callOf is the call on whose behalf a function runs.
func callOf(thread *starlark.Thread) *call { return thread.Local(callKey).(*call) }

var calls = sync.Pool{New: func() any {
	c := &call{thread: new(starlark.Thread)}
	c.thread.SetLocal(callKey, c)
	c.thread.Print = printLine
	c.thread.Load = loadModule
	startime.SetNow(c.thread, func() (time.Time, error) { return c.set.now(), nil })
	return c
}}

// stuckAfter is how long a call may go on after it was told to end. Beyond it,
// it sits in a single step that has no end.
const stuckAfter = 10 * time.Second

// run calls f on a thread, within limits. name is for messages.
func (s *Set) run(ctx context.Context, name string, within time.Duration, f func(*call) error) error {
	c := calls.Get().(*call)
	c.set, c.limits, c.ctx, c.memory, c.loading, c.module = s, &s.limits, ctx, 0, false, nil
	c.thread.Name = name
	c.thread.Steps = 0
	c.thread.SetMaxExecutionSteps(s.limits.Steps)
	watch := s.watch(c, name, within)
	err := f(c)
	clean := watch.stop()
	c.set, c.ctx, c.module = nil, nil, nil
	if clean && err == nil {
		calls.Put(c) // one that was cancelled stays so
	}
	return err
}

// watchdog ends a call that takes too long.
type watchdog struct {
	timer *time.Timer
	done  func() bool
	mu    sync.Mutex
	over  bool
	stuck *time.Timer
}

func (s *Set) watch(c *call, name string, within time.Duration) *watchdog {
	w := new(watchdog)
	thread := c.thread
	cancel := func(why string) {
		thread.Cancel(why)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over && w.stuck == nil && s.options.Stuck != nil {
			w.stuck = time.AfterFunc(stuckAfter, func() { s.options.Stuck(name) })
		}
	}
	w.timer = time.AfterFunc(within, func() {
		cancel(fmt.Sprintf("it took longer than %v", within))
	})
	if c.ctx.Done() != nil {
		w.done = context.AfterFunc(c.ctx, func() { cancel("nobody waits for it any more") })
	}
	return w
}

// stop ends the watch, and reports whether the call was left alone.
func (w *watchdog) stop() bool {
	clean := w.timer.Stop()
	if w.done != nil && !w.done() {
		clean = false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.stuck != nil {
		w.stuck.Stop()
	}
	return clean
}

// outside returns the context for what a call waits for outside of itself: it
// ends with the call.
func (c *call) outside(within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, within)
}

// acts refuses what a script may not do while it is being loaded: a script that
// turns out to be broken must have done nothing.
func (c *call) acts(what string) error {
	if c.loading {
		return fmt.Errorf("%s can't be called while a script is loaded: call it in initialize() or in a hook", what)
	}
	return nil
}
