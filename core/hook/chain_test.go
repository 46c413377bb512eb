package hook_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

var onPublish = []hook.Interest{{Point: hook.PointPublish, MayChange: hook.FieldAll}}

func publish(topics ...string) *hook.Batch {
	b := &hook.Batch{Point: hook.PointPublish}
	for _, name := range topics {
		b.Calls = append(b.Calls, &hook.Call{Message: &mqtt.Message{Topic: name, Payload: []byte(name)}})
	}
	return b
}

func topics(b *hook.Batch) string {
	var s []string
	for _, c := range b.Calls {
		s = append(s, c.Message.Topic)
	}
	return strings.Join(s, " ")
}

// appending adds a suffix to every topic.
func appending(suffix string) hook.Interceptor {
	return hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
		for _, c := range b.Calls {
			c.Message = c.Message.Clone()
			c.Message.Topic += suffix
		}
		return nil
	})
}

func TestInterceptorsInOrder(t *testing.T) {
	h := hook.NewHooks(nil)
	var seen string
	h.SetInterceptors([]hook.InterceptorEntry{
		{Name: "one", Interceptor: appending("1"), Interests: onPublish},
		{Name: "stop", Interests: onPublish, Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			seen = topics(b)
			b.Calls[1].Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded}
			return nil
		})},
		{Name: "two", Interceptor: appending("2"), Interests: onPublish},
	})
	b := publish("a", "b", "c")
	h.Intercept(t.Context(), hook.AfterAuthorization, b)
	if seen != "a1 b1 c1" || topics(b) != "a12 b1 c12" {
		t.Errorf("saw %q, ended with %q", seen, topics(b))
	}
	if v := b.Calls[1].Verdict; v.Action != hook.Refuse || v.By != "stop" || v.Failed {
		t.Errorf("verdict %+v", v)
	}
}

// What nobody asked for is shown to nobody.
func TestInterest(t *testing.T) {
	h := hook.NewHooks(nil)
	var seen []string
	watch := hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
		for _, c := range b.Calls {
			if c.Message != nil {
				seen = append(seen, c.Message.Topic)
			} else {
				seen = append(seen, c.Subscription.Filter)
			}
		}
		return nil
	})
	h.SetInterceptors([]hook.InterceptorEntry{{Interceptor: watch, Interests: []hook.Interest{
		{Point: hook.PointPublish, Filters: []string{"a/+", "x/#"}, Origins: []mqtt.Origin{mqtt.FromClient}},
		{Point: hook.PointSubscribe, Filters: []string{"a/b"}},
	}}})
	if h.Intercepts(hook.AfterAuthorization, hook.PointDeliver) || !h.Intercepts(hook.AfterAuthorization, hook.PointPublish) {
		t.Error("wrong points")
	}
	b := publish("a/b", "b", "x/y/z", "a/b/c", "a/c")
	b.Calls[4].Message.Origin = mqtt.FromWill
	h.Intercept(t.Context(), hook.AfterAuthorization, b)
	sub := &hook.Batch{Point: hook.PointSubscribe}
	for _, f := range []string{"a/#", "b", "$share/g/a/+"} {
		sub.Calls = append(sub.Calls, &hook.Call{Subscription: mqtt.Subscription{Filter: f}})
	}
	h.Intercept(t.Context(), hook.AfterAuthorization, sub)
	if got := strings.Join(seen, " "); got != "a/b x/y/z a/# $share/g/a/+" {
		t.Errorf("saw %q", got)
	}
}

// Only publishes and subscribes are authorised, so that only there an
// interceptor can come before.
func TestBeforeAuthorization(t *testing.T) {
	var early []hook.Interest
	for _, p := range []hook.Point{hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe, hook.PointDeliver} {
		early = append(early, hook.Interest{Point: p, BeforeAuthorization: true})
	}
	for _, may := range []bool{true, false} {
		h := hook.NewHooks(nil)
		h.SetInterceptors([]hook.InterceptorEntry{{Interests: early, MayBypassAuthorization: may}})
		for _, p := range early {
			before := may && (p.Point == hook.PointPublish || p.Point == hook.PointSubscribe)
			if h.Intercepts(hook.BeforeAuthorization, p.Point) != before || h.Intercepts(hook.AfterAuthorization, p.Point) == before {
				t.Errorf("allowed %v, %v: not where it belongs", may, p.Point)
			}
		}
	}
}

