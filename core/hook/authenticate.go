package hook

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Authenticator is a companion of [Validator] for enhanced authentication, in
// which the client is asked more than once (MQTT 5 section 4.12).
//
// For a CONNECT with an authentication method that it knows, Authenticate is
// called in place of Validate, and again when a connected client authenticates
// anew. It asks with x as often as it needs and returns its decision, whose
// AuthData goes with it. The rules of Validate hold for ctx, c and errors.
type Authenticator interface {
	Authenticates(method string) bool
	Authenticate(ctx context.Context, c *Connect, x Exchange) (*Decision, error)
}

// Exchange is one enhanced authentication. It belongs to one call.
type Exchange interface {
	// Again reports whether a connected client authenticates anew.
	Again() bool
	// Challenge sends an AUTH packet to the client and waits for its answer. An
	// error means that the client went away or broke the protocol.
	Challenge(ctx context.Context, s AuthStep) (AuthStep, error)
}

// AuthStep is one AUTH packet.
type AuthStep struct {
	Data   []byte // nil if there is none
	Reason string // to the client only
	User   []mqtt.UserProperty
}

// authenticateTimeout bounds a whole exchange, the client's answers included.
const authenticateTimeout = 60 * time.Second

// Authenticates reports whether any validator that is to be asked about a client
// knows its authentication method.
func (h *Hooks) Authenticates(c *Connect) bool {
	stages, _ := h.asked(c)
	for _, s := range stages {
		if a, ok := s.Validator.(Authenticator); ok && a.Authenticates(c.AuthMethod) {
			return true
		}
	}
	return false
}

// Authenticate is [Hooks.Validate] for a client with an authentication method:
// validators that know it take part in the exchange, the others are asked as
// ever.
func (h *Hooks) Authenticate(ctx context.Context, c *Connect, x Exchange) *Admission {
	ctx, cancel := context.WithTimeout(ctx, authenticateTimeout)
	defer cancel()
	return h.decide(ctx, c, func(s *validatorStage) answer {
		if a, ok := s.Validator.(Authenticator); ok && a.Authenticates(c.AuthMethod) {
			return s.authenticate(ctx, a, c, x)
		}
		return s.validate(ctx, c)
	})
}

// authenticate takes one validator through an exchange, under its policy: its
// turns have its timeout each and hold a slot, the breaker counts it. It is
// repeated, where the policy says hold, only until the client was asked, for
// that can't be asked the same again.
func (s *validatorStage) authenticate(ctx context.Context, a Authenticator, c *Connect, x Exchange) answer {
	t := &turns{Exchange: x, slots: s.slots}
	out := s.call(ctx, t, func(ctx context.Context) (*Decision, error) {
		d, err := a.Authenticate(ctx, c, t)
		if err == nil {
			err = d.check()
		}
		return d, err
	})
	out.exchange = true
	return out
}

// asked returns the validators that decide about a client, or the name of one
// that should and is not there.
func (h *Hooks) asked(c *Connect) (stages []*validatorStage, missing string) {
	all := *h.validators.Load()
	if c.Validators == nil {
		return all, ""
	}
	for _, s := range all {
		if slices.Contains(c.Validators, s.Name) {
			stages = append(stages, s)
		}
	}
	for _, name := range c.Validators {
		if !slices.ContainsFunc(stages, func(s *validatorStage) bool { return s.Name == name }) {
			return nil, name
		}
	}
	return stages, ""
}

// decide asks the validators in order, by way of ask.
func (h *Hooks) decide(ctx context.Context, c *Connect, ask func(*validatorStage) answer) *Admission {
	adm := &Admission{Username: c.Username}
	stages, missing := h.asked(c)
	if missing != "" {
		h.log.LogAttrs(ctx, slog.LevelWarn, "validator is not there", slog.String("plugin", missing), slog.String("listener", c.Listener))
		return &Admission{Code: mqtt.ServerUnavailable, By: missing, Err: ErrUnavailable}
	}
	if len(stages) == 0 {
		return adm
	}
	allowed, asked := false, 0
	for _, s := range stages {
		a := ask(s)
		if watchers := h.watch.Of(s.Name, PointConnect); watchers != nil {
			s.watched(watchers, c, &a)
		}
		d, err := a.decision, a.err
		if err != nil {
			if abandoned(ctx) {
				return &Admission{Code: mqtt.ServerUnavailable, By: s.Name, Err: err}
			}
			if !s.applyPolicy(adm, err) {
				h.log.LogAttrs(ctx, slog.LevelWarn, "validator could not decide",
					slog.String("plugin", s.Name), slog.String("client", c.ClientID),
					slog.String("policy", s.onError().String()), slog.Any("error", err))
				return adm
			}
			continue
		}
		asked++
		switch d.Verdict {
		case Deny:
			return denied(s.Name, d)
		case Allow:
			allowed = true
			adm.merge(s.Name, d)
		}
	}
	if !allowed && asked > 0 {
		return &Admission{Code: mqtt.NotAuthorized, Reason: "no validator knows this client"}
	}
	return adm
}
