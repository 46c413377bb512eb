package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Errors of calls to the broker; what a call returns wraps one of them where it
// applies, and says more.
var (
	// ErrNoHost: there is no broker to call, as for a plugin in a test.
	ErrNoHost = errors.New("there is no broker to call")
	// ErrNotReady: the broker is starting, and does not take calls yet; or it can't
	// write what it would have to keep, and says so. Later it may.
	ErrNotReady = errors.New("the broker does not take calls now")
	// ErrScope: the plugin's configuration does not permit the call.
	ErrScope = errors.New("the scope is missing")
	// ErrNotFound: there is no such client, session or message.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: what was handed over is not legal.
	ErrInvalid = errors.New("not valid")
	// ErrQuota: it would exceed a bound of the broker's.
	ErrQuota = errors.New("quota exceeded")
)

// Host is the broker, as a plugin calls it: [Setup.Host]. What a plugin may ask
// is in its scopes in the broker's configuration, none by default. The methods
// may be called from many goroutines, from the end of New until the plugin has
// stopped; a nil Host answers ErrNoHost.
//
// A hook hands the context on that it was given. What it publishes then goes out
// behind the acknowledgement of the message about which it was asked, and a
// plugin that answers its own messages comes to an end. Calls without a deadline
// end after 30 seconds.
type Host struct {
	conn    *grpc.ClientConn
	token   string
	prepare func([]Interest) (back func(), err error)
}

// newHost makes the connection to a broker's host service, nil where there is
// none. It does not wait for it.
func newHost(target, token string, prepare func([]Interest) (func(), error)) (*Host, error) {
	if target == "" {
		return nil, nil
	}
	conn, err := grpc.NewClient(target, DialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("host service: %w", err)
	}
	return &Host{conn: conn, token: token, prepare: prepare}, nil
}

// close ends the connection.
func (h *Host) close() {
	if h != nil {
		_ = h.conn.Close()
	}
}

// call makes one call: f is given the client, and a context with the token.
func call[T any](ctx context.Context, h *Host, f func(context.Context, pluginv1.HostServiceClient) (T, error)) (T, error) {
	if h == nil {
		var none T
		return none, ErrNoHost
	}
	out, err := f(metadata.AppendToOutgoingContext(ctx, "gatehouse-token", h.token), pluginv1.NewHostServiceClient(h.conn))
	return out, fromStatus(err)
}

// fromStatus turns a gRPC status into one of the errors above.
func fromStatus(err error) error {
	st, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	for _, known := range [...]struct {
		code codes.Code
		err  error
	}{
		{codes.PermissionDenied, ErrScope},
		{codes.NotFound, ErrNotFound},
		{codes.InvalidArgument, ErrInvalid},
		{codes.ResourceExhausted, ErrQuota},
		{codes.Unavailable, ErrNotReady},
		{codes.DeadlineExceeded, context.DeadlineExceeded},
		{codes.Canceled, context.Canceled},
	} {
		if st.Code() == known.code {
			return fmt.Errorf("%w: %s", known.err, strings.TrimPrefix(st.Message(), known.err.Error()+": "))
		}
	}
	return errors.New(st.Message())
}

// Published tells what became of a message.
type Published struct {
	// Receivers is the number of sessions that it was queued for.
	Receivers int
	// Later says that it goes out when the message in hand is acknowledged:
	// its receivers are not known yet, nor whether an interceptor refuses it.
	Later bool
	// Code and Reason say why it was refused; Success and "" if it was not.
	Code   ReasonCode
	Reason string
}

// Publish publishes a message; interceptors see it with the origin [FromPlugin].
// Publisher, Origin, Hops and Created are the broker's to fill. A refusal is no
// error. Scope publish.
func (h *Host) Publish(ctx context.Context, m *Message) (Published, error) {
	pb, err := messageToProto(m)
	if err != nil {
		return Published{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, err := call(ctx, h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.PublishResponse, error) {
		return c.Publish(ctx, &pluginv1.PublishRequest{Message: pb, Call: tokenOf(ctx)})
	})
	return Published{
		Receivers: int(out.GetReceivers()), Later: out.GetLater(), Code: ReasonCode(out.GetReasonCode()), Reason: out.GetReason(),
	}, err
}

// SetInterest replaces what the plugin wants to be asked, as [Interester] says
// at the start. It returns when that holds for all calls that follow; those
// before are answered by then, so that a hook that calls it waits for itself. It
// lasts as long as the process, or until it is reconfigured. The error wraps
// ErrInvalid if the interest makes no sense; then nothing has changed. No scope.
func (h *Host) SetInterest(ctx context.Context, interest []Interest) error {
	if h == nil {
		return ErrNoHost
	}
	back, err := h.prepare(interest)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	_, err = call(ctx, h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.UpdateInterestResponse, error) {
		return c.UpdateInterest(ctx, &pluginv1.UpdateInterestRequest{Interest: interestToProto(interest)})
	})
	if err != nil {
		back()
	}
	return err
}

// Farewell is what MQTT 5 clients are told when the broker stops.
type Farewell struct {
	// Code is the reason code. Success means UseAnotherServer if there is a
	// server reference, else ServerShuttingDown.
	Code            ReasonCode
	Reason          string // "" means that the server shuts down
	ServerReference string
	UserProperties  []UserProperty
}

// StopBroker shuts the broker down, and with it this plugin. It returns when that
// has begun. Scope stop.
func (h *Host) StopBroker(ctx context.Context, f Farewell) error {
	_, err := call(ctx, h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.StopBrokerResponse, error) {
		return c.StopBroker(ctx, &pluginv1.StopBrokerRequest{
			ReasonCode: uint32(f.Code), Reason: f.Reason, ServerReference: f.ServerReference,
			UserProperties: userPropertiesToProto(f.UserProperties),
		})
	})
	return err
}

// Clients is the part of the broker that is about connections.
func (h *Host) Clients() HostClients { return HostClients{h} }

// Sessions is the part of the broker that is about sessions.
func (h *Host) Sessions() HostSessions { return HostSessions{h} }

// Retained is the part of the broker that is about retained messages.
func (h *Host) Retained() HostRetained { return HostRetained{h} }

// Shared is the data that the plugins of a broker share.
func (h *Host) Shared() HostShared { return HostShared{h} }
