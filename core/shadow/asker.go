package shadow

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
)

// asker asks the second version, one thing after the other. It watches hooks of
// its own, so that it knows which answer is to which question.
type asker struct {
	shadow *Shadow
	hooks  *hook.Hooks
	queue  chan *hook.Report

	heard *hook.Report // the answer to what was asked last; nil if nobody was
}

func newAsker(s *Shadow) *asker {
	a := &asker{shadow: s, hooks: hook.NewHooks(nil), queue: make(chan *hook.Report, perQueue)}
	a.hooks.Watch().Add(a)
	return a
}

// Watches implements [hook.Watcher].
func (a *asker) Watches(string, hook.Point) bool { return true }

// Watched implements [hook.Watcher]; the goroutine that asks calls it.
func (a *asker) Watched(r *hook.Report) { a.heard = r }

func (a *asker) run(ctx context.Context) {
	for {
		select {
		case r := <-a.queue:
			a.shadow.bytes.Add(-sizeOf(r))
			a.heard = nil
			if r.Point == hook.PointConnect {
				a.connect(ctx, r)
			} else {
				a.intercept(ctx, r)
			}
			a.shadow.done()
		case <-ctx.Done():
			return
		}
	}
}

// connect asks about a CONNECT. A decision that was kept would say nothing.
func (a *asker) connect(ctx context.Context, r *hook.Report) {
	if !a.hooks.HasValidators() {
		a.shadow.leave(r, Absent)
		return
	}
	c := *r.Connect
	a.hooks.Revalidate(ctx, &c)
	got := a.heard
	switch {
	case ctx.Err() != nil:
		return
	case got == nil || absent(got):
		a.shadow.leave(r, Absent)
		return
	}
	a.shadow.compare(&trace.Call{Report: r}, &trace.Call{Report: got})
}

// intercept asks about calls that were made together, together.
func (a *asker) intercept(ctx context.Context, r *hook.Report) {
	b := &hook.Batch{Point: r.Point, Calls: make([]*hook.Call, len(r.Calls))}
	for i := range r.Calls {
		asked := r.Calls[i].Asked
		b.Calls[i] = &asked
	}
	began := time.Now()
	a.hooks.Intercept(ctx, r.Phase, b)
	if a.heard == nil {
		a.hooks.Intercept(ctx, hook.AfterAuthorization+hook.BeforeAuthorization-r.Phase, b)
	}
	if ctx.Err() != nil {
		return
	}
	if a.heard != nil && absent(a.heard) {
		a.shadow.leave(r, Absent)
		return
	}
	got := answers(r, b, a.heard, began)
	for i := range r.Calls {
		a.shadow.compare(&trace.Call{Report: r, At: i}, &got[i])
	}
}

// answers are what came of a batch, call by call: of one that the second version
// did not ask for, that it passes.
func answers(r *hook.Report, b *hook.Batch, heard *hook.Report, began time.Time) []trace.Call {
	out := make([]trace.Call, len(r.Calls))
	next := 0
	for i := range r.Calls {
		if heard != nil && next < len(heard.Calls) && sameQuestion(&heard.Calls[next].Asked, &r.Calls[i].Asked) {
			out[i] = trace.Call{Report: heard, At: next}
			next++
			continue
		}
		asked := r.Calls[i].Asked
		out[i] = trace.Call{Report: &hook.Report{Hook: r.Hook, Point: r.Point, Phase: r.Phase, Began: began, Calls: []hook.CallReport{
			{Asked: asked, Message: b.Calls[i].Message, Subscription: b.Calls[i].Subscription},
		}}}
	}
	return out
}

// sameQuestion reports whether two calls of the same batch, in its order, are
// the same one.
func sameQuestion(a, b *hook.Call) bool {
	return a.Message == b.Message && a.Client == b.Client && a.Receiver == b.Receiver && a.Subscription == b.Subscription
}

// absent reports whether the second version was not there to be asked.
func absent(r *hook.Report) bool {
	return r.Err != nil && (r.Attempts == 0 || errors.Is(r.Err, hook.ErrUnavailable) || errors.Is(r.Err, hook.ErrOpen))
}

// unusable says why the second version is not asked the same; "" if it is.
func unusable(r *hook.Report) Reason {
	switch {
	case r.Exchange:
		return Exchange
	case r.Kept:
		return Kept
	case absent(r):
		return Unasked
	default:
		return ""
	}
}
