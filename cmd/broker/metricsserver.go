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

// metricsServer answers whoever watches the broker. The zero value answers
// nobody.
type metricsServer struct {
	ln   net.Listener
	http *http.Server // nil before serve
	done chan error
}

// openMetrics opens the listener for whoever watches the broker, if there is to
// be one. Either serve or close has to follow.
func openMetrics(ctx context.Context, c *metricsConfig) (*metricsServer, error) {
	if c.URL == "" {
		return new(metricsServer), nil
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &metricsServer{ln: ln, done: make(chan error, 1)}, nil
}

// serveMetrics answers on the listener, from before the plugins are started, so
// that a slow start is seen.
func (s *server) serveMetrics(m *metricsServer) {
	s.watched = m
	if m.ln == nil {
		return
	}
	s.log.Info("metrics and health are served", "url", "http://"+m.ln.Addr().String())
	mux := http.NewServeMux()
	s.handleWatching(mux)
	m.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go func() { m.done <- m.http.Serve(m.ln) }()
}

func (m *metricsServer) close() error {
	switch {
	case m.ln == nil:
		return nil
	case m.http == nil:
		return m.ln.Close()
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
	from := metrics.Sources{
		Version: brokerVersion(), Broker: s.broker, Plugins: s.host, Retained: s.retained, Store: s.storePlugin,
		Shadows: s.shadows.counts, Certificates: s.addresses.certificates, Logger: s.log,
	}
	if s.sessions != nil {
		from.Sessions = s.sessions
	}
	h := metrics.Handler(from)
	s.scraped.Store(&h)
	s.life.step(isAssembled)
}

// storePlugin names what keeps the retained messages, a plugin or onDisk; "" if
// nothing does.
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

// counts are what came of comparing, by plugin.
func (s *shadows) counts() []metrics.Shadow {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []metrics.Shadow
	for name, x := range s.running {
		out = append(out, metrics.Shadow{Plugin: name, Counts: x.compared.Read()})
	}
	return out
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
