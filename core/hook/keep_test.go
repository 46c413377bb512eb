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

// oracle is a validator whose decisions a test chooses.
type oracle struct {
	decide     func(c *hook.Connect) (*hook.Decision, error)
	delay      time.Duration
	calls      atomic.Int32
	generation uint64
}

func (o *oracle) Validate(ctx context.Context, c *hook.Connect) (*hook.Decision, error) {
	o.calls.Add(1)
	select {
	case <-time.After(o.delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return o.decide(c)
}

func (o *oracle) Generation() uint64 { return o.generation }

func keepFor(d time.Duration) func(*hook.Connect) (*hook.Decision, error) {
	return func(*hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow, CacheFor: d}, nil
	}
}

type keepRig struct {
	t        *testing.T
	hooks    *hook.Hooks
	oracle   *oracle
	counters *hook.Counters
}

func newKeepRig(t *testing.T, decide func(*hook.Connect) (*hook.Decision, error)) *keepRig {
	r := &keepRig{t: t, hooks: hook.NewHooks(nil), oracle: &oracle{decide: decide, generation: 1}, counters: new(hook.Counters)}
	r.set()
	return r
}

func (r *keepRig) set() {
	r.hooks.SetValidators([]hook.ValidatorEntry{{Name: "oracle", Validator: r.oracle, Counters: r.counters}})
}

// asked connects n times and returns how often the validator was asked.
func (r *keepRig) asked(n int, c hook.Connect) int {
	before := r.oracle.calls.Load()
	for i := range n {
		c.ConnectionID += uint64(i)
		r.hooks.Validate(r.t.Context(), &c)
	}
	return int(r.oracle.calls.Load() - before)
}

func TestDecisionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newKeepRig(t, keepFor(time.Minute))
		c := hook.Connect{ClientID: "c", Username: "u", Password: []byte("secret"), PeerAddress: "10.0.0.1:1000"}
		if n := r.asked(10, c); n != 1 {
			t.Errorf("asked %d times", n)
		}
		c.PeerAddress = "10.0.0.1:2000"
		if n := r.asked(1, c); n != 0 {
			t.Error("another port counts")
		}
		r.set() // a change of the chain
		if n := r.asked(1, c); n != 0 {
			t.Error("a change of the chain counts")
		}
		if got := r.counters.Read()[0]; got.Kept != 11 || got.Decided != 1 {
			t.Errorf("%+v", got)
		}
		other := c
		other.Password = []byte("guess")
		if n := r.asked(1, other); n != 1 {
			t.Error("another password does not count")
		}
		time.Sleep(time.Minute)
		if n := r.asked(2, c); n != 1 {
			t.Errorf("over: asked %d times", n)
		}
		r.oracle.generation++
		if n := r.asked(2, c); n != 1 {
			t.Errorf("another generation: asked %d times", n)
		}
		// A client that gets its identifier from the validator is nobody else.
		if n := r.asked(3, hook.Connect{}); n != 3 {
			t.Errorf("without an identifier: asked %d times", n)
		}
	})
}

// How long a decision is kept differs, so that clients who came together do not
// come to the validator together.
func TestKeptDecisionsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newKeepRig(t, keepFor(time.Hour))
		connect := func(i int) int { return r.asked(1, hook.Connect{ClientID: fmt.Sprint(i)}) }
		for i := range 100 {
			connect(i)
		}
		time.Sleep(54 * time.Minute)
		for i := range 100 {
			if connect(i) != 0 {
				t.Fatal("forgotten too early")
			}
		}
		time.Sleep(3 * time.Minute)
		over := 0
		for i := range 100 {
			over += connect(i)
		}
		if over == 0 || over == 100 {
			t.Errorf("%d of 100 are over", over)
		}
	})
}

func TestDecisionsThatAreNotKept(t *testing.T) {
	c := hook.Connect{ClientID: "c"}
	for name, decide := range map[string]func(*hook.Connect) (*hook.Decision, error){
		"without a time": keepFor(0),
		"an error":       func(*hook.Connect) (*hook.Decision, error) { return nil, errors.New("no database") },
		"illegal": func(*hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow, CacheFor: time.Hour, Mountpoint: "#"}, nil
		},
		"too large": func(*hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow, CacheFor: time.Hour, Items: map[string][]byte{"x": make([]byte, 2<<20)}}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newKeepRig(t, decide)
			if n := r.asked(3, c); n != 3 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// A denial is kept as well as anything else.
func TestDenialsAreKept(t *testing.T) {
	r := newKeepRig(t, func(*hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Deny, Code: mqtt.Banned, CacheFor: time.Hour}, nil
	})
	c := &hook.Connect{ClientID: "c"}
	for range 3 {
		if adm := r.hooks.Validate(t.Context(), c); adm.Code != mqtt.Banned {
			t.Errorf("got %+v", adm)
		}
	}
	if n := r.oracle.calls.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// A decision does not become valid for longer by being kept.
func TestKeptDecisionAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newKeepRig(t, func(*hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow, CacheFor: time.Hour, ValidFor: time.Minute}, nil
		})
		c := &hook.Connect{ClientID: "c"}
		for _, want := range []time.Duration{time.Minute, 40 * time.Second, 20 * time.Second, time.Minute} {
			if got := r.hooks.Validate(t.Context(), c).ValidFor; got != want {
				t.Errorf("valid for %v, want %v", got, want)
			}
			time.Sleep(20 * time.Second)
		}
	})
}

