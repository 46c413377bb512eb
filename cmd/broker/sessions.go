package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
)

// sessionsFolder is where in the data folder sessions are kept.
const sessionsFolder = "sessions"

// durabilities are their names in the configuration.
var durabilities = map[string]session.Durability{
	"": session.DurabilitySync, "sync": session.DurabilitySync, "interval": session.DurabilityInterval, "none": session.DurabilityNone,
}

func (c *sessionsConfig) check() error {
	if err := oneOf("$.sessions.store", c.Store, "", "disk", "memory"); err != nil {
		return err
	}
	return oneOf("$.sessions.durability", c.Durability, "", "sync", "interval", "none")
}

// openSessions opens the store that sessions are kept in, if there is to be one,
// and starts its writer. stop ends that once nobody changes a session any more.
func (s *server) openSessions() (stop func() error, err error) {
	if s.cfg.Sessions.Store == "memory" {
		return func() error { return nil }, nil
	}
	kept, err := store.Open(filepath.Join(s.cfg.DataDir, sessionsFolder), store.Options{
		Logger: s.log.With(slog.String("of", "sessions")), Strict: s.cfg.Sessions.Strict,
	})
	if err != nil {
		return nil, fmt.Errorf("the store of sessions: %w", err)
	}
	s.sessions = kept
	return func() error { return kept.Close() }, nil
}

// resumeSessions takes up the sessions that were kept, and starts to write what
// becomes of them. stop ends that once nobody changes a session any more.
func (s *server) resumeSessions(ctx context.Context) (stop func() error, err error) {
	if s.sessions == nil {
		return func() error { return nil }, nil
	}
	writing, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.sessions.Run(writing) }()
	stop = func() error {
		cancel()
		return <-ended
	}
	if err := s.broker.Restore(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}