// A call that several interests match is asked about once, and may be changed
// as they together allow.
func TestSeveralInterests(t *testing.T) {
	h := hook.NewHooks(nil)
	h.SetInterceptors([]hook.InterceptorEntry{{Name: "one", Interceptor: appending("!"), Interests: []hook.Interest{
		{Point: hook.PointPublish, Filters: []string{"a/#"}, MayChange: hook.FieldPayload},
		{Point: hook.PointPublish, Filters: []string{"+/b"}, MayChange: hook.FieldTopic},
	}}})
	b := publish("a/b", "c/b", "a/c", "d")
	h.Intercept(t.Context(), hook.AfterAuthorization, b)
	if topics(b) != "a/b! c/b! a/c d" || b.Calls[2].Verdict.Action != hook.Refuse {
		t.Errorf("topics %q, verdict %+v", topics(b), b.Calls[2].Verdict)
	}
}

// gate is an interceptor that is away until it is opened.
type gate struct {
	open  chan struct{}
	err   error
	calls int
}

func (g *gate) WaitReady(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) Intercept(_ context.Context, b *hook.Batch) error {
	g.calls++
	select {
	case <-g.open:
		return nil
	default:
		// A part that was decided before the failure must leave no trace.
		b.Calls[0].Message = &mqtt.Message{Topic: "half done"}
		b.Calls[0].Verdict.Action = hook.Drop
		return g.err
	}
}

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		name       string
		policy     hook.Policy
		err        error
		opensAfter time.Duration
		want       hook.CallAction
		after      time.Duration
	}{
		{"held until it is back", hook.Policy{}, hook.ErrUnavailable, time.Second, hook.Pass, time.Second},
		{"held for too long", hook.Policy{}, hook.ErrUnavailable, time.Hour, hook.Refuse, 5 * time.Second},
		{"held as configured", hook.Policy{HoldFor: time.Minute}, hook.ErrUnavailable, 30 * time.Second, hook.Pass, 30 * time.Second},
		{"lost and not repeated", hook.Policy{}, hook.ErrLost, time.Second, hook.Refuse, 0},
		{"lost and repeated", hook.Policy{Idempotent: true}, hook.ErrLost, time.Second, hook.Pass, time.Second},
		{"nonsense is not repeated", hook.Policy{Idempotent: true}, hook.ErrProtocol, time.Second, hook.Refuse, 0},
		{"refused", hook.Policy{OnError: hook.OnErrorRefuse}, hook.ErrUnavailable, time.Second, hook.Refuse, 0},
		{"passed", hook.Policy{OnError: hook.OnErrorPass}, hook.ErrUnavailable, time.Second, hook.Pass, 0},
		{"cut", hook.Policy{OnError: hook.OnErrorDisconnect}, hook.ErrUnavailable, time.Second, hook.Disconnect, 0},
		{"no room to hold", hook.Policy{HoldBytes: 1}, hook.ErrUnavailable, time.Second, hook.Refuse, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hook.NewHooks(nil)
				g := &gate{open: make(chan struct{}), err: tt.err}
				h.SetInterceptors([]hook.InterceptorEntry{{Name: "gate", Interceptor: g, Interests: onPublish, Policy: tt.policy}})
				opening := time.AfterFunc(tt.opensAfter, func() { close(g.open) })
				defer opening.Stop()
				b := publish("aa")
				start := time.Now()
				h.Intercept(t.Context(), hook.AfterAuthorization, b)
				waited := time.Since(start)
				v := b.Calls[0].Verdict
				if v.Action != tt.want || topics(b) != "aa" {
					t.Errorf("verdict %+v, topic %q; want %v", v, topics(b), tt.want)
				}
				if (v.Action != hook.Pass) != v.Failed {
					t.Errorf("verdict %+v does not say whose it is", v)
				}
				if waited < tt.after || waited > tt.after+100*time.Millisecond {
					t.Errorf("waited %v, want about %v", waited, tt.after)
				}
				if g.calls > 3 {
					t.Errorf("called %d times", g.calls)
				}
			})
		})
	}
}
