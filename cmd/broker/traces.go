package main

import (
	"log/slog"
	"net/url"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/internal/tracing"
)

// defaultSample is the share of publishes that is followed if nothing is said.
const defaultSample = 0.01

// check looks at what the types do not tell. The error is a *misplaced.
func (c *tracesConfig) check() error {
	if c.Sample != nil && !(*c.Sample >= 0 && *c.Sample <= 1) {
		return &misplaced{"$.traces.sample", "a share is between 0 and 1"}
	}
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return &misplaced{"$.traces.endpoint", "write http://HOST:PORT or https://HOST:PORT"}
	}
	return nil
}

// newTracer makes the tracer, nil if there is to be none.
func newTracer(c *tracesConfig, log *slog.Logger) (*tracing.Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // none is wanted
	}
	return tracing.New(tracing.Options{Endpoint: c.Endpoint, Sample: c.sample(), Version: brokerVersion(), Logger: log})
}

// sample is the share of publishes that is followed.
func (c *tracesConfig) sample() float64 {
	if c.Sample == nil {
		return defaultSample
	}
	return *c.Sample
}

// followTraces lets a tracer, which may be nil, watch the hooks in place of the
// one before. The returned function ends that one, once the broker has the new
// one.
func (s *server) followTraces(t *tracing.Tracer) (endOld func()) {
	old, unwatch := s.traces, s.unwatch
	if s.traces = t; t != nil {
		s.unwatch = s.hooks.Watch().Add(t)
	}
	return func() {
		if old != nil {
			unwatch()
		}
		old.Close()
	}
}

// tracer is what the broker is given: no interface that holds nil.
func (s *server) tracer() broker.Tracer {
	if s.traces == nil {
		return nil
	}
	return s.traces
}
