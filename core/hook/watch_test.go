package hook_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// witness keeps the reports of one hook, or of all.
type witness struct {
	of      string
	mu      sync.Mutex
	reports []*hook.Report
}

func (w *witness) Watches(name string, _ hook.Point) bool { return w.of == "" || w.of == name }

func (w *witness) Watched(r *hook.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, r)
}

func (w *witness) all() []*hook.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reports
}

func changeTopic(_ context.Context, b *hook.Batch) error {
	for _, c := range b.Calls {
		switch c.Message.Topic {
		case "refuse":
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Reason: "no"}
		case "pass":
		default:
			c.Message = c.Message.Clone()
			c.Message.Topic += "/x"
		}
	}
	return nil
}

// A report has what each hook of the chain was asked, and what it made of it.
func TestWatchInterceptors(t *testing.T) {
	h := hook.NewHooks(nil)
	counters := new(hook.Counters)
	h.SetInterceptors([]hook.InterceptorEntry{
		{
			Name: "first", Interceptor: hook.InterceptorFunc(changeTopic), Counters: counters,
			Interests: []hook.Interest{{Point: hook.PointPublish, MayChange: hook.FieldTopic}},
		},
		{
			Name: "second", Interceptor: hook.InterceptorFunc(changeTopic),
			Interests: []hook.Interest{{Point: hook.PointPublish, MayChange: hook.FieldPayload, Filters: []string{"change/#"}}},
		},
		{
			Name: "third", Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error { return errors.New("lost") }),
			Policy: hook.Policy{OnError: hook.OnErrorPass}, Interests: []hook.Interest{{Point: hook.PointPublish, Filters: []string{"pass"}}},
		},
	})
	w := &witness{}
	remove := h.Watch().Add(w)
	batch := &hook.Batch{Point: hook.PointPublish}
	for _, name := range []string{"refuse", "change", "pass"} {
		batch.Calls = append(batch.Calls, &hook.Call{Message: &mqtt.Message{Topic: name}})
	}
	h.Intercept(t.Context(), hook.AfterAuthorization, batch)
	remove()
	h.Intercept(t.Context(), hook.AfterAuthorization, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{{Message: &mqtt.Message{Topic: "pass"}}}})

	reports := w.all()
	if len(reports) != 3 {
		t.Fatalf("%d reports, want one for each hook", len(reports))
	}
	first, second, third := reports[0], reports[1], reports[2]
	if first.Hook != "first" || len(first.Calls) != 3 || first.Attempts != 1 || first.Err != nil || first.Began.IsZero() {
		t.Errorf("first: %+v", first)
	}
	if c := first.Calls[0]; c.Verdict.Action != hook.Refuse || c.Verdict.By != "first" || c.Changed() != 0 {
		t.Errorf("the refused call: %+v", c)
	}
	if c := first.Calls[1]; c.Asked.Message.Topic != "change" || c.Message.Topic != "change/x" || c.Changed() != hook.FieldTopic {
		t.Errorf("the changed call: %+v", c)
	}
	if c := second.Calls[0]; len(second.Calls) != 1 || c.Asked.Message.Topic != "change/x" || c.Undeclared != hook.FieldTopic ||
		c.Verdict.Action != hook.Refuse || c.Message.Topic != "change/x" {
		t.Errorf("the call with a change that may not be: %+v", second)
	}
	if third.Err == nil || third.OnError != hook.OnErrorPass || third.Calls[0].Verdict.Action != hook.Pass {
		t.Errorf("the call that was not decided: %+v", third)
	}
	want := map[hook.Outcome]uint64{hook.OutcomePass: 2, hook.OutcomeChange: 1, hook.OutcomeRefuse: 1}
	for _, l := range counters.Latencies() {
		if l.Point != hook.PointPublish || l.Count != want[l.Outcome] || l.Quantile(0.5) == 0 {
			t.Errorf("latency %+v", l)
		}
		delete(want, l.Outcome)
	}
	if len(want) > 0 {
		t.Errorf("no latency of %v", want)
	}
}

