package admin

import (
	"context"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// Config is the configuration of the broker. Its methods are called from many
// goroutines at once.
type Config interface {
	// GetConfig returns what is in force, without secrets.
	GetConfig() (*adminv1.GetConfigResponse, error)
	// CheckConfig reads the configuration again and changes nothing.
	CheckConfig(ctx context.Context) (*adminv1.CheckConfigResponse, error)
	// ReloadConfig reads the configuration again and returns when as much of it
	// as can be is in force. If ctx ends first its error is returned, and what has
	// begun goes on.
	ReloadConfig(ctx context.Context) (*adminv1.ReloadConfigResponse, error)
}

type configService struct {
	config Config
}

// GetConfig returns what is in force.
func (s *configService) GetConfig(context.Context, *adminv1.GetConfigRequest) (*adminv1.GetConfigResponse, error) {
	return s.config.GetConfig()
}

// CheckConfig checks the configuration.
func (s *configService) CheckConfig(ctx context.Context, _ *adminv1.CheckConfigRequest) (*adminv1.CheckConfigResponse, error) {
	return s.config.CheckConfig(ctx)
}

// ReloadConfig reloads the configuration.
func (s *configService) ReloadConfig(ctx context.Context, _ *adminv1.ReloadConfigRequest) (*adminv1.ReloadConfigResponse, error) {
	return s.config.ReloadConfig(ctx)
}

// Listeners are the open addresses. Its method is called from many goroutines at
// once.
type Listeners interface {
	ListListeners() []*adminv1.Listener
}

type listenerService struct {
	listeners Listeners
}

// ListListeners lists them.
func (s *listenerService) ListListeners(context.Context, *adminv1.ListListenersRequest) (*adminv1.ListListenersResponse, error) {
	return &adminv1.ListListenersResponse{Listeners: s.listeners.ListListeners()}, nil
}
