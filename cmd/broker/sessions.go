package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
)

// sessionsFolder is where in the data folder sessions are kept.
const sessionsFolder = "sessions"

// durabilities are their names in the configuration.
var durabilities = map[string]session.Durability{
	"": session.DurabilitySync, "sync": session.DurabilitySync, "interval": session.DurabilityInterval, "none": session.DurabilityNone,
}

// fulls are what a full queue does, by their names in the configuration.
var fulls = map[string]session.Full{
	"": session.EndSession, "end-session": session.EndSession, "refuse": session.RefuseMessage,
	"drop-oldest": session.DropOldestKept, "drop-newest": session.DropNewestKept,
}

// limit adds the limits of sessions that are kept.
func (c *sessionsConfig) limit(l *broker.Limits) {
	l.Kept = session.KeptLimits{
		Messages: c.QueueMessages, Bytes: int(c.QueueBytes), MemoryBytes: int(c.QueueMemory), Full: fulls[c.QueueFull],
	}
	l.KeptBytesTotal = int(c.QueueBytesTotal)
}

func (c *sessionsConfig) check(retained *retainedConfig) error {
	if err := oneOf("$.sessions.store", c.Store, "", "disk", "memory"); err != nil {
		return err
	}
	if err := oneOf("$.sessions.queue_full", c.QueueFull, "", "end-session", "refuse", "drop-oldest", "drop-newest"); err != nil {
		return err
	}
	if c.Store == "memory" && retained.Store == onDisk {
		return &misplaced{"$.retained.store", "it is disk, the store of sessions, and sessions.store is memory"}
	}
	return oneOf("$.sessions.durability", c.Durability, "", "sync", "interval", "none")
}

// openSessions opens the store that sessions are kept in, if there is to be one,
// and starts its writer. stop ends that once nobody changes a session, or a
// retained message, any more.
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
	writing, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- kept.Run(writing) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, kept.Close())
	}, nil
}
