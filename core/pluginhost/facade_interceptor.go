package pluginhost

import (
	"context"
	"errors"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// interceptorFacade is a plugin's [hook.Interceptor] for certain interests.
// Calls go over the coalescing stream, or one by one to a plugin that has none.
//
// A plugin that changes its interests, such as a new version of it, gets
// another facade: which calls it is asked about, and what it may change in
// them, then changes for the broker in one step.
type interceptorFacade struct {
	set       *facades
	interests []hook.Interest // those by which the calls are chosen
}

var (
	_ hook.Interceptor  = (*interceptorFacade)(nil)
	_ hook.Waiter       = (*interceptorFacade)(nil)
	_ hook.Generational = (*interceptorFacade)(nil)
	_ hook.Borrower     = (*interceptorFacade)(nil)
)

// Generation changes with the plugin's process.
func (f *interceptorFacade) Generation() uint64 { return f.set.generation() }

// Borrows reports true: what goes to the plugin is written down at once.
func (f *interceptorFacade) Borrows() bool { return true }

// WaitReady waits until the plugin is there.
func (f *interceptorFacade) WaitReady(ctx context.Context) error { return f.set.slot.WaitReady(ctx) }

// Intercept has the plugin decide a batch; see [hook.Interceptor]. The errors
// wrap those of package hook.
func (f *interceptorFacade) Intercept(ctx context.Context, b *hook.Batch) error {
	if len(b.Calls) == 0 {
		return nil
	}
	bound, err := f.set.enter(f)
	if errors.Is(err, errRemoved) {
		return nil // as every later call will, which nobody asks it about
	}
	if err != nil {
		return err
	}
	defer bound.leave()
	if bound.in.trial.backed() {
		b.Answerable = bound
	}
	if bound.intercepts != f {
		b.DecidedBy = bound.intercepts.interests
		if b = bound.wanted(b); len(b.Calls) == 0 {
			return nil
		}
	}
	g, err := newGroup(b, bound.plan)
	if err != nil {
		return err
	}
	g.hand = hook.InHandOf(ctx)
	if bound.coalescer != nil {
		err = bound.coalescer.decide(ctx, g)
	} else {
		err = f.set.counted(bound.decideUnary(ctx, g))
	}
	if err != nil {
		return bound.judge(ctx, err) // g may still be referred to
	}
	err = f.set.counted(g.apply(b))
	g.free()
	return bound.judge(ctx, err)
}

// wanted are the calls of a batch, chosen by older interests, that those of the
// binding ask for too.
func (b *binding) wanted(batch *hook.Batch) *hook.Batch {
	out := &hook.Batch{Point: batch.Point}
	for _, c := range batch.Calls {
		if hook.Wants(b.intercepts.interests, batch.Point, c) {
			out.Calls = append(out.Calls, c)
		}
	}
	return out
}

// decideUnary decides a group with the unary twin of the stream, in as many
// calls as it would have been frames.
func (b *binding) decideUnary(ctx context.Context, g *group) error {
	for from := 0; from < len(g.items); {
		p := piece{group: g, from: from, to: from}
		for bytes := 0; p.to < len(g.items) && p.to-from < maxFrameItems; p.to++ {
			if bytes += g.size(p.to); p.to > from && bytes > maxFrameBytes {
				break
			}
		}
		if err := b.interceptPiece(ctx, p); err != nil {
			return err
		}
		from = p.to
	}
	return nil
}

func (b *binding) interceptPiece(ctx context.Context, p piece) error {
	t := newClientTable(maxFrameItems+1, maxKnownClientBytes)
	t.begin()
	p.clients(t.use)
	var out outgoing
	out.alloc(p.size() + t.size())
	first := b.unary.begin(p)
	defer b.unary.end(first)
	*out.buf = p.append(t.append(*out.buf), fieldUnaryCalls, first)
	var r reply
	err := b.invoke(ctx, pluginv1.MessageInterceptorService_Intercept_FullMethodName, &out, &r, maxReplyBytes)
	if err != nil {
		return err
	}
	return p.settle(&r, first)
}

// settle gives every item of p its verdict of an answer that has to decide all.
// The calls were numbered from first on.
func (p piece) settle(r *reply, first uint64) error {
	n := uint64(p.to - p.from)
	var answered frameBits
	answer := func(seq, count uint64, v *verdict) error {
		at := seq - first // wraps for a smaller one
		if at >= n || count > n-at {
			return illegal("an answer to call %d, which was not made", seq+max(count, 1)-1)
		}
		if !answered.mark(int(at), int(at+count)) {
			return illegal("a second answer to call %d", seq)
		}
		if v != nil {
			p.group.items[p.from+int(at)].verdict = v
		}
		return nil
	}
	for _, s := range r.passed {
		if err := answer(s.first, uint64(s.count), nil); err != nil {
			return err
		}
	}
	for _, v := range r.verdicts {
		if err := answer(v.seq, 1, v.verdict); err != nil {
			return err
		}
	}
	if missing := uint64(answered.gap()); missing < n { //nolint:gosec // not negative
		return illegal("no answer to call %d", missing+first)
	}
	return nil
}
