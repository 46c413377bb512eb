package pluginhost

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// fakeAuthenticator echoes what it is told until it is told "done".
type fakeAuthenticator struct {
	pluginv1.UnimplementedConnectionValidatorServiceServer
}

func (fakeAuthenticator) Authenticate(s pluginv1.ConnectionValidatorService_AuthenticateServer) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	data := first.GetAuthenticationData()
	for {
		out := &pluginv1.AuthenticateResponse{AuthenticationData: data}
		switch string(data) {
		case "done":
			out = &pluginv1.AuthenticateResponse{Decision: &pluginv1.Decision{
				Verdict: pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW, Mountpoint: first.GetConnect().GetClientId() + "/",
			}}
		case "long":
			out.Reason = strings.Repeat("x", 70_000)
		case "fail":
			return errors.New("no database")
		}
		if err := s.Send(out); err != nil {
			return err
		}
		if out.Decision != nil {
			return nil
		}
		next, err := s.Recv()
		if err != nil {
			return err
		}
		data = next.GetAuthenticationData()
	}
}

// scripted is a client that answers challenges from a list and then goes away.
type scripted struct {
	answers []string
	seen    []string
}

var errWentAway = errors.New("went away")

func (*scripted) Again() bool { return false }

func (x *scripted) Challenge(_ context.Context, s hook.AuthStep) (hook.AuthStep, error) {
	x.seen = append(x.seen, string(s.Data))
	if len(x.answers) == 0 {
		return hook.AuthStep{}, errWentAway
	}
	next := x.answers[0]
	x.answers = x.answers[1:]
	return hook.AuthStep{Data: []byte(next)}, nil
}

func authenticating(can bool) fakePlugin {
	return fakePlugin{
		register:     func(s *grpc.Server) { pluginv1.RegisterConnectionValidatorServiceServer(s, fakeAuthenticator{}) },
		capabilities: &pluginv1.Capabilities{EnhancedAuthentication: can},
	}
}

func TestAuthenticate(t *testing.T) {
	r := newRig(t, authenticating(true))
	v := r.facades().validator
	if !v.Authenticates("any") {
		t.Fatal("the capability is not seen")
	}
	for name, tt := range map[string]struct {
		first   string
		answers []string
		seen    string
		want    error
	}{
		"at once":         {"done", nil, "", nil},
		"two rounds":      {"a", []string{"b", "done"}, "a b", nil},
		"client leaves":   {"a", nil, "a", errWentAway},
		"too long":        {"long", nil, "", hook.ErrProtocol},
		"plugin gives up": {"a", []string{"fail"}, "a", nil},
	} {
		t.Run(name, func(t *testing.T) {
			x := &scripted{answers: tt.answers}
			d, err := v.Authenticate(deadline(t), &hook.Connect{ClientID: "me", AuthMethod: "m", AuthData: []byte(tt.first)}, x)
			if got := strings.Join(x.seen, " "); got != tt.seen {
				t.Errorf("client saw %q, want %q", got, tt.seen)
			}
			switch {
			case name == "plugin gives up":
				if err == nil || !strings.Contains(err.Error(), "no database") {
					t.Errorf("got %v", err)
				}
			case tt.want != nil:
				wantErrors(t, err, tt.want)
			case err != nil || d.Verdict != hook.Allow || d.Mountpoint != "me/":
				t.Errorf("got %+v, %v", d, err)
			}
		})
	}
	// A plugin that is away still has its method: the client may come again.
	r.stop()
	if !v.Authenticates("any") {
		t.Error("forgotten")
	}
	_, err := v.Authenticate(deadline(t), &hook.Connect{ClientID: "me"}, &scripted{})
	wantErrors(t, err, hook.ErrUnavailable)
}

func TestAuthenticateNotOffered(t *testing.T) {
	if newRig(t, authenticating(false)).facades().validator.Authenticates("any") {
		t.Error("a plugin without the capability takes part")
	}
}
