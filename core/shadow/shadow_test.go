package shadow_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/shadow"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// same compares as much of two answers as the tests need.
func same(a, b *trace.Call) bool {
	if a.Err != nil || b.Err != nil {
		return a.Err != nil && b.Err != nil
	}
	if a.Point == hook.PointConnect {
		return a.Decision.Verdict == b.Decision.Verdict
	}
	x, y := &a.Calls[a.At], &b.Calls[b.At]
	return x.Verdict.Action == y.Verdict.Action && x.Verdict.Code == y.Verdict.Code && cmp.Equal(x.Message, y.Message) && x.Subscription == y.Subscription
}

// rig is hooks with a first version of a hook, and a shadow of it.
type rig struct {
	*shadow.Shadow
	hooks *hook.Hooks
	end   func()

	mu      sync.Mutex
	differs []string // guarded by mu
}

func newRig(t *testing.T, first hook.Interceptor, points ...hook.Point) *rig {
	t.Helper()
	r := &rig{hooks: hook.NewHooks(nil)}
	r.hooks.SetInterceptors(interceptors(first, points...))
	r.Shadow = shadow.New(shadow.Options{Hook: "rules", Same: same, Differ: func(a, b *trace.Call) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.differs = append(r.differs, answer(a)+" | "+answer(b))
	}})
	ctx, cancel := context.WithCancel(t.Context())
	remove := r.hooks.Watch().Add(r)
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		r.Run(ctx)
	}()
	r.end = func() {
		remove()
		cancel()
		<-ran
		r.hooks.Close()
	}
	return r
}

func answer(c *trace.Call) string {
	if c.Point == hook.PointConnect {
		return fmt.Sprintf("%s %d", c.Connect.ClientID, c.Decision.Verdict)
	}
	call := &c.Calls[c.At]
	text := call.Asked.Subscription.Filter
	if m := call.Asked.Message; m != nil {
		text = m.Topic + "=" + string(call.Message.Payload)
	}
	if c.Err != nil {
		return text + " failed"
	}
	return text + " " + call.Verdict.Action.String()
}

func interceptors(i hook.Interceptor, points ...hook.Point) []hook.InterceptorEntry {
	e := hook.InterceptorEntry{
		Name: "rules", Interceptor: i, Counters: new(hook.Counters), MayBypassAuthorization: true,
		Policy: hook.Policy{OnError: hook.OnErrorRefuse, Timeout: time.Second, BreakerFailures: 3, BreakerPause: time.Minute},
	}
	for _, p := range points {
		e.Interests = append(e.Interests, hook.Interest{Point: p, MayChange: hook.FieldAll})
	}
	return []hook.InterceptorEntry{e}
}

// set writes a payload into messages of one topic, and refuses another.
func set(name, payload, refused string) hook.InterceptorFunc {
	return func(_ context.Context, b *hook.Batch) error {
		for _, c := range b.Calls {
			switch {
			case c.Message == nil:
			case c.Message.Topic == refused:
				c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded}
			case c.Message.Topic == name:
				c.Message = c.Message.Clone()
				c.Message.Payload = []byte(payload)
			}
		}
		return nil
	}
}

func publishes(topics ...string) *hook.Batch {
	b := &hook.Batch{Point: hook.PointPublish}
	for _, name := range topics {
		b.Calls = append(b.Calls, &hook.Call{Client: &hook.Client{ID: "me"}, Message: &mqtt.Message{Topic: name, Payload: []byte("x")}})
	}
	return b
}

func (r *rig) intercept(b *hook.Batch) {
	r.hooks.Intercept(context.Background(), hook.AfterAuthorization, b)
}

