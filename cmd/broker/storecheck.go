package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/gatehouse-mqtt/gatehouse/core/store"
)

type storeCmd struct {
	Check storeCheckCmd `cmd:"" help:"Read the whole store of sessions of a broker that does not run, and say what is in it."`
}

type storeCheckCmd struct {
	DataDir string `help:"The broker's data folder." placeholder:"DIR" default:"gatehouse-data"`
}

// Run fails if the store is corrupt, or used.
func (cmd *storeCheckCmd) Run(t *terminal) error {
	dir := filepath.Join(cmd.DataDir, sessionsFolder)
	r, err := store.Check(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	_, err = fmt.Fprintf(t.out, "%s is good: %d sessions, %d subscriptions, %d messages, %d of them in several queues, %d retained messages\n",
		dir, r.Sessions, r.Subscriptions, r.Messages, r.Shared, r.Retained)
	return err
}
