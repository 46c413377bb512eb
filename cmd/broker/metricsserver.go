package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/internal/metrics"
)

// check looks at what the types do not tell. The error is a *misplaced.
func (c *metricsConfig) check() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return &misplaced{"$.metrics.url", "write http://HOST:PORT"}
	}
	if !listener.IsLoopback(u) && !c.AllowRemote {
		return &misplaced{"$.metrics.url", "other machines can reach this address, and nobody is asked who he is: use 127.0.0.1, or set metrics.allow_remote: true"}
	}
	return nil
}

// metricsServer answers whoever watches the broker.
type metricsServer struct {
	http *http.Server // nil: there is none
	done chan error
}

// openMetrics opens the listener for whoever watches the broker, if there is to
// be one. It is open before the plugins are, so that a slow start is seen.
func (s *server) openMetrics(ctx context.Context) (*metricsServer, error) {
	if s.cfg.Metrics.URL == "" {
		return new(metricsServer), nil
	}
	u, err := url.Parse(s.cfg.Metrics.URL)
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	s.log.Info("metrics and health are served", "url", "http://"+ln.Addr().String())
	mux := http.NewServeMux()
	s.handleWatching(mux)
	m := &metricsServer{
		http: &http.Server{
			Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
			IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		},
		done: make(chan error, 1),
	}
	go func() { m.done <- m.http.Serve(ln) }()
	return m, nil
}

func (m *metricsServer) close() error {
	if m.http == nil {
		return nil
	}
	err := m.http.Close() // what a scraper misses is no loss
	if serr := <-m.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}

// watchable lets metrics be scraped, and readiness be judged: what they look at
// is there.
func (s *server) watchable() {
	h := metrics.Handler(metrics.Sources{
		Version: brokerVersion(), Broker: s.broker, Plugins: s.host, Retained: s.retained, Store: s.storePlugin,
		Certificates: s.addresses.certificates, Logger: s.log,
	})
	s.scraped.Store(&h)
	s.life.step(isAssembled)
}

// storePlugin names the plugin that keeps the retained messages, "" if none does.
func (s *server) storePlugin() string {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	if s.kept.name == inMemory {
		return ""
	}
	return s.kept.name
}

// handleWatching serves metrics and health.
func (s *server) handleWatching(mux *http.ServeMux) {
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		h := s.scraped.Load()
		if h == nil {
			http.Error(w, "the broker is starting", http.StatusServiceUnavailable)
			return
		}
		(*h).ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
}

// adminHandler serves, beside the admin API, what the metrics listener does and
// what only who may do everything may see.
func (s *server) adminHandler(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", api)
	s.handleWatching(mux)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}

// certificates are those that are served, by listener.
func (a *addresses) certificates() []metrics.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []metrics.Certificate
	for _, one := range a.open {
		if one.certs == nil {
			continue
		}
		for _, c := range one.certs.Certificates() {
			out = append(out, metrics.Certificate{
				Listener: one.config.name(), Subject: c.Subject.String(), Serial: c.SerialNumber.Text(16), Expires: c.NotAfter,
			})
		}
	}
	return out
}
