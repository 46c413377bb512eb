package script

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.starlark.net/starlark"
)

// minInterval is the shortest interval of a timer.
const minInterval = 100 * time.Millisecond

// timer is a function that is called again and again.
type timer struct {
	module   *module
	interval time.Duration
	fn       starlark.Callable
}

func every(c *call, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var interval starlark.Value
	var fn starlark.Callable
	if err := starlark.UnpackArgs("every", args, kwargs, "interval", &interval, "function", &fn); err != nil {
		return nil, err
	}
	if c.module == nil || !c.loading {
		return nil, errors.New("every is called at the top level of a script")
	}
	d, err := toDuration(interval)
	if err != nil {
		return nil, err
	}
	if d < minInterval {
		return nil, fmt.Errorf("every: %v is shorter than %v", d, minInterval)
	}
	fn.Freeze()
	c.module.timers = append(c.module.timers, timer{c.module, d, fn})
	return starlark.None, nil
}

// HasTimers reports whether there is anything for RunTimers to do.
func (s *Set) HasTimers() bool {
	for _, m := range s.allModules {
		if len(m.timers) > 0 {
			return true
		}
	}
	return false
}

// RunTimers calls the functions of timers until ctx ends, and returns when none
// runs any more. failed is told of those that failed, from several goroutines.
func (s *Set) RunTimers(ctx context.Context, failed func(error)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, m := range s.allModules {
		for _, t := range m.timers {
			wg.Go(func() { s.runTimer(ctx, t, failed) })
		}
	}
}

func (s *Set) runTimer(ctx context.Context, t timer, failed func(error)) {
	wait := time.NewTimer(t.interval)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		err := s.tick(ctx, t)
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		wait.Reset(t.interval)
	}
}

// tick calls the function of a timer once. What it returns does not matter.
func (s *Set) tick(ctx context.Context, t timer) error {
	return s.run(ctx, t.fn.Name(), s.limits.BackgroundTime, func(c *call) error {
		if _, err := starlark.Call(c.thread, t.fn, nil, nil); err != nil {
			return fail(t.module.name, t.fn.Name(), err)
		}
		return nil
	})
}
