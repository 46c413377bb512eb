package main

import (
	"context"
	"errors"
	"log/slog"
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
	handler http.Handler
	server  *server
	closes  chan struct{}   // closed when streams are to end
	follow  context.Context //nolint:containedctx // of the doors' certificates; stop ends it
	stop    context.CancelFunc
	goes    sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	doors  []*adminDoor
	closed bool
	errs   []error // of doors that are closed
}

// openAdmin opens the admin API.
func (s *server) openAdmin(ctx context.Context) (*adminServer, error) {
	c, err := s.adminConfig(s.cfg)
	if err != nil {
		return nil, err
	}
	a := &adminServer{server: s, closes: make(chan struct{})}
	s.adminCloses = a.closes
	a.handler = identified(s.adminHandler(admin.Handler(&admin.Server{
		Broker: s.broker, Hooks: s.hooks, Source: s, Changer: s, Migrator: s, Debug: s,
		Config: liveConfig{s, a.closes}, Listeners: s.addresses, Shadows: s.shadows, Log: s.level, Audit: s.audit, Closes: a.closes,
	})))
	a.follow, a.stop = context.WithCancel(context.Background())
	planned, err := a.plan(ctx, c)
	if err != nil {
		a.stop()
		return nil, err
	}
	a.apply(planned)
	return a, nil
}

// serve answers on a door until it is closed.
func (a *adminServer) serve(d *adminDoor) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	d.srv = &http.Server{
		Handler: d, Protocols: protocols, ReadHeaderTimeout: 10 * time.Second, ConnContext: withCaller,
		ErrorLog: slog.NewLogLogger(a.server.log.Handler(), slog.LevelDebug), // what strangers at the door cause
	}
	d.done = make(chan error, 1)
	go func() { d.done <- d.serve() }()
	follow, unfollow := context.WithCancel(a.follow)
	d.unfollow = unfollow
	if d.tls != nil {
		a.goes.Go(func() {
			if err := d.tls.Watch(follow); err != nil {
				a.server.log.Warn("changes of certificates are not noticed, but at a start", "listener", "admin", "error", err)
			}
		})
	}
}

// close ends streams and closes all doors.
func (a *adminServer) close() error {
	close(a.closes)
	a.server.shadows.end(errStops)
	a.mu.Lock()
	a.closed = true
	for _, d := range a.doors {
		a.leave(d)
	}
	a.mu.Unlock()
	a.stop()
	a.goes.Wait()
	return errors.Join(a.errs...)
}

// leave closes a door in a moment: whoever asked for it may be behind it. The
// caller holds mu.
func (a *adminServer) leave(d *adminDoor) {
	d.unfollow()
	a.goes.Go(func() {
		err := d.close()
		a.mu.Lock()
		defer a.mu.Unlock()
		a.errs = append(a.errs, err)
	})
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
