// Package admin serves the admin API: what commands, and later other programs,
// ask of a running broker.
//
// It translates and does nothing else: what it tells comes from a [Source], so
// that the package needs neither the broker nor the plugin host.
package admin

import (
	"context"
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

// Handler returns the admin API as gRPC, gRPC-Web and JSON over HTTP, with
// reflection.
func Handler(s Source) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAdminServiceHandler(&service{source: s}))
	reflector := grpcreflect.NewStaticReflector(adminv1connect.AdminServiceName)
	mux.Handle(grpcreflect.NewHandlerV1(reflector))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector))
	return mux
}

type service struct {
	source Source
}

func (s *service) GetStatus(context.Context, *connect.Request[adminv1.GetStatusRequest]) (*connect.Response[adminv1.GetStatusResponse], error) {
	return connect.NewResponse(s.source.Status()), nil
}

func (s *service) ListPlugins(context.Context, *connect.Request[adminv1.ListPluginsRequest]) (*connect.Response[adminv1.ListPluginsResponse], error) {
	return connect.NewResponse(&adminv1.ListPluginsResponse{Plugins: s.source.Plugins()}), nil
}

func (s *service) GetPlugin(_ context.Context, req *connect.Request[adminv1.GetPluginRequest]) (*connect.Response[adminv1.GetPluginResponse], error) {
	p, ok := s.source.Plugin(req.Msg.GetName())
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no plugin %q", req.Msg.GetName()))
	}
	return connect.NewResponse(&adminv1.GetPluginResponse{Plugin: p}), nil
}
