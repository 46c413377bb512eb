package pluginhost

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// wish is what a running instance wants to be asked from now on.
type wish struct {
	interest []*pluginv1.HookInterest
	done     chan<- error // told once; has room for it
}

// updateInterest replaces what a running instance wants to be asked, and returns
// when that holds for all calls that follow and those before are answered. It
// lasts as long as the instance. An interest that makes no sense changes
// nothing; the error then wraps [hook.ErrProtocol], as at Init. An instance that
// is not in charge yet, or that waits inside of a call for this, waits in vain
// until ctx ends or the call's time is up. It may be called from many
// goroutines; the host service does, for its plugin.
func (in *instance) updateInterest(ctx context.Context, interest []*pluginv1.HookInterest) error {
	if _, err := interestsFromProto(interest); err != nil {
		return err
	}
	done := make(chan error, 1)
	select {
	case in.wishes <- wish{interest, done}:
	case <-in.done:
		return errGone
	case <-ctx.Done():
		return fmt.Errorf("the interest is not updated: %w", context.Cause(ctx))
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("calls by the old interest are not answered yet: %w", context.Cause(ctx))
	}
}

// grant fulfils a wish of the instance in charge.
func (t *tenure) grant(life context.Context, w wish) {
	err := t.ask(life, t.w.facts().instance, w.interest)
	if err == nil {
		t.log.Info("plugin changed its interest")
	}
	w.done <- err
}

// UpdateInterest changes what the calling plugin is asked.
func (h *hostService) UpdateInterest(ctx context.Context, in *pluginv1.UpdateInterestRequest) (*pluginv1.UpdateInterestResponse, error) {
	caller := h.instance.Load()
	if caller == nil {
		return nil, status.Error(codes.Unavailable, "the plugin is still in Init: its answer has the interest")
	}
	err := caller.updateInterest(ctx, in.GetInterest())
	switch {
	case err == nil:
		return &pluginv1.UpdateInterestResponse{}, nil
	case errors.Is(err, hook.ErrProtocol):
		return nil, invalid(err)
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	default:
		return nil, status.Error(codes.Unavailable, toUTF8(err.Error()))
	}
}
