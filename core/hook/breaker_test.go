package hook_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// moody fails with err as long as there is one, and counts its calls.
type moody struct {
	err        error
	calls      int
	generation uint64
}

func (m *moody) Intercept(context.Context, *hook.Batch) error {
	m.calls++
	return m.err
}

func (m *moody) Generation() uint64 { return m.generation }

// breakerRig is one interceptor behind a breaker.
type breakerRig struct {
	t        *testing.T
	hooks    *hook.Hooks
	moody    *moody
	counters *hook.Counters
}

func newBreakerRig(t *testing.T, p hook.Policy) *breakerRig {
	r := &breakerRig{t: t, hooks: hook.NewHooks(nil), moody: &moody{generation: 1}, counters: new(hook.Counters)}
	r.set(p)
	return r
}

func (r *breakerRig) set(p hook.Policy) {
	r.hooks.SetInterceptors([]hook.InterceptorEntry{{
		Name: "moody", Interceptor: r.moody, Policy: p, Counters: r.counters,
		Interests: []hook.Interest{{Point: hook.PointPublish}, {Point: hook.PointDeliver}},
	}})
}

// call makes n calls and returns how many reached the interceptor.
func (r *breakerRig) call(n int) (reached int) {
	before := r.moody.calls
	for range n {
		b := publish("t")
		r.hooks.Intercept(r.t.Context(), hook.AfterAuthorization, b)
		want := hook.Pass
		if r.moody.err != nil {
			want = hook.Refuse
		}
		if v := b.Calls[0].Verdict; v.Action != want && r.moody.calls != before || v.Action == hook.Refuse && !v.Failed {
			r.t.Errorf("verdict %+v", v)
		}
	}
	return r.moody.calls - before
}

func (r *breakerRig) read() hook.PointCount {
	for _, c := range r.counters.Read() {
		if c.Point == hook.PointPublish {
			return c
		}
	}
	return hook.PointCount{}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBreakerRig(t, hook.Policy{OnError: hook.OnErrorRefuse, BreakerFailures: 3, BreakerPause: time.Second})
		r.moody.err = hook.ErrLost
		if n := r.call(10); n != 3 {
			t.Errorf("%d calls reached the hook", n)
		}
		if c := r.read(); c.Breaker != hook.BreakerOpen || c.Opened != 1 || c.Rejected != 7 || c.Failed != 3 || c.Refused != 10 {
			t.Errorf("open: %+v", c)
		}
		// It outlives a change of the chain, and is each point's own.
		r.set(hook.Policy{OnError: hook.OnErrorRefuse, BreakerFailures: 3, BreakerPause: time.Second})
		if n := r.call(1); n != 0 {
			t.Error("a new chain has called")
		}
		b := &hook.Batch{Point: hook.PointDeliver, Calls: publish("t").Calls}
		r.hooks.Intercept(t.Context(), hook.AfterAuthorization, b)
		if r.moody.calls != 4 {
			t.Error("the other point was not asked")
		}

		time.Sleep(time.Second)
		if n := r.call(5); n != 1 {
			t.Errorf("half-open: %d calls reached the hook", n)
		}
		time.Sleep(time.Second)
		r.moody.err = nil
		if n := r.call(5); n != 5 {
			t.Errorf("well again: %d calls reached the hook", n)
		}
		if c := r.read(); c.Breaker != hook.BreakerClosed || c.Opened != 2 || c.Decided != 5 {
			t.Errorf("closed: %+v", c)
		}
		// Failures count in a row.
		for range 5 {
			r.moody.err = hook.ErrTimeout
			r.call(2)
			r.moody.err = nil
			if n := r.call(1); n != 1 {
				t.Fatal("opened by failures that were not in a row")
			}
		}
	})
}

// While one call finds out whether the hook is well again, the others are
// decided by the policy at once.
func TestBreakerHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c := hook.NewHooks(nil), new(hook.Counters)
		var calls atomic.Int32
		h.SetInterceptors([]hook.InterceptorEntry{{
			Name: "slow", Counters: c, Interests: []hook.Interest{{Point: hook.PointPublish}},
			Policy: hook.Policy{OnError: hook.OnErrorPass, BreakerFailures: 1, BreakerPause: time.Second, Timeout: time.Minute},
			Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error {
				if calls.Add(1) == 1 {
					return hook.ErrLost
				}
				time.Sleep(10 * time.Second)
				return nil
			}),
		}})
		intercept := func() { h.Intercept(t.Context(), hook.AfterAuthorization, publish("t")) }
		intercept()
		time.Sleep(2 * time.Second)
		go intercept() // the one that sees
		synctest.Wait()
		start := time.Now()
		intercept()
		if time.Since(start) != 0 || c.Read()[0].Breaker != hook.BreakerHalfOpen || c.Read()[0].Running != 1 {
			t.Errorf("waited %v: %+v", time.Since(start), c.Read())
		}
		time.Sleep(time.Minute)
		if got := c.Read()[0]; got.Breaker != hook.BreakerClosed || got.Passed != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// What says nothing about the hook does not count: it was away, or the client