// Answers are compared call by call, whatever the second version asked for.
func TestCompares(t *testing.T) {
	for name, tt := range map[string]struct {
		second  hook.Interceptor
		filters []string // of its interest
		differs []string
		want    shadow.Outcomes
	}{
		"same":    {second: set("a", "1", "no"), want: shadow.Outcomes{Same: 3}},
		"changes": {second: set("a", "2", "no"), differs: []string{"a=1 pass | a=2 pass"}, want: shadow.Outcomes{Same: 2, Differ: 1}},
		"decides": {second: set("a", "1", "b"), differs: []string{"b=x pass | b=x refuse", "no=x refuse | no=x pass"}, want: shadow.Outcomes{Same: 1, Differ: 2}},
		"asks for less": {
			second: set("a", "2", "no"), filters: []string{"no"}, differs: []string{"a=1 pass | a=x pass"}, want: shadow.Outcomes{Same: 2, Differ: 1},
		},
		"fails": {
			second:  hook.InterceptorFunc(func(context.Context, *hook.Batch) error { return errors.New("no idea") }),
			differs: []string{"a=1 pass | a=x failed", "b=x pass | b=x failed", "no=x refuse | no=x failed"},
			want:    shadow.Outcomes{Differ: 3, Failed: 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, set("a", "1", "no"), hook.PointPublish)
				defer r.end()
				entries := interceptors(tt.second, hook.PointPublish)
				entries[0].Interests[0].Filters = tt.filters
				r.Bind(nil, entries, nil, nil)
				b := publishes("a", "b", "no")
				r.intercept(b)
				if string(b.Calls[0].Message.Payload) != "1" || b.Calls[1].Verdict.Action != hook.Pass || b.Calls[2].Verdict.Code != mqtt.QuotaExceeded {
					t.Error("the first version's answers are not what counts")
				}
				synctest.Wait()
				if got := r.Read(); got.Sum() != tt.want || len(got.Left) != 0 {
					t.Errorf("counted %+v", got)
				}
				if diff := cmp.Diff(tt.differs, r.differs); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// Every point of an interceptor, in both phases.
func TestPoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drop := hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				c.Verdict.Action = hook.Drop
			}
			return nil
		})
		points := []hook.Point{hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe, hook.PointDeliver}
		r := newRig(t, drop, points...)
		defer r.end()
		early := interceptors(drop, points...)
		for i := range early[0].Interests {
			early[0].Interests[i].BeforeAuthorization = true
		}
		r.Bind(nil, early, nil, nil)
		want := make(map[hook.Point]shadow.Outcomes)
		for _, p := range points {
			b := &hook.Batch{Point: p, Calls: []*hook.Call{{Receiver: "you", Subscription: mqtt.Subscription{Filter: "a/#"}}}}
			if p == hook.PointPublish || p == hook.PointDeliver {
				b.Calls[0].Message = &mqtt.Message{Topic: "a"}
			}
			r.intercept(b)
			want[p] = shadow.Outcomes{Same: 1}
		}
		synctest.Wait()
		if diff := cmp.Diff(want, r.Read().Hooks); diff != "" {
			t.Error(diff, r.differs)
		}
	})
}

// A second version that hangs, is away or is given up holds nobody, and what it
// was not asked is counted.
func TestNeverInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set("", "", ""), hook.PointPublish)
		defer r.end()
		r.Bind(nil, interceptors(hook.InterceptorFunc(func(ctx context.Context, _ *hook.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}), hook.PointPublish), nil, nil)
		began := time.Now()
		const n = 2000
		for range n {
			r.intercept(publishes("a"))
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("clients waited %v", took)
		}
		time.Sleep(time.Minute / 2)
		got := r.Read()
		// One queue's worth and the one in hand, of which three were asked before the breaker opened.
		if got.Left[shadow.QueueFull] < n-514 || got.Hooks[hook.PointPublish] != (shadow.Outcomes{Differ: 3, Failed: 3}) {
			t.Errorf("counted %+v", got)
		}
		if sum := got.Left[shadow.QueueFull] + got.Left[shadow.Absent] + 3; sum != n {
			t.Errorf("%d of %d calls are accounted for: %+v", sum, n, got)
		}
	})
}

// One large message is compared; what waits behind it is bounded in bytes.
func TestBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set("", "", ""), hook.PointPublish)
		defer r.end()
		release := make(chan struct{})
		r.Bind(nil, interceptors(hook.InterceptorFunc(func(context.Context, *hook.Batch) error { <-release; return nil }), hook.PointPublish), nil, nil)
		for range 12 {
			b := publishes("a")
			b.Calls[0].Message.Payload = make([]byte, 2<<20)
			r.intercept(b)
			synctest.Wait()
		}
		if got := r.Read().Left[shadow.QueueFull]; got != 4 { // one in hand, seven wait
			t.Errorf("%d had no room", got)
		}
		close(release)
		synctest.Wait()
		if got := r.Read().Sum().Same; got != 8 {
			t.Errorf("%d were compared", got)
		}
	})
}

