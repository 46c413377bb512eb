package pluginhost

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// validatorFacade is a plugin's [hook.Validator]: one unary call each, for
// which a CONNECT has time.
type validatorFacade struct {
	set           *facades
	authenticates atomic.Bool // the plugin's last word; see Authenticates
}

var (
	_ hook.Validator    = (*validatorFacade)(nil)
	_ hook.Waiter       = (*validatorFacade)(nil)
	_ hook.Generational = (*validatorFacade)(nil)
)

// Generation changes with the plugin's process.
func (f *validatorFacade) Generation() uint64 { return f.set.generation() }

// WaitReady waits until the plugin is there.
func (f *validatorFacade) WaitReady(ctx context.Context) error { return f.set.slot.WaitReady(ctx) }

// Validate asks the plugin; see [hook.Validator]. The plugin's call has ctx's
// deadline and is cancelled with it. The errors wrap those of package hook.
func (f *validatorFacade) Validate(ctx context.Context, c *hook.Connect) (*hook.Decision, error) {
	bound, err := f.set.enter(nil)
	if errors.Is(err, errRemoved) {
		return &hook.Decision{Verdict: hook.Abstain}, nil
	}
	if err != nil {
		return nil, err
	}
	defer bound.leave()
	connect, err := connectToProto(c)
	if err != nil {
		return nil, err
	}
	var response pluginv1.ValidateResponse
	err = bound.invoke(ctx, pluginv1.ConnectionValidatorService_Validate_FullMethodName,
		&pluginv1.ValidateRequest{Connect: connect}, generated{&response}, maxCallBytes)
	if err != nil {
		return nil, bound.judge(ctx, f.set.counted(err))
	}
	d, err := decisionFromProto(response.Decision)
	return d, bound.judge(ctx, f.set.counted(err))
}
