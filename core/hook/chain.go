package hook

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Phase says when, within the handling of a packet, interceptors are asked.
type Phase uint8

// Almost all interceptors run after the grants were checked.
const (
	AfterAuthorization Phase = iota
	BeforeAuthorization
	numPhases
)

// interceptorChain holds the stages of every phase and point, so that a point
// nobody asked for costs one load and a length.
type interceptorChain struct {
	stages [numPhases][NumPoints][]*interceptorStage
}

// interceptorStage is one interceptor at one point, with all its interests
// there: it is asked once about a call that several of them match.
type interceptorStage struct {
	InterceptorEntry
	phase     Phase
	interests []Interest
	held      *atomic.Int64 // payload bytes held; shared by the entry's stages
	borrows   bool          // it may be shown messages that are lent
	slots     slots
}

func newInterceptorChain(entries []InterceptorEntry) *interceptorChain {
	c := new(interceptorChain)
	for _, e := range entries {
		if e.Counters == nil {
			e.Counters = new(Counters)
		}
		held := new(atomic.Int64)
		borrower, ok := e.Interceptor.(Borrower)
		borrows := ok && borrower.Borrows()
		var own [numPhases][NumPoints]*interceptorStage
		for _, in := range e.Interests {
			if in.Point >= NumPoints {
				continue
			}
			phase := AfterAuthorization
			if in.BeforeAuthorization && e.MayBypassAuthorization && (in.Point == PointPublish || in.Point == PointSubscribe) {
				phase = BeforeAuthorization
			}
			if own[phase][in.Point] == nil {
				own[phase][in.Point] = &interceptorStage{
					InterceptorEntry: e, phase: phase, held: held, borrows: borrows,
					slots: newSlots(e.Policy.MaxConcurrent, defaultInterceptorConcurrency),
				}
				c.stages[phase][in.Point] = append(c.stages[phase][in.Point], own[phase][in.Point])
			}
			own[phase][in.Point].interests = append(own[phase][in.Point].interests, in)
		}
	}
	return c
}

// Intercepts reports whether anybody is to be asked at a point; if not, no
// batch needs to be made.
func (h *Hooks) Intercepts(phase Phase, p Point) bool {
	return len(h.interceptors.Load().stages[phase][p]) > 0
}

// InterceptsAny reports whether anybody is to be asked at any point.
func (h *Hooks) InterceptsAny(phase Phase) bool {
	for _, stages := range &h.interceptors.Load().stages[phase] {
		if len(stages) > 0 {
			return true
		}
	}
	return false
}

// Intercept takes a batch through the interceptors of its point. It returns
// when every call has its verdict; it never fails, for what happens when an
// interceptor could not decide is in its policy. ctx should end with the
// broker, not with the client: a message read is a message handled.
func (h *Hooks) Intercept(ctx context.Context, phase Phase, b *Batch) {
	for _, s := range h.interceptors.Load().stages[phase][b.Point] {
		if sub := s.selectCalls(b); len(sub.Calls) > 0 {
			s.run(ctx, h, sub)
		}
	}
}

// selectCalls returns the calls that still pass and that the stage asked for: b
// itself if it is all of them.
func (s *interceptorStage) selectCalls(b *Batch) *Batch {
	n := 0
	for n < len(b.Calls) && s.wants(b.Calls[n]) {
		n++
	}
	if n == len(b.Calls) {
		return b
	}
	calls := append(make([]*Call, 0, len(b.Calls)-1), b.Calls[:n]...)
	for _, c := range b.Calls[n:] {
		if s.wants(c) {
			calls = append(calls, c)
		}
	}
	return &Batch{Point: b.Point, Calls: calls, Lent: b.Lent}
}

func (s *interceptorStage) wants(c *Call) bool {
	if c.Verdict.Action != Pass {
		return false
	}
	for i := range s.interests {
		if s.interests[i].wantsCall(c) {
			return true
		}
	}
	return false
}

func (in *Interest) wantsCall(c *Call) bool {
	if c.Message != nil {
		return in.wantsOrigin(c.Message.Origin) && in.wantsTopic(c.Message.Topic)
	}
	return in.wantsFilter(c.Subscription.Filter)
}

// mayChange is what the interests that asked for a call may change of it, and
// whether that is exempt from being authorised.
func (s *interceptorStage) mayChange(b *Batch, o *original) (f Field, exempt bool) {
	interests := s.interests
	if b.DecidedBy != nil {
		interests = b.DecidedBy
	}
	for i := range interests {
		if in := &interests[i]; in.Point == b.Point && in.wantsCall(&Call{Message: o.message, Subscription: o.subscription}) {
			f |= in.MayChange
			exempt = exempt || in.ExemptChanges && s.MayBypassAuthorization
		}
	}
	return f, exempt
}

func (in *Interest) wantsOrigin(o mqtt.Origin) bool {
	return len(in.Origins) == 0 || slices.Contains(in.Origins, o)
}

func (in *Interest) wantsTopic(name string) bool {
	for _, f := range in.Filters {
		if topic.Match(f, name) {
			return true
		}
	}
	return len(in.Filters) == 0
}