// A client's calls are asked in its order.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set("", "", ""), hook.PointPublish)
		defer r.end()
		var mu sync.Mutex
		seen := make(map[string]int)
		r.Bind(nil, interceptors(hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range b.Calls {
				var n int
				if _, err := fmt.Sscan(c.Message.Topic, &n); err != nil || n != seen[c.Client.ID] {
					t.Errorf("client %s: %s comes after %d", c.Client.ID, c.Message.Topic, seen[c.Client.ID])
				}
				seen[c.Client.ID]++
			}
			return nil
		}), hook.PointPublish), nil, nil)
		for n := range 100 {
			for _, id := range []string{"a", "b", "c"} {
				b := publishes(fmt.Sprint(n))
				b.Calls[0].Client.ID = id
				r.intercept(b)
			}
		}
		r.Drain(t.Context())
		if got := r.Read().Sum(); got.Same != 300 {
			t.Errorf("counted %+v", got)
		}
	})
}

func validators(v hook.ValidatorFunc) []hook.ValidatorEntry {
	return []hook.ValidatorEntry{{Name: "rules", Validator: v, Counters: new(hook.Counters)}}
}

// A validator's decisions are compared; one that was kept is not asked again, and
// an exchange is the first version's alone.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set("", "", ""))
		defer r.end()
		r.hooks.SetValidators(validators(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
			if c.Username == "gone" {
				return nil, hook.ErrUnavailable
			}
			return &hook.Decision{Verdict: hook.Allow, CacheFor: time.Minute}, nil
		}))
		connect := func(name string) {
			r.hooks.Validate(context.Background(), &hook.Connect{ClientID: name, Username: name})
		}
		connect("early")
		synctest.Wait()
		r.Bind(validators(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
			if c.Username == "bob" {
				return &hook.Decision{Verdict: hook.Deny}, nil
			}
			return &hook.Decision{Verdict: hook.Allow}, nil
		}), nil, nil, nil)
		for _, name := range []string{"alice", "bob", "bob", "gone"} {
			connect(name)
		}
		r.Watched(&hook.Report{Hook: "rules", Point: hook.PointConnect, Attempts: 1, Exchange: true, Connect: &hook.Connect{}})
		synctest.Wait()
		got := r.Read()
		want := &shadow.Counts{
			Hooks: map[hook.Point]shadow.Outcomes{hook.PointConnect: {Same: 1, Differ: 1}},
			Left:  map[shadow.Reason]uint64{shadow.Absent: 1, shadow.Kept: 1, shadow.Unasked: 1, shadow.Exchange: 1},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

type observer struct {
	mu   sync.Mutex
	seen []string
}

func (o *observer) Observe(_ context.Context, events []hook.Event, _ uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range events {
		o.seen = append(o.seen, events[i].ClientID)
	}
}

// An observer is told what the first version was told, as far as it asked for it.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, set("", "", ""))
		defer r.end()
		r.hooks.SetObservers([]hook.ObserverEntry{{Name: "rules", Observer: new(observer)}, {Name: "other", Observer: new(observer)}})
		second := new(observer)
		r.Bind(nil, nil, []hook.ObserverEntry{{
			Name: "rules", Observer: second, Interests: []hook.Interest{{Point: hook.PointEvent, Events: []hook.EventKind{hook.Connected}}},
		}}, nil)
		r.hooks.Emit(&hook.Event{Kind: hook.Connected, ClientID: "a"})
		r.hooks.Emit(&hook.Event{Kind: hook.Disconnected, ClientID: "a"})
		r.hooks.Emit(&hook.Event{Kind: hook.Connected, ClientID: "b"})
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, second.seen); diff != "" || r.Read().Events != 2 {
			t.Error(diff, r.Read())
		}
	})
}
