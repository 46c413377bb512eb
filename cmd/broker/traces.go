package main

import (
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

// openTraces makes the tracer, if there is to be one, and lets it watch the
// hooks.
func (s *server) openTraces() error {
	c := &s.cfg.Traces
	if c.Endpoint == "" {
		return nil
	}
	o := tracing.Options{Endpoint: c.Endpoint, Sample: defaultSample, Version: brokerVersion(), Logger: s.log}
	if c.Sample != nil {
		o.Sample = *c.Sample
	}
	t, err := tracing.New(o)
	if err != nil {
		return err
	}
	s.hooks.Watch().Add(t)
	s.traces = t
	return nil
}

// tracer is what the broker is given: no interface that holds nil.
func (s *server) tracer() broker.Tracer {
	if s.traces == nil {
		return nil
	}
	return s.traces
}