func (in *Interest) wantsFilter(filter string) bool {
	if len(in.Filters) == 0 {
		return true
	}
	if sh, ok, err := topic.ParseShared(filter); ok && err == nil {
		filter = sh.Filter
	}
	for _, f := range in.Filters {
		if topic.Overlaps(f, filter) {
			return true
		}
	}
	return false
}

// run makes one call under the stage's policy and checks what came of it.
func (s *interceptorStage) run(ctx context.Context, h *Hooks, b *Batch) {
	pc := &s.Counters.points[b.Point]
	watchers := h.watch.Of(s.Name, b.Point)
	if b.Lent && (watchers != nil || !s.borrows) {
		b.own()
	}
	var arr [16]original
	before := remember(arr[:0], b)
	t, err := s.attempt(ctx, pc, b, before)
	if err != nil {
		s.applyPolicy(pc, b)
		h.log.LogAttrs(ctx, slog.LevelDebug, "interceptor could not decide",
			slog.String("plugin", s.Name), slog.String("hook", b.Point.String()),
			slog.Int("calls", len(b.Calls)), slog.Any("error", err))
		if watchers != nil {
			s.watched(watchers, &t, b, before, nil, err)
		}
		return
	}
	pc.decided.Add(uint64(len(b.Calls)))
	var undeclared []Field
	if watchers != nil {
		undeclared = make([]Field, len(b.Calls))
	}
	var outcomes [numOutcomes]uint64
	for i, c := range b.Calls {
		outcome, wrong := s.hold(pc, b, c, &before[i])
		outcomes[outcome]++
		if wrong != 0 && watchers != nil {
			undeclared[i] = wrong
		}
	}
	pc.tookAll(t.took, &outcomes)
	if watchers != nil {
		s.watched(watchers, &t, b, before, undeclared, nil)
	}
}

// hold holds a call that was decided against what may be changed, and returns
// how it ended and which changes were undone.
func (s *interceptorStage) hold(pc *pointCounters, b *Batch, c *Call, before *original) (o Outcome, undeclared Field) {
	if c.Verdict.Action != Pass {
		before.restore(c) // what goes no further is told as it was
		c.Verdict.By = s.Name
		return outcomeOf[c.Verdict.Action], 0
	}
	changed := before.changed(c)
	if changed == 0 {
		return OutcomePass, 0
	}
	may, exempt := s.mayChange(b, before)
	if b.Point != PointUnsubscribe && may.covers(changed) {
		if !exempt {
			c.ToAuthorize |= changed & fieldAuthorized
		}
		return OutcomeChange, 0
	}
	before.restore(c)
	pc.violations.Add(1)
	if b.Answerable != nil {
		b.Answerable.Overstepped(changed &^ may)
	}
	c.Verdict = CallVerdict{
		Action: Refuse, Code: mqtt.ImplementationSpecificError,
		Reason: "a plugin made a change that it may not make", By: s.Name, Failed: true,
	}
	return OutcomeFailed, changed &^ may
}

// attempt calls the interceptor, holding within the bound on held bytes. What a
// failed call left behind is undone before the next.
func (s *interceptorStage) attempt(ctx context.Context, pc *pointCounters, b *Batch, before []original) (timing, error) {
	policy := s.onError()
	var size int64
	if policy == OnErrorHold {
		for _, c := range b.Calls {
			if c.Message != nil {
				size += int64(c.Message.Size())
			}
		}
		// Counted from the start: a call that is being decided is held too.
		if s.held.Add(size) > s.holdBytes() {
			policy = OnErrorRefuse
		}
		defer s.held.Add(-size)
	}
	return s.Policy.attempt(ctx, s.Interceptor, defaultInterceptorTimeout, policy, pc, nil, func(ctx context.Context) error {
		if err := s.slots.enter(ctx); err != nil {
			return err
		}
		defer s.slots.leave()
		b.DecidedBy, b.Answerable = nil, nil
		err := s.Interceptor.Intercept(ctx, b)
		if err != nil {
			restore(before, b)
		}
		return err
	})
}

func (s *interceptorStage) holdBytes() int64 {
	if s.Policy.HoldBytes > 0 {
		return s.Policy.HoldBytes
	}
	return defaultHoldBytes
}

func (s *interceptorStage) onError() OnError {
	if s.Policy.OnError == OnErrorDefault {
		return OnErrorHold
	}
	return s.Policy.OnError
}

// applyPolicy gives every call of a batch the verdict of the policy.
func (s *interceptorStage) applyPolicy(pc *pointCounters, b *Batch) {
	onError := s.onError()
	if onError == OnErrorHold {
		onError = OnErrorRefuse
	}
	pc.policy[onError].Add(uint64(len(b.Calls)))
	for _, c := range b.Calls {
		switch onError {
		case OnErrorPass:
			c.Verdict = CallVerdict{}
		case OnErrorDisconnect:
			c.Verdict = CallVerdict{
				Action: Disconnect, Code: mqtt.ImplementationSpecificError,
				Reason: "a plugin could not decide", By: s.Name, Failed: true,
			}
		default:
			c.Verdict = CallVerdict{
				Action: Refuse, Code: mqtt.ImplementationSpecificError,
				Reason: "a plugin could not decide", By: s.Name, Failed: true,
			}
		}
	}
}
