package pluginhost

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

var _ hook.Authenticator = (*validatorFacade)(nil)

// Authenticates reports whether the plugin takes part in enhanced
// authentication; which methods it knows it says by its decisions. Of a plugin
// that is away the last word counts, so that a client is told to come again and
// not that its method is bad.
func (f *validatorFacade) Authenticates(string) bool {
	if in, err := f.set.slot.current(); err == nil {
		f.authenticates.Store(in.init.GetCapabilities().GetEnhancedAuthentication())
	}
	return f.authenticates.Load()
}

// Authenticate leads one exchange over a stream of its own; see
// [hook.Authenticator].
func (f *validatorFacade) Authenticate(ctx context.Context, c *hook.Connect, x hook.Exchange) (*hook.Decision, error) {
	bound, err := f.set.enter(nil)
	if errors.Is(err, errRemoved) {
		return &hook.Decision{Verdict: hook.Abstain}, nil
	}
	if err != nil {
		return nil, err
	}
	defer bound.leave()
	d, err := exchange(ctx, bound, c, x)
	return d, bound.judge(ctx, f.set.counted(err))
}

// exchange leads an exchange with the plugin of a binding.
func exchange(ctx context.Context, bound *binding, c *hook.Connect, x hook.Exchange) (*hook.Decision, error) {
	connect, err := connectToProto(c)
	if err != nil {
		return nil, err
	}
	callCtx, done, err := bound.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	stream, err := pluginv1.NewConnectionValidatorServiceClient(bound.in.conn).Authenticate(callCtx, grpc.MaxCallRecvMsgSize(maxCallBytes))
	if err != nil {
		return nil, bound.callError(ctx, err, false)
	}
	next := &pluginv1.AuthenticateRequest{
		Connect: connect, Reauthenticate: x.Again(),
		AuthenticationData: c.AuthData, UserProperties: userToProto(c.User),
	}
	for {
		// io.EOF of Send means that the stream has ended; Recv tells how.
		_ = stream.Send(next)
		response, err := stream.Recv()
		if err != nil {
			return nil, bound.callError(ctx, err, true)
		}
		if response.Decision != nil {
			return decisionFromProto(response.Decision)
		}
		if next, err = challenge(ctx, response, x); err != nil {
			return nil, err
		}
	}
}

// challenge hands one step of the plugin to the client and returns its answer.
func challenge(ctx context.Context, r *pluginv1.AuthenticateResponse, x hook.Exchange) (*pluginv1.AuthenticateRequest, error) {
	if err := checkChallenge(r); err != nil {
		return nil, err
	}
	answer, err := x.Challenge(ctx, hook.AuthStep{
		Data: r.AuthenticationData, Reason: r.Reason, User: userFromProto(r.UserProperties),
	})
	if err != nil {
		return nil, fmt.Errorf("challenge: %w", err)
	}
	user := userToProto(answer.User)
	return &pluginv1.AuthenticateRequest{AuthenticationData: answer.Data, UserProperties: user}, nil
}

func checkChallenge(r *pluginv1.AuthenticateResponse) error {
	if err := legalString("reason", r.Reason); err != nil {
		return err
	}
	if err := legalUser(userFromProto(r.UserProperties)); err != nil {
		return err
	}
	return legalBinary("authentication data", r.AuthenticationData)
}
