package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// adminServer is the open admin API.
type adminServer struct {
	http *http.Server
	done chan error
}

// openAdmin opens the admin API on its socket.
func (s *server) openAdmin(ctx context.Context) (*adminServer, error) {
	raw := s.adminURL
	if raw == "" {
		dir, err := filepath.Abs(s.cfg.RunDir)
		if err != nil {
			return nil, err
		}
		raw = "unix://" + filepath.Join(dir, adminSocketName)
	}
	if _, _, err := parseAdminURL(raw); err != nil {
		return nil, err
	}
	ln, err := listener.Open(ctx, raw, listener.Options{Name: "admin", SocketMode: 0o600})
	if err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	closes := make(chan struct{})
	a := &adminServer{
		http: &http.Server{Handler: s.adminHandler(admin.Handler(&admin.Server{
			Broker: s.broker, Hooks: s.hooks, Source: s, Changer: s, Migrator: s, Debug: s,
			Config: liveConfig{s, closes}, Listeners: s.addresses, Shadows: s.shadows, Closes: closes,
		})), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second},
		done: make(chan error, 1),
	}
	a.http.RegisterOnShutdown(func() { close(closes) })
	a.http.RegisterOnShutdown(func() { s.shadows.end(errStops) })
	s.adminCloses = closes
	go func() { a.done <- a.http.Serve(ln) }()
	return a, nil
}

func (a *adminServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.http.Close()
	}
	if serr := <-a.done; !errors.Is(serr, http.ErrServerClosed) && !errors.Is(serr, net.ErrClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// Status implements admin.Source.
func (s *server) Status() *adminv1.GetStatusResponse {
	st := s.broker.Stats()
	return &adminv1.GetStatusResponse{
		Version: brokerVersion(), Pid: int64(os.Getpid()), StartedUnixNanos: st.Started.UnixNano(),
		Listeners: s.listenerURLs(), Clients: count(st.Clients), Subscriptions: count(st.Subscriptions), Retained: count(st.Retained),
		PluginDir: s.pluginDir(),
	}
}

// pluginDir is the absolute path of the plugin directory, "" without one.
func (s *server) pluginDir() string {
	if s.cfg.PluginDir == "" {
		return ""
	}
	dir, err := filepath.Abs(s.cfg.PluginDir)
	if err != nil {
		return s.cfg.PluginDir
	}
	return dir
}

func count(n int) uint64 { return uint64(max(0, n)) } //nolint:gosec // not negative