func TestWatchValidators(t *testing.T) {
	h := hook.NewHooks(nil)
	h.SetValidators([]hook.ValidatorEntry{
		{Name: "broken", Policy: hook.Policy{OnError: hook.OnErrorPass}, Validator: hook.ValidatorFunc(
			func(context.Context, *hook.Connect) (*hook.Decision, error) { return nil, errors.New("lost") })},
		{Name: "keeps", Validator: hook.ValidatorFunc(
			func(context.Context, *hook.Connect) (*hook.Decision, error) {
				return &hook.Decision{Verdict: hook.Allow, CacheFor: time.Hour}, nil
			})},
	})
	w := &witness{}
	defer h.Watch().Add(w)()
	for range 2 {
		h.Validate(t.Context(), &hook.Connect{ClientID: "c", Password: []byte("p"), HasPassword: true})
	}
	reports := w.all()
	if len(reports) != 4 {
		t.Fatalf("%d reports", len(reports))
	}
	if r := reports[0]; r.Hook != "broken" || r.Err == nil || r.OnError != hook.OnErrorPass || r.Decision != nil || r.Connect.ClientID != "c" {
		t.Errorf("a failure: %+v", r)
	}
	if r := reports[1]; r.Decision == nil || r.Decision.Verdict != hook.Allow || r.Kept || r.Attempts != 1 {
		t.Errorf("a decision: %+v", r)
	}
	if r := reports[3]; r.Decision == nil || !r.Kept || r.Attempts != 0 {
		t.Errorf("a kept decision: %+v", r)
	}
}

// An observer's report outlives the call, whose events are not its own.
func TestWatchObservers(t *testing.T) {
	h := hook.NewHooks(nil)
	told := make(chan struct{}, 1)
	counters := new(hook.Counters)
	h.SetObservers([]hook.ObserverEntry{{Name: "o", Counters: counters, Observer: observerFunc(func(context.Context, []hook.Event, uint64) { told <- struct{}{} })}})
	w := &witness{of: "o"}
	defer h.Watch().Add(w)()
	h.Emit(&hook.Event{Kind: hook.Connected, ClientID: "c"})
	<-told
	h.Close()
	if r := w.all(); len(r) != 1 || len(r[0].Events) != 1 || r[0].Events[0].ClientID != "c" {
		t.Errorf("reports: %+v", r)
	}
	if l := counters.Latencies(); len(l) != 1 || l[0].Point != hook.PointEvent || l[0].Count != 1 {
		t.Errorf("latencies: %+v", l)
	}
}

type observerFunc func(context.Context, []hook.Event, uint64)

func (f observerFunc) Observe(ctx context.Context, e []hook.Event, n uint64) { f(ctx, e, n) }

func TestLatency(t *testing.T) {
	bounds := hook.LatencyBounds()
	c := new(hook.Counters)
	for i, b := range bounds {
		c.Took(hook.PointPublish, hook.OutcomePass, b, 1)
		if l := c.Latencies()[0]; l.Buckets[i] != 1 || l.Quantile(1) != b {
			t.Fatalf("%v is not the last of bucket %d: %v", b, i, l)
		}
	}
	c = new(hook.Counters)
	c.Took(hook.PointPublish, hook.OutcomePass, -time.Second, 1) // a clock that was set back
	c.Took(hook.PointPublish, hook.OutcomePass, time.Hour, 98)
	c.Took(hook.PointPublish, hook.OutcomePass, bounds[3]+1, 1)
	l := c.Latencies()[0]
	if l.Count != 100 || l.Buckets[0] != 1 || l.Buckets[4] != 1 || l.Buckets[len(bounds)] != 98 {
		t.Errorf("%+v", l)
	}
	if l.Quantile(0.01) != bounds[0] || l.Quantile(0.02) != bounds[4] || l.Quantile(0.5) <= bounds[len(bounds)-1] || (&hook.Latency{}).Quantile(0.5) != 0 {
		t.Errorf("quantiles %v %v %v", l.Quantile(0.01), l.Quantile(0.02), l.Quantile(0.5))
	}
}

func unwatched() (*hook.Hooks, *hook.Batch) {
	h := hook.NewHooks(nil)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "i", Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error { return nil }),
		Policy: hook.Policy{Timeout: -1}, Interests: []hook.Interest{{Point: hook.PointPublish}},
	}})
	return h, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{{Message: &mqtt.Message{Topic: "t"}}}}
}

// Nobody pays for a trace that nobody looks at, nor for one of another hook.
func TestWatchCostsNothing(t *testing.T) {
	h, batch := unwatched()
	ask := func() { h.Intercept(t.Context(), hook.AfterAuthorization, batch) }
	alone := testing.AllocsPerRun(100, ask)
	defer h.Watch().Add(&witness{of: "another"})()
	if other := testing.AllocsPerRun(100, ask); other != alone {
		t.Errorf("%v allocations while another hook is watched, %v otherwise", other, alone)
	}
}

func BenchmarkWatch(b *testing.B) {
	for _, of := range []string{"nobody", "another", "i"} {
		b.Run(of, func(b *testing.B) {
			h, batch := unwatched()
			if of != "nobody" {
				defer h.Watch().Add(drain{of})()
			}
			b.ReportAllocs()
			for b.Loop() {
				h.Intercept(b.Context(), hook.AfterAuthorization, batch)
			}
		})
	}
}

type drain struct{ of string }

func (d drain) Watches(name string, _ hook.Point) bool { return d.of == name }
func (drain) Watched(*hook.Report)                     {}
