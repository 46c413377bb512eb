// Package admin serves the admin API: what commands, and later other programs,
// ask of a running broker.
//
// It translates and does nothing else: behind it is the server API of
// core/broker, and for what a broker alone does not have, such as plugins and a
// configuration, what it is handed as [Server].
package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
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

// Server is what the API is of.
type Server struct {
	Broker *broker.Broker
	Hooks  *hook.Hooks // those of Broker
	Source Source
	Changer
	Migrator
	Debug
	Config
	Listeners
	Shadows
	Log
	// Audit, if not nil, is told of every call that may have changed something.
	Audit Audit
	// Closes, if not nil, is closed when streams are to end.
	Closes <-chan struct{}
}

// maxRequest bounds the bytes of one message of a caller.
const maxRequest = 16 << 20

// Handler returns the admin API as gRPC, gRPC-Web and JSON over HTTP, with
// reflection.
func Handler(s *Server) http.Handler {
	mux := http.NewServeMux()
	interceptors := []connect.Interceptor{refusing{}}
	if s.Audit != nil {
		interceptors = []connect.Interceptor{auditing{s.Audit}, refusing{}}
	}
	options := append(strict(), connect.WithInterceptors(interceptors...), connect.WithReadMaxBytes(maxRequest))
	var names []string
	add := func(name string) func(string, http.Handler) {
		names = append(names, name)
		return mux.Handle
	}
	b := s.Broker
	sessions := b.Sessions()
	add(adminv1connect.AdminServiceName)(adminv1connect.NewAdminServiceHandler(&service{s.Source, s.Changer}, options...))
	add(adminv1connect.RetainedServiceName)(adminv1connect.NewRetainedServiceHandler(&retainedService{b.Retained(), s.Migrator}, options...))
	add(adminv1connect.DebugServiceName)(adminv1connect.NewDebugServiceHandler(&debugService{s.Debug}, options...))
	add(adminv1connect.ClientServiceName)(adminv1connect.NewClientServiceHandler(&clientService{b.Clients(), sessions}, options...))
	add(adminv1connect.SessionServiceName)(adminv1connect.NewSessionServiceHandler(&sessionService{sessions}, options...))
	add(adminv1connect.SubscriptionServiceName)(adminv1connect.NewSubscriptionServiceHandler(&subscriptionService{sessions}, options...))
	add(adminv1connect.PublishServiceName)(adminv1connect.NewPublishServiceHandler(&publishService{b}, options...))
	add(adminv1connect.SharedDataServiceName)(adminv1connect.NewSharedDataServiceHandler(&sharedDataService{b.Shared()}, options...))
	add(adminv1connect.ListenerServiceName)(adminv1connect.NewListenerServiceHandler(&listenerService{s.Listeners}, options...))
	add(adminv1connect.ConfigServiceName)(adminv1connect.NewConfigServiceHandler(&configService{s.Config}, options...))
	add(adminv1connect.BanServiceName)(adminv1connect.NewBanServiceHandler(&banService{b}, options...))
	add(adminv1connect.QuotaServiceName)(adminv1connect.NewQuotaServiceHandler(&quotaService{b.Quotas()}, options...))
	add(adminv1connect.EventServiceName)(adminv1connect.NewEventServiceHandler(&eventService{hooks: s.Hooks, closes: s.Closes}, options...))
	add(adminv1connect.ShadowServiceName)(adminv1connect.NewShadowServiceHandler(&shadowService{s.Shadows}, options...))
	add(adminv1connect.LogServiceName)(adminv1connect.NewLogServiceHandler(&logService{s.Log}, options...))
	reflector := grpcreflect.NewStaticReflector(names...)
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
