package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// adminServer is the open admin API.
type adminServer struct {
	servers []*http.Server // one for each address
	done    chan error     // what became of each
	stop    context.CancelFunc
	goes    sync.WaitGroup
}

// openAdmin opens the admin API.
func (s *server) openAdmin(ctx context.Context) (*adminServer, error) {
	doors, err := s.openDoors(ctx)
	if err != nil {
		return nil, err
	}
	closes := make(chan struct{})
	s.adminCloses = closes
	handler := identified(s.adminHandler(admin.Handler(&admin.Server{
		Broker: s.broker, Hooks: s.hooks, Source: s, Changer: s, Migrator: s, Debug: s,
		Config: liveConfig{s, closes}, Listeners: s.addresses, Shadows: s.shadows, Log: s.level, Audit: s.audit, Closes: closes,
	})))
	follow, stop := context.WithCancel(context.Background())
	a := &adminServer{done: make(chan error, len(doors)), stop: stop}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	for _, d := range doors {
		srv := &http.Server{
			Handler: d.guard.Wrap(handler), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, ConnContext: withCaller,
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what strangers at the door cause
		}
		a.servers = append(a.servers, srv)
		go func() { a.done <- d.serve(srv) }()
		if d.tls != nil {
			a.goes.Go(func() {
				if err := d.tls.Watch(follow); err != nil {
					s.log.Warn("changes of certificates are not noticed, but at a start", "listener", "admin", "error", err)
				}
			})
		}
	}
	a.servers[0].RegisterOnShutdown(func() {
		close(closes)
		s.shadows.end(errStops)
	})
	return a, nil
}

func (a *adminServer) close() error {
	defer a.goes.Wait()
	a.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var errs []error
	for _, srv := range a.servers {
		err := srv.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		errs = append(errs, err)
	}
	for range a.servers {
		if err := <-a.done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
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
