package hook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

const (
	defaultValidatorTimeout       = 2 * time.Second
	defaultInterceptorTimeout     = 200 * time.Millisecond
	defaultHoldFor                = 5 * time.Second
	defaultHoldBytes              = 64 << 20
	defaultValidatorConcurrency   = 256
	defaultInterceptorConcurrency = 1024

	// holdRetryPause keeps a hook that says it is ready and fails at once from
	// being called in a tight loop while a client is held.
	holdRetryPause = 20 * time.Millisecond
)

// Admission is what the validators decided together.
type Admission struct {
	// Code is Success, or the reason for which the client is refused.
	Code            mqtt.ReasonCode
	Reason          string
	ServerReference string
	// By names the validator that refused.
	By string
	// Err is why no decision could be made; nil if one was.
	Err error
	// Close says that the connection is to end without an answer.
	Close bool

	AdmittedBy       []string // the validators that allowed it, in their order
	AssignedClientID string
	User             []mqtt.UserProperty
	Username         string // the client's, or the last override
	Mountpoint       string
	Limits           Limits
	Grants           []*Grants     // all of them have to permit an action
	ValidFor         time.Duration // the shortest; 0: for ever
	Items            map[string][]byte
	AuthData         []byte
	Quotas           []Quota // all of them have to leave room
	Durability       Durability
}

type validatorStage struct {
	ValidatorEntry
	slots slots
	keep  *keeper
}

func newValidatorStage(e ValidatorEntry) *validatorStage {
	if e.Counters == nil {
		e.Counters = new(Counters)
	}
	return &validatorStage{
		ValidatorEntry: e, slots: newSlots(e.Policy.MaxConcurrent, defaultValidatorConcurrency), keep: newKeeper(),
	}
}

// Validate asks the validators in order. It never fails: an Admission always
// says what to do. Without validators everyone is admitted; if all abstain the
// client is refused; any denial ends it.
//
// A decision that its validator lets be kept may be an earlier one about the
// same CONNECT, or be shared by clients who connect at the same time.
func (h *Hooks) Validate(ctx context.Context, c *Connect) *Admission {
	return h.decide(ctx, c, func(s *validatorStage) answer { return s.validate(ctx, c) })
}

// Revalidate is [Hooks.Validate] for a client that is connected: every
// validator decides anew, and that is what is kept from now on.
func (h *Hooks) Revalidate(ctx context.Context, c *Connect) *Admission {
	return h.decide(ctx, c, func(s *validatorStage) answer {
		g := generation(s.Validator)
		a := s.call(ctx, nil, func(ctx context.Context) (*Decision, error) { return s.ask(ctx, c) })
		if a.err == nil {
			s.keep.renew(c, g, a.decision)
		}
		return a
	})
}

// check returns what makes a decision unusable.
func (d *Decision) check() error {
	switch {
	case d == nil:
		return fmt.Errorf("no decision: %w", ErrProtocol)
	case d.Mountpoint == "":
		return nil
	case topic.ValidateName(d.Mountpoint) != nil, d.Mountpoint[0] == '$', !strings.HasSuffix(d.Mountpoint, "/"):
		return fmt.Errorf("mountpoint %q is not the beginning of a topic that ends with a slash and has no $ in front: %w", d.Mountpoint, ErrProtocol)
	default:
		return nil
	}
}

func denied(by string, d *Decision) *Admission {
	code := d.Code
	if !code.Failed() {
		code = mqtt.NotAuthorized
	}
	return &Admission{
		Code: code, Reason: d.Reason, ServerReference: d.ServerReference, By: by,
		User: d.User, AuthData: d.AuthData,
	}
}

func (a *Admission) merge(by string, d *Decision) {
	a.AdmittedBy = append(a.AdmittedBy, by)
	if d.AssignedClientID != "" {
		a.AssignedClientID = d.AssignedClientID
	}
	a.User = append(a.User, d.User...)
	if d.Username != nil {
		a.Username = *d.Username
	}
	if d.Mountpoint != "" {
		a.Mountpoint = d.Mountpoint
	}
	a.Limits = a.Limits.Narrow(d.Limits)
	if d.Grants != nil {
		a.Grants = append(a.Grants, &Grants{List: d.Grants.List, By: by})
	}
	if d.Quota != nil {
		q := *d.Quota
		q.By = by
		a.Quotas = append(a.Quotas, q)
	}
	a.Durability = a.Durability.stricter(d.Durability)
	if d.ValidFor > 0 && (a.ValidFor == 0 || d.ValidFor < a.ValidFor) {
		a.ValidFor = d.ValidFor
	}
	if len(d.Items) > 0 {
		if a.Items == nil {
			a.Items = make(map[string][]byte, len(d.Items))
		}
		maps.Copy(a.Items, d.Items)
	}
	if d.AuthData != nil {
		a.AuthData = d.AuthData
	}
}

// answer is what one validator said.
type answer struct {
	decision *Decision
	err      error
	kept     bool // decision is one that was kept
	exchange bool // it took an exchange with the client
	timing   timing
}

// validate returns a decision that was kept, or asks for one.
func (s *validatorStage) validate(ctx context.Context, c *Connect) answer {
	g := generation(s.Validator)
	if d := s.keep.find(c, g); d != nil {
		s.Counters.points[PointConnect].kept.Add(1)
		return answer{decision: d, kept: true, timing: timing{began: time.Now()}}
	}
	return s.call(ctx, nil, func(ctx context.Context) (*Decision, error) {
		return s.keep.ask(ctx, c, g, func() (*Decision, error) { return s.ask(ctx, c) })
	})
}