// hung up. Another generation of it starts afresh.
func TestBreakerCountsTheHookAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBreakerRig(t, hook.Policy{OnError: hook.OnErrorRefuse, BreakerFailures: 2, BreakerPause: time.Hour})
		r.moody.err = hook.ErrUnavailable
		if n := r.call(5); n != 5 {
			t.Errorf("unavailable: %d calls", n)
		}
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		r.moody.err = context.Canceled
		for range 5 {
			r.hooks.Intercept(gone, hook.AfterAuthorization, publish("t"))
		}
		r.moody.err = hook.ErrLost
		if n := r.call(5); n != 2 {
			t.Errorf("lost: %d calls", n)
		}
		r.moody.generation++
		if n := r.call(5); n != 2 {
			t.Errorf("another generation: %d calls", n)
		}
		r.moody.generation++
		r.moody.err = nil
		if n := r.call(5); n != 5 || r.read().Breaker != hook.BreakerClosed {
			t.Errorf("a good generation: %d calls, %+v", n, r.read())
		}
	})
}

// A client is not held for a hook that is left alone, and a negative threshold
// turns the breaker off.
func TestBreakerAndHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBreakerRig(t, hook.Policy{Idempotent: true, BreakerFailures: 3})
		r.moody.err = hook.ErrTimeout
		start := time.Now()
		r.call(1)
		if took := time.Since(start); took > time.Second || r.moody.calls != 3 {
			t.Errorf("held for %v, %d calls", took, r.moody.calls)
		}
		r.set(hook.Policy{OnError: hook.OnErrorRefuse, BreakerFailures: -1})
		r.moody.generation++
		if n := r.call(100); n != 100 {
			t.Errorf("%d calls", n)
		}
	})
}

// More calls than may run at once wait for their turn, and no longer than they
// may take.
func TestConcurrencyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c := hook.NewHooks(nil), new(hook.Counters)
		var now, most atomic.Int32
		h.SetInterceptors([]hook.InterceptorEntry{{
			Name: "slow", Counters: c, Interests: []hook.Interest{{Point: hook.PointPublish}},
			Policy: hook.Policy{OnError: hook.OnErrorRefuse, MaxConcurrent: 2, Timeout: 10 * time.Second},
			Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(4 * time.Second)
				now.Add(-1)
				return nil
			}),
		}})
		var passed, refused atomic.Int32
		for range 8 {
			go func() {
				b := publish("t")
				h.Intercept(t.Context(), hook.AfterAuthorization, b)
				if b.Calls[0].Verdict.Action == hook.Pass {
					passed.Add(1)
				} else {
					refused.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
		if most.Load() != 2 || passed.Load() != 6 || refused.Load() != 2 {
			t.Errorf("at most %d at once, %d passed, %d refused", most.Load(), passed.Load(), refused.Load())
		}
	})
}

// A validator has a breaker too.
func TestBreakerOfValidator(t *testing.T) {
	calls := 0
	h, c := hook.NewHooks(nil), new(hook.Counters)
	h.SetValidators([]hook.ValidatorEntry{{
		Name: "v", Counters: c, Policy: hook.Policy{BreakerFailures: 2},
		Validator: hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
			calls++
			return nil, errors.New("no database")
		}),
	}})
	for range 5 {
		if adm := h.Validate(t.Context(), &hook.Connect{ClientID: "c"}); adm.Code != mqtt.ServerUnavailable {
			t.Errorf("got %+v", adm)
		}
	}
	if got := c.Read()[0]; calls != 2 || got.Rejected != 3 || got.Breaker != hook.BreakerOpen {
		t.Errorf("%d calls, %+v", calls, got)
	}
}

// A client that leaves while a validator decides is not held against the
// validator: it is neither a failure nor a matter of policy.
func TestAbandonedCall(t *testing.T) {
	counters := new(hook.Counters)
	h := hook.NewHooks(nil)
	asked := make(chan struct{})
	h.SetValidators([]hook.ValidatorEntry{{
		Name: "slow", Counters: counters,
		Validator: hook.ValidatorFunc(func(ctx context.Context, _ *hook.Connect) (*hook.Decision, error) {
			close(asked)
			<-ctx.Done()
			return nil, fmt.Errorf("%w: %w", hook.ErrLost, ctx.Err())
		}),
	}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if adm := h.Validate(ctx, &hook.Connect{ClientID: "c"}); adm.Code != mqtt.ServerUnavailable {
		t.Errorf("admission %+v", adm)
	}
	for _, c := range counters.Read() {
		if c.Failed != 0 || c.Timeouts != 0 || c.Refused != 0 {
			t.Errorf("counted %+v", c)
		}
	}
	if l := counters.Latencies(); len(l) != 1 || l[0].Outcome != hook.OutcomeAbandoned || l[0].Outcome.String() != "abandoned" || l[0].Count != 1 {
		t.Errorf("latencies %+v", l)
	}
}
