package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/gatehouse-mqtt/gatehouse/internal/tracing"
)

// services is what a configuration that was read again says of what surrounds
// the broker: who watches it, who changes it, and who is told of that. All that can
// go wrong has been tried. Either follow or discard has to be called.
type services struct {
	metrics *metricsServer  // nil: as it is
	reopen  bool            // metrics, when the old listener has made room
	tracer  *tracing.Tracer // if traces
	traces  bool            // the tracer takes the place of the one before
	audit   *os.File        // nil: the log
	admin   *adminChange    // nil: as it is
}

// planServices tries what differs from what is in force. An error changes
// nothing.
func (s *server) planServices(ctx context.Context, cfg, now *config) (p *services, err error) {
	p = new(services)
	defer func() {
		if err != nil {
			p.discard()
		}
	}()
	if cfg.Metrics.URL != now.Metrics.URL {
		p.metrics, err = openMetrics(ctx, &cfg.Metrics)
		if errors.Is(err, syscall.EADDRINUSE) && holdsPort(s.watched.ln, cfg.Metrics.URL) {
			p.reopen, err = true, nil
		}
		if err != nil {
			return p, err
		}
	}
	if p.audit, err = openAuditFile(cfg.Log.Audit); err != nil {
		return p, err
	}
	c, err := s.adminConfig(cfg)
	if err == nil {
		p.admin, err = s.admin.plan(ctx, c)
	}
	if err != nil && !errors.Is(err, errAdminTaken) {
		return p, err
	}
	if !sameTraces(&cfg.Traces, &now.Traces) {
		p.traces = true
		p.tracer, err = newTracer(&cfg.Traces, s.log)
		return p, err
	}
	return p, nil
}

// holdsPort reports whether a listener, which may be nil, can stand in the way of
// one for a URL.
func holdsPort(ln net.Listener, raw string) bool {
	if ln == nil {
		return false
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	u, uerr := url.Parse(raw)
	return err == nil && uerr == nil && u.Port() == port
}

func sameTraces(a, b *tracesConfig) bool {
	return a.Endpoint == b.Endpoint && a.sample() == b.sample()
}

func (p *services) discard() {
	if p.metrics != nil {
		_ = p.metrics.close()
	}
	if p.audit != nil {
		_ = p.audit.Close()
	}
	if p.admin != nil {
		p.admin.discard()
	}
	p.tracer.Close()
}

// follow puts a plan in force, and notes it in now. The broker gets the tracer
// from its options; then ended is to be called.
func (p *services) follow(ctx context.Context, s *server, cfg, now *config) (ended func(), err error) {
	ended = func() {}
	if p.metrics != nil || p.reopen {
		err = s.watched.close()
		if p.reopen {
			var oerr error
			if p.metrics, oerr = openMetrics(ctx, &cfg.Metrics); oerr != nil {
				p.metrics, err = new(metricsServer), errors.Join(err, oerr)
			}
		}
		s.serveMetrics(p.metrics)
	}
	s.audit.use(p.audit)
	if p.traces {
		ended = s.followTraces(p.tracer)
	}
	if p.admin != nil {
		s.admin.apply(p.admin)
		now.Admin = cfg.Admin
	}
	now.Metrics, now.Traces, now.Log.Audit = cfg.Metrics, cfg.Traces, cfg.Log.Audit
	return ended, err
}