// call asks under the stage's policy, with holding. x is nil unless the client
// is asked too.
func (s *validatorStage) call(ctx context.Context, x *turns, ask func(context.Context) (*Decision, error)) (a answer) {
	pc := &s.Counters.points[PointConnect]
	a.timing, a.err = s.Policy.attempt(ctx, s.Validator, defaultValidatorTimeout, s.onError(), pc, x, func(ctx context.Context) (err error) {
		a.decision, err = ask(ctx)
		return err
	})
	if a.err != nil {
		a.decision, a.err = nil, fmt.Errorf("validator %s: %w", s.Name, a.err)
		return a
	}
	pc.decided.Add(1)
	pc.took[a.decision.outcome()].add(a.timing.took, 1)
	return a
}

// ask makes one call.
func (s *validatorStage) ask(ctx context.Context, c *Connect) (*Decision, error) {
	if err := s.slots.enter(ctx); err != nil {
		return nil, err
	}
	defer s.slots.leave()
	d, err := s.Validator.Validate(ctx, c)
	if err == nil {
		err = d.check()
	}
	return d, err
}

func (s *validatorStage) onError() OnError {
	if s.Policy.OnError == OnErrorDefault {
		return OnErrorRefuse
	}
	return s.Policy.OnError
}

// applyPolicy writes into adm what a failed call leads to, and reports whether
// the chain goes on.
func (s *validatorStage) applyPolicy(adm *Admission, err error) (goOn bool) {
	pc := &s.Counters.points[PointConnect]
	switch s.onError() {
	case OnErrorPass:
		pc.policy[OnErrorPass].Add(1)
		return true
	case OnErrorDisconnect:
		pc.policy[OnErrorDisconnect].Add(1)
		*adm = Admission{Code: mqtt.ServerUnavailable, Close: true, By: s.Name, Err: err}
	default:
		pc.policy[OnErrorRefuse].Add(1)
		*adm = Admission{Code: mqtt.ServerUnavailable, By: s.Name, Err: err}
	}
	return false
}

// attempt calls f until it decides or the policy is at its end: once, or, when
// calls are held, as often as the hook can be called again within HoldFor. A
// hook that is being replaced holds calls under any policy. hook is asked
// whether it is a [Waiter] and [Generational]. What a client did is not held
// against the hook.
func (p *Policy) attempt(ctx context.Context, hook any, timeout time.Duration, onError OnError, pc *pointCounters, x *turns, f func(context.Context) error) (t timing, err error) {
	if p.Timeout != 0 {
		timeout = p.Timeout
	}
	t.began = time.Now()
	began := t.began
	var holdUntil time.Time
	for {
		g := generation(hook)
		if !pc.breaker.admit(g) {
			pc.rejected.Add(1)
			return t, ErrOpen
		}
		pc.running.Add(1)
		t.attempts++
		err := x.within(ctx, timeout, f)
		now := time.Now()
		t.took, t.waited = x.took(now.Sub(began)), now.Sub(t.began)
		pc.running.Add(-1)
		if x.byClient() {
			pc.breaker.report(ctx, p, g, ErrUnavailable) // nobody knows of the hook
			return t, err
		}
		pc.breaker.report(ctx, p, g, err)
		if err == nil {
			return t, nil
		}
		pc.fail(ctx, err, t.took)
		holds := onError == OnErrorHold || errors.Is(err, ErrPaused)
		if !holds || ctx.Err() != nil || x.final() || !p.mayRepeat(err) {
			return t, err
		}
		if holdUntil.IsZero() {
			pc.policy[OnErrorHold].Add(1)
			holdUntil = time.Now().Add(p.holdFor())
		}
		if !waitReady(ctx, hook, holdUntil) {
			t.waited = time.Since(t.began)
			return t, err
		}
		began = time.Now()
	}
}

// fail counts an attempt that decided nothing. That nobody waits for it any more
// is no failure.
func (pc *pointCounters) fail(ctx context.Context, err error, took time.Duration) {
	if abandoned(ctx) {
		pc.took[OutcomeAbandoned].add(took, 1)
		return
	}
	pc.failed.Add(1)
	if errors.Is(err, ErrTimeout) {
		pc.timeouts.Add(1)
		pc.took[OutcomeTimeout].add(took, 1)
		return
	}
	pc.took[OutcomeFailed].add(took, 1)
}

// abandoned reports whether whoever a call was made for has left.
func abandoned(ctx context.Context) bool { return errors.Is(ctx.Err(), context.Canceled) }

func callWithin(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	if timeout < 0 {
		return f(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := f(ctx)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

func (p *Policy) mayRepeat(err error) bool {
	if errors.Is(err, ErrUnavailable) {
		return true
	}
	return p.Idempotent && (errors.Is(err, ErrLost) || errors.Is(err, ErrTimeout))
}

func (p *Policy) holdFor() time.Duration {
	if p.HoldFor > 0 {
		return p.HoldFor
	}
	return defaultHoldFor
}

// waitReady waits until the hook can be called again, and reports false once
// until has passed or ctx has ended.
func waitReady(ctx context.Context, hook any, until time.Time) bool {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	pause := time.NewTimer(holdRetryPause)
	defer pause.Stop()
	if w, ok := hook.(Waiter); ok && w.WaitReady(ctx) != nil {
		return false
	}
	select {
	case <-pause.C:
		return true
	case <-ctx.Done():
		return false
	}
}
