package pluginapi

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// validatorService serves ConnectionValidatorService.
type validatorService struct {
	pluginv1.UnimplementedConnectionValidatorServiceServer
	core *core
}

func (*validatorService) ownStream() {}

// Validate decides one CONNECT.
func (s *validatorService) Validate(ctx context.Context, req *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error) {
	in, err := s.core.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done(1)
	d, err := in.validator.ValidateConnection(ctx, connectFromProto(req.GetConnect()))
	if err != nil {
		if ctx.Err() != nil {
			return nil, toStatus("validate connection", err) // nobody waits for it
		}
		s.core.failures.warn("validator could not decide", slog.String("client", req.GetConnect().GetClientId()), slog.Any("err", err))
		return nil, toStatus("validate connection", err)
	}
	decision, err := decisionToProto(d)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &pluginv1.ValidateResponse{Decision: decision}, nil
}

// Authenticate leads one exchange of enhanced authentication.
func (s *validatorService) Authenticate(stream pluginv1.ConnectionValidatorService_AuthenticateServer) error {
	if !s.core.abilities.authenticate {
		return status.Error(codes.Unimplemented, "plugin has no enhanced authentication")
	}
	in := s.core.running.Load()
	if in == nil {
		return errNotInitialised
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c := connectFromProto(first.GetConnect())
	if first.AuthenticationData != nil {
		c.AuthData = first.GetAuthenticationData()
	}
	d, err := in.authenticator.Authenticate(stream.Context(), c, &exchange{stream: stream, again: first.GetReauthenticate()})
	if err != nil {
		return toStatus("authenticate", err)
	}
	decision, err := decisionToProto(d)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return stream.Send(&pluginv1.AuthenticateResponse{Decision: decision})
}

// exchange is an [Exchange] on a stream.
type exchange struct {
	stream pluginv1.ConnectionValidatorService_AuthenticateServer
	again  bool
}

// Again is part of [Exchange].
func (x *exchange) Again() bool { return x.again }

// Challenge is part of [Exchange].
func (x *exchange) Challenge(step AuthStep) (AuthStep, error) {
	if err := errors.Join(checkTexts("reason", step.Reason), checkUserProperties(step.UserProperties)); err != nil {
		return AuthStep{}, status.Error(codes.Internal, err.Error())
	}
	err := x.stream.Send(&pluginv1.AuthenticateResponse{
		AuthenticationData: step.Data,
		Reason:             step.Reason,
		UserProperties:     userPropertiesToProto(step.UserProperties),
	})
	if err != nil {
		return AuthStep{}, err
	}
	answer, err := x.stream.Recv()
	if errors.Is(err, io.EOF) {
		// The broker closes its side when the client has gone.
		err = status.Error(codes.Canceled, "client went away")
	}
	if err != nil {
		return AuthStep{}, err
	}
	return AuthStep{Data: answer.GetAuthenticationData(), UserProperties: userPropertiesFromProto(answer.GetUserProperties())}, nil
}
