package hook_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// examiner is an authenticator made of a function.
type examiner func(context.Context, hook.Exchange) (*hook.Decision, error)

func (examiner) Authenticates(string) bool { return true }

func (examiner) Validate(context.Context, *hook.Connect) (*hook.Decision, error) {
	return nil, errors.New("not asked")
}

func (f examiner) Authenticate(ctx context.Context, _ *hook.Connect, x hook.Exchange) (*hook.Decision, error) {
	return f(ctx, x)
}

// candidate answers every challenge after a while, or goes away.
type candidate struct {
	thinks time.Duration
	gone   bool
}

var errGone = errors.New("the client went away")

func (*candidate) Again() bool { return false }

func (c *candidate) Challenge(context.Context, hook.AuthStep) (hook.AuthStep, error) {
	time.Sleep(c.thinks)
	if c.gone {
		return hook.AuthStep{}, errGone
	}
	return hook.AuthStep{}, nil
}

// examined are hooks with one authenticator.
type examined struct {
	*hook.Hooks
	counters *hook.Counters
}

func newExamined(p hook.Policy, f examiner) *examined {
	e := &examined{Hooks: hook.NewHooks(nil), counters: new(hook.Counters)}
	e.SetValidators([]hook.ValidatorEntry{{Name: "exam", Validator: f, Policy: p, Counters: e.counters}})
	return e
}

func (e *examined) ask(c *candidate) *hook.Admission {
	return e.Authenticate(context.Background(), &hook.Connect{ClientID: "c", AuthMethod: "m"}, c)
}

func (e *examined) count(t *testing.T) hook.PointCount {
	t.Helper()
	list := e.counters.Read()
	if len(list) != 1 || list[0].Point != hook.PointConnect {
		t.Fatalf("counters are %+v", list)
	}
	return list[0]
}

// round asks once and allows.
func round(ctx context.Context, x hook.Exchange) (*hook.Decision, error) {
	if _, err := x.Challenge(ctx, hook.AuthStep{}); err != nil {
		return nil, err
	}
	return &hook.Decision{Verdict: hook.Allow}, nil
}

// An authenticator that fails again and again is left alone, like any hook.
func TestAuthenticationBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, broken := 0, true
		e := newExamined(hook.Policy{BreakerFailures: 3, BreakerPause: time.Minute}, func(ctx context.Context, x hook.Exchange) (*hook.Decision, error) {
			if asked++; broken {
				return nil, errors.New("no database")
			}
			return round(ctx, x)
		})
		for range 5 {
			if a := e.ask(new(candidate)); a.Code != mqtt.ServerUnavailable {
				t.Errorf("admission is %+v", a)
			}
		}
		if n := e.count(t); asked != 3 || n.Failed != 3 || n.Rejected != 2 || n.Breaker != hook.BreakerOpen || n.Opened != 1 || n.Refused != 5 {
			t.Errorf("%d calls, counters are %+v", asked, n)
		}
		if a := e.ask(new(candidate)); !errors.Is(a.Err, hook.ErrOpen) {
			t.Errorf("error is %v", a.Err)
		}
		time.Sleep(time.Minute)
		broken = false
		if a := e.ask(new(candidate)); a.Code != mqtt.Success {
			t.Errorf("admission is %+v", a)
		}
		if n := e.count(t); n.Breaker != hook.BreakerClosed || n.Decided != 1 || n.Running != 0 {
			t.Errorf("counters are %+v", n)
		}
	})
}

// A client that goes away, however often, says nothing about the hook.
func TestAuthenticationEndedByTheClient(t *testing.T) {
	e := newExamined(hook.Policy{BreakerFailures: 3}, round)
	for range 5 {
		if a := e.ask(&candidate{gone: true}); !errors.Is(a.Err, errGone) {
			t.Errorf("error is %v", a.Err)
		}
	}
	if n := e.count(t); n.Failed != 0 || n.Rejected != 0 || n.Breaker != hook.BreakerClosed {
		t.Errorf("counters are %+v", n)
	}
	if a := e.ask(new(candidate)); a.Code != mqtt.Success {
		t.Errorf("admission is %+v", a)
	}
}

// The hook's turns have its timeout each, the client's have none of it.
func TestAuthenticationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		thinks := 900 * time.Millisecond
		e := newExamined(hook.Policy{Timeout: time.Second}, func(ctx context.Context, x hook.Exchange) (*hook.Decision, error) {
			for range 3 {
				select {
				case <-time.After(thinks):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
				if _, err := x.Challenge(ctx, hook.AuthStep{}); err != nil {
					return nil, err
				}
			}
			return &hook.Decision{Verdict: hook.Allow}, nil
		})
		if a := e.ask(&candidate{thinks: 10 * time.Second}); a.Code != mqtt.Success {
			t.Errorf("admission is %+v", a)
		}
		if l := e.counters.Latencies(); len(l) != 1 || l[0].Sum != 3*thinks {
			t.Errorf("latencies are %+v", l)
		}
		thinks = 1100 * time.Millisecond
		began := time.Now()
		if a := e.ask(&candidate{}); !errors.Is(a.Err, hook.ErrTimeout) || time.Since(began) != time.Second {
			t.Errorf("error is %v after %v", a.Err, time.Since(began))
		}
		if n := e.count(t); n.Timeouts != 1 || n.Failed != 1 || n.Decided != 1 {
			t.Errorf("counters are %+v", n)
		}
	})
}

// A client that takes its time keeps no other from being authenticated; a hook
// has no more than so many turns at once.
func TestAuthenticationConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy, most := 0, 0
		turn := func() {
			busy++
			most = max(most, busy)
			time.Sleep(time.Second)
			busy--
		}
		e := newExamined(hook.Policy{MaxConcurrent: 1, Timeout: time.Minute}, func(ctx context.Context, x hook.Exchange) (*hook.Decision, error) {
			turn()
			if _, err := x.Challenge(ctx, hook.AuthStep{}); err != nil {
				return nil, err
			}
			turn()
			return &hook.Decision{Verdict: hook.Allow}, nil
		})
		var all sync.WaitGroup
		began := time.Now()
		for range 4 {
			all.Go(func() {
				if a := e.ask(&candidate{thinks: 20 * time.Second}); a.Code != mqtt.Success {
					t.Errorf("admission is %+v", a)
				}
			})
		}
		all.Wait()
		if took := time.Since(began); most != 1 || took > 30*time.Second {
			t.Errorf("%d turns at once, %v in all", most, took)
		}
	})
}

// Until the client was asked, an exchange is held like any call; after that it
// can't be made again, even by a hook that is idempotent.
func TestAuthenticationIsHeld(t *testing.T) {
	calls := 0
	var fails error
	p := hook.Policy{OnError: hook.OnErrorHold, Idempotent: true}
	e := newExamined(p, func(ctx context.Context, x hook.Exchange) (*hook.Decision, error) {
		if calls++; calls < 3 {
			return nil, hook.ErrUnavailable
		}
		d, err := round(ctx, x)
		return d, errors.Join(err, fails)
	})
	if a := e.ask(new(candidate)); a.Code != mqtt.Success || calls != 3 {
		t.Errorf("admission is %+v after %d calls", a, calls)
	}
	if n := e.count(t); n.Held != 1 {
		t.Errorf("counters are %+v", n)
	}
	fails = hook.ErrLost
	if a := e.ask(new(candidate)); !errors.Is(a.Err, hook.ErrLost) || calls != 4 {
		t.Errorf("error is %v after %d calls", a.Err, calls)
	}
}
