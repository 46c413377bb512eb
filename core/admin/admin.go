// Package admin serves the admin API: what commands, and later other programs,
// ask of a running broker.
//
// It translates and does nothing else: what it tells comes from a [Source], so
// that the package needs neither the broker nor the plugin host.
package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	"github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1/adminv1connect"
)

// Source is what the admin API tells about. Its methods are called from many
// goroutines at once and must not block for long; what they return is the
// caller's.
type Source interface {
	Status() *adminv1.GetStatusResponse
	// Plugins returns all plugins in chain order, without their long fields.
	Plugins() []*adminv1.Plugin
	// Plugin returns one plugin with everything, or false.
	Plugin(name string) (*adminv1.Plugin, bool)
}

// Changer changes plugins. Its methods are called from many goroutines at once
// and return when it is done or ctx has ended; what has begun then goes on. They
// return [ErrUnknown], wrapped, for a name that no plugin has; any other error
// says why it can't be.
type Changer interface {
	ReloadPlugin(ctx context.Context, name string) error
	EnablePlugin(ctx context.Context, name string) error
	DisablePlugin(ctx context.Context, name string) error
}

// ErrUnknown says that nothing has the name that was given.
var ErrUnknown = errors.New("unknown name")

// Handler returns the admin API as gRPC, gRPC-Web and JSON over HTTP, with
// reflection.
func Handler(s Source, c Changer, r Retained, d Debug) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(&service{source: s, changer: c}))
	mux.Handle(adminv1connect.NewRetainedServiceHandler(&retainedService{retained: r}))
	mux.Handle(adminv1connect.NewDebugServiceHandler(&debugService{debug: d}))
	reflector := grpcreflect.NewStaticReflector(
		adminv1connect.AdminServiceName, adminv1connect.RetainedServiceName, adminv1connect.DebugServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	return mux
}

type service struct {
	source  Source
	changer Changer
}

func (s *service) GetStatus(context.Context, *connect.Request[adminv1.GetStatusRequest]) (*connect.Response[adminv1.GetStatusResponse], error) {
	return connect.NewResponse(s.source.Status()), nil
}

func (s *service) ListPlugins(context.Context, *connect.Request[adminv1.ListPluginsRequest]) (*connect.Response[adminv1.ListPluginsResponse], error) {
	return connect.NewResponse(&adminv1.ListPluginsResponse{Plugins: s.source.Plugins()}), nil
}

func (s *service) GetPlugin(_ context.Context, req *connect.Request[adminv1.GetPluginRequest]) (*connect.Response[adminv1.GetPluginResponse], error) {
	p, err := s.plugin(req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.GetPluginResponse{Plugin: p}), nil
}

func (s *service) ReloadPlugin(ctx context.Context, req *connect.Request[adminv1.ReloadPluginRequest]) (*connect.Response[adminv1.ReloadPluginResponse], error) {
	p, err := s.change(ctx, req.Msg.GetName(), s.changer.ReloadPlugin)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ReloadPluginResponse{Plugin: p}), nil
}

func (s *service) EnablePlugin(ctx context.Context, req *connect.Request[adminv1.EnablePluginRequest]) (*connect.Response[adminv1.EnablePluginResponse], error) {
	p, err := s.change(ctx, req.Msg.GetName(), s.changer.EnablePlugin)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.EnablePluginResponse{Plugin: p}), nil
}

func (s *service) DisablePlugin(ctx context.Context, req *connect.Request[adminv1.DisablePluginRequest]) (*connect.Response[adminv1.DisablePluginResponse], error) {
	p, err := s.change(ctx, req.Msg.GetName(), s.changer.DisablePlugin)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.DisablePluginResponse{Plugin: p}), nil
}

// change changes a plugin and tells how it is afterwards.
func (s *service) change(ctx context.Context, name string, do func(context.Context, string) error) (*adminv1.Plugin, error) {
	switch err := do(ctx, name); {
	case errors.Is(err, ErrUnknown):
		return nil, connect.NewError(connect.CodeNotFound, err)
	case ctx.Err() != nil && err != nil:
		return nil, connect.NewError(connect.CodeDeadlineExceeded, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return s.plugin(name)
}

func (s *service) plugin(name string) (*adminv1.Plugin, error) {
	p, ok := s.source.Plugin(name)
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no plugin %q", name))
	}
	return p, nil
}
