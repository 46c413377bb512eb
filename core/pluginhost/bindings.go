package pluginhost

import (
	"context"
	"log/slog"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// bindings makes the entries of all plugins that take part, but for one that is
// about to be left out, in their order. It changes no store that was chosen
// before: moving retained messages to another is not a matter of names.
func (h *Host) bindings(without *supervisor) Bindings {
	var b Bindings
	for _, m := range h.list() {
		s := m.supervisor
		if s == without || !m.takesPart() {
			continue
		}
		entry := s.settings()
		if s.visited() {
			entry.Validator, entry.Interceptor = patient(entry.Validator), patient(entry.Interceptor)
		}
		services, known := s.services()
		// A plugin of which nothing is known may be the one that decides who
		// may connect: until it is known, its policy is that of a validator.
		// Leaving it out would let everyone in because a file is broken.
		if services.validator && s.asks(hook.PointConnect) || !known {
			b.Validators = append(b.Validators, hook.ValidatorEntry{
				Name: entry.Name, Validator: s.slot.facades.validator,
				Policy: entry.Validator, Counters: s.validatorCalls,
			})
		}
		if services.interceptor {
			b.Interceptors = append(b.Interceptors, s.interceptorEntry(&entry))
		}
		// An observer is not told of what happened before it could listen.
		if services.observer && s.latestInit() != nil && s.asks(hook.PointEvent) {
			b.Observers = append(b.Observers, hook.ObserverEntry{
				Name: entry.Name, Observer: s.slot.facades.observer,
				Interests: interests(s.latestInterest()), Queue: entry.Observer.Queue, Counters: s.otherCalls,
			})
		}
	}
	if s := h.store.Load(); s != nil {
		b.Store, b.StoreName = s.slot.facades.store, s.slot.name
	}
	return b
}

func (s *supervisor) interceptorEntry(entry *found) hook.InterceptorEntry {
	policy := entry.Interceptor
	policy.Idempotent = policy.Idempotent || s.latestInit().GetCapabilities().GetIdempotent()
	facade := s.slot.facades.interceptor()
	return hook.InterceptorEntry{
		Name: entry.Name, Interceptor: facade,
		Interests: facade.interests, Policy: policy, Counters: s.interceptorCalls,
		MayBypassAuthorization: entry.MayBypassAuthorization,
	}
}

// asks reports whether the plugin is asked at a point for which it serves a
// hook: always, unless it said that its interest is complete and left the point
// out. Nothing is taken for said before Init.
func (s *supervisor) asks(p hook.Point) bool {
	if !s.latestInit().GetCapabilities().GetCompleteInterest() {
		return true
	}
	return slices.ContainsFunc(interests(s.latestInterest()), func(in hook.Interest) bool { return in.Point == p })
}

// interceptions are the interests of an interceptor. One that is served without
// naming any is asked always, unless it said that they are complete.
func interceptions(all []hook.Interest, complete bool) []hook.Interest {
	points := []hook.Point{hook.PointPublish, hook.PointSubscribe, hook.PointUnsubscribe, hook.PointDeliver}
	var out []hook.Interest
	for _, in := range all {
		if slices.Contains(points, in.Point) {
			out = append(out, in)
		}
	}
	if len(out) == 0 && !complete {
		for _, p := range points {
			out = append(out, hook.Interest{Point: p})
		}
	}
	return out
}

// equal reports whether b and o would have the broker ask the same.
func (b Bindings) equal(o Bindings) bool {
	return b.StoreName == o.StoreName &&
		slices.EqualFunc(b.Validators, o.Validators, func(x, y hook.ValidatorEntry) bool {
			return x.Name == y.Name && x.Validator == y.Validator && x.Policy == y.Policy
		}) &&
		slices.EqualFunc(b.Interceptors, o.Interceptors, func(x, y hook.InterceptorEntry) bool {
			return x.Name == y.Name && x.Interceptor == y.Interceptor && x.Policy == y.Policy &&
				x.MayBypassAuthorization == y.MayBypassAuthorization
		}) &&
		slices.EqualFunc(b.Observers, o.Observers, func(x, y hook.ObserverEntry) bool {
			return x.Name == y.Name && x.Observer == y.Observer && x.Queue == y.Queue && sameInterests(x.Interests, y.Interests)
		})
}

func sameInterests(a, b []hook.Interest) bool { return slices.EqualFunc(a, b, sameInterest) }

func sameInterest(a, b hook.Interest) bool {
	return a.Point == b.Point && a.Payload == b.Payload && a.HeadSize == b.HeadSize &&
		a.MayChange == b.MayChange && a.BeforeAuthorization == b.BeforeAuthorization && a.ExemptChanges == b.ExemptChanges && a.Snapshot == b.Snapshot &&
		slices.Equal(a.Filters, b.Filters) && slices.Equal(a.Events, b.Events) && slices.Equal(a.Origins, b.Origins)
}

// publish tells OnChange of changed bindings: soon after something may have
// changed, or at once for whoever waits for it. It returns when quit is closed.
func (h *Host) publish(told Bindings, quit <-chan struct{}) {
	for {
		var waits chan<- struct{}
		select {
		case <-quit:
			return
		case <-h.dirty:
		case waits = <-h.flush:
		}
		if err := h.chooseStore(); err != nil {
			h.log.Error("store for retained messages can't be chosen", slog.Any("error", err))
		}
		b := h.bindings(nil)
		if !b.equal(told) {
			told = b
			h.onChange(b)
		}
		if waits != nil {
			close(waits)
		}
	}
}

// publishNow returns when OnChange has been told of what is served now, or when
// ctx ends.
func (h *Host) publishNow(ctx context.Context) {
	told := make(chan struct{})
	select {
	case h.flush <- told:
	case <-ctx.Done():
		return
	}
	<-told
}
