package pluginhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type validateFunc func(context.Context, *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error)

type fakeValidator struct {
	pluginv1.UnimplementedConnectionValidatorServiceServer
	validate validateFunc
}

func (f *fakeValidator) Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	return f.validate(ctx, r)
}

func validating(f validateFunc) fakePlugin {
	return fakePlugin{register: func(s *grpc.Server) {
		pluginv1.RegisterConnectionValidatorServiceServer(s, &fakeValidator{validate: f})
	}}
}

func TestValidate(t *testing.T) {
	r := newRig(t, validating(func(_ context.Context, q *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
		if q.Connect.ClientId == "nobody" {
			return &pluginv1.ValidateResponse{}, nil
		}
		return &pluginv1.ValidateResponse{Decision: &pluginv1.Decision{
			Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_DENY, ReasonCode: 0x8a, Reason: q.Connect.ClientId,
		}}, nil
	}))
	v := r.facades().validator
	d, err := v.Validate(deadline(t), &hook.Connect{ClientID: "me"})
	if err != nil || d.Verdict != hook.Deny || d.Code != mqtt.Banned || d.Reason != "me" {
		t.Errorf("%+v, %v", d, err)
	}
	d, err = v.Validate(deadline(t), &hook.Connect{ClientID: "nobody"})
	wantErrors(t, err, hook.ErrProtocol)
	if d != nil {
		t.Errorf("%+v", d)
	}
	if _, err := v.Validate(deadline(t), &hook.Connect{ClientID: "\xff"}); err == nil {
		t.Error("a client identifier that is not UTF-8 was shown")
	}
}

func TestValidateErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want []error
	}{
		"could not decide": {errors.New("no database"), nil},
		"unavailable":      {status.Error(codes.Unavailable, "x"), []error{hook.ErrLost}},
		"unimplemented":    {status.Error(codes.Unimplemented, "x"), []error{hook.ErrProtocol}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, validating(func(context.Context, *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
				return nil, tt.err
			}))
			_, err := r.facades().validator.Validate(deadline(t), &hook.Connect{})
			wantErrors(t, err, tt.want...)
		})
	}
}

// TestValidateEnds with its caller, with its deadline and with the plugin.
func TestValidateEnds(t *testing.T) {
	begun, ended := make(chan struct{}, 3), make(chan error, 3)
	r := newRig(t, validating(func(ctx context.Context, _ *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}))
	validate := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := r.facades().validator.Validate(ctx, &hook.Connect{})
			done <- err
		}()
		receive(t, begun)
		return done
	}
	ctx, hangUp := context.WithCancelCause(deadline(t))
	done := validate(ctx)
	hungUp := errors.New("the client hung up")
	hangUp(hungUp)
	err := receive(t, done)
	wantErrors(t, err, hook.ErrLost)
	if !errors.Is(err, hungUp) {
		t.Errorf("%q does not say why", err)
	}
	receive(t, ended) // the plugin knows too

	ctx, cancel := context.WithTimeout(deadline(t), 200*time.Millisecond)
	defer cancel()
	wantErrors(t, receive(t, validate(ctx)), hook.ErrTimeout)
	receive(t, ended)

	done = validate(deadline(t))
	r.slot.vacate(r.in, errors.New("killed"))
	wantErrors(t, receive(t, done), hook.ErrLost)
	_, err = r.facades().validator.Validate(deadline(t), &hook.Connect{})
	wantErrors(t, err, hook.ErrUnavailable)
}

// TestValidateHugeReply: the bound of an answer holds for single calls too.
func TestValidateHugeReply(t *testing.T) {
	r := newRig(t, validating(func(context.Context, *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
		return &pluginv1.ValidateResponse{Decision: &pluginv1.Decision{Reason: strings.Repeat("x", maxCallBytes+1)}}, nil
	}))
	_, err := r.facades().validator.Validate(deadline(t), &hook.Connect{})
	wantErrors(t, err, hook.ErrProtocol)
}

func TestValidatorWaitsUntilThereIsAPlugin(t *testing.T) {
	r := newRig(t, validating(nil))
	r.slot.vacate(r.in, errStopping)
	ready := make(chan error, 1)
	go func() { ready <- r.facades().validator.WaitReady(deadline(t)) }()
	r.start(validating(nil))
	if err := receive(t, ready); err != nil {
		t.Error(err)
	}
}