// A client that is decided anew gets no kept decision, and the new one is kept.
func TestRevalidateRenewsWhatIsKept(t *testing.T) {
	r := newKeepRig(t, keepFor(time.Hour))
	c := &hook.Connect{ClientID: "c"}
	r.hooks.Validate(t.Context(), c)
	r.oracle.decide = func(*hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Deny, CacheFor: time.Hour}, nil
	}
	if adm := r.hooks.Revalidate(t.Context(), c); adm.Code != mqtt.NotAuthorized {
		t.Errorf("got %+v", adm)
	}
	if adm := r.hooks.Validate(t.Context(), c); adm.Code != mqtt.NotAuthorized || r.oracle.calls.Load() != 2 {
		t.Errorf("got %+v after %d calls", adm, r.oracle.calls.Load())
	}
	r.oracle.decide = keepFor(0)
	r.hooks.Revalidate(t.Context(), c)
	if adm := r.hooks.Validate(t.Context(), c); adm.Code != mqtt.Success || r.oracle.calls.Load() != 4 {
		t.Errorf("got %+v after %d calls", adm, r.oracle.calls.Load())
	}
}

// together connects n clients at once who ask the same.
func (r *keepRig) together(n int, c *hook.Connect) (asked int) {
	before := r.oracle.calls.Load()
	done := make(chan mqtt.ReasonCode, n)
	for range n {
		go func() { done <- r.hooks.Validate(r.t.Context(), c).Code }()
	}
	for range n {
		<-done
	}
	return int(r.oracle.calls.Load() - before)
}

// Clients who ask the same at the same time share the answer, if it may be kept
// at all.
func TestOneCallForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newKeepRig(t, keepFor(time.Hour))
		r.oracle.delay = time.Second
		r.asked(1, hook.Connect{ClientID: "first"}) // now it is known that decisions are kept
		if n := r.together(50, &hook.Connect{ClientID: "c"}); n != 1 {
			t.Errorf("asked %d times", n)
		}
		r.oracle.decide = keepFor(0)
		if n := r.together(50, &hook.Connect{ClientID: "d"}); n != 50 {
			t.Errorf("asked %d times for decisions that are for one client each", n)
		}
		r.oracle.decide = func(*hook.Connect) (*hook.Decision, error) { return nil, errors.New("no database") }
		if n := r.together(5, &hook.Connect{ClientID: "e"}); n != 5 {
			t.Errorf("an error was shared: asked %d times", n)
		}
	})
}

// The one whose call the others wait for hangs up: they go on without it.
func TestOneCallForAllIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newKeepRig(t, keepFor(time.Hour))
		r.asked(1, hook.Connect{ClientID: "first"})
		r.oracle.delay = time.Second
		c := &hook.Connect{ClientID: "c"}
		leading, hangUp := context.WithCancel(t.Context())
		go r.hooks.Validate(leading, c)
		synctest.Wait()
		done := make(chan mqtt.ReasonCode)
		go func() { done <- r.hooks.Validate(t.Context(), c).Code }()
		synctest.Wait()
		hangUp()
		if code := <-done; code != mqtt.Success {
			t.Errorf("got %v", code)
		}
	})
}

// What is kept is bounded, and what is used stays.
func TestKeptDecisionsAreBounded(t *testing.T) {
	r := newKeepRig(t, keepFor(time.Hour))
	for i := range 11_000 {
		r.asked(1, hook.Connect{ClientID: fmt.Sprint(i)})
		r.asked(1, hook.Connect{ClientID: "0"})
	}
	if r.asked(1, hook.Connect{ClientID: "0"}) != 0 {
		t.Error("one that is used was forgotten")
	}
	if r.asked(1, hook.Connect{ClientID: "1"}) != 1 {
		t.Error("nothing was forgotten")
	}
}
