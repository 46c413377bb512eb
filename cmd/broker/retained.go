package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// What retained.store says if no plugin keeps the retained messages.
const (
	inMemory = "memory" // nobody does
	onDisk   = "disk"   // the store of sessions does
)

// retainedStore knows which plugin keeps the retained messages.
type retainedStore struct {
	path   string      // of the record of moves
	record storeRecord // the last move; zero if there was none

	mu         sync.Mutex // guards the fields below
	name       string     // the plugin, onDisk or inMemory; "" until the host has chosen
	configured string     // what the configuration says, as it was read last
}

// chooseRetained says which plugin is to keep the retained messages: the
// configured one, or the one to which they were moved since. It refuses to
// start with messages that are older than those moved, unless that was said.
func (s *server) chooseRetained() error {
	path := storeRecordPath(s.cfg.DataDir)
	record, err := readStoreRecord(path)
	if err != nil {
		return err
	}
	s.kept = &retainedStore{path: path, record: record, name: s.cfg.Retained.Store, configured: s.cfg.Retained.Store}
	switch want := s.cfg.Retained.Store; {
	case want == record.Store:
	case want == inMemory && record.From != inMemory:
	case want == "":
		s.kept.name = record.Store
	case want == record.From:
		s.kept.name = record.Store
		s.log.Warn("retained messages were moved to another store than the configuration says; the one that they were moved to is used: change retained.store",
			slog.String("configured", want), slog.String("used", record.Store), slog.Time("moved", record.Moved))
	default:
		if record.Store != "" {
			return fmt.Errorf("retained.store: it is %s, and the retained messages were moved from %s to %s on %s: write %s there and move them with \"broker retained migrate\", "+
				"or remove %s to start with what %s has", want, record.From, record.Store, record.Moved.Format("2006-01-02 15:04"), record.Store, path, want)
		}
	}
	return nil
}

// startRetained loads the retained messages and starts their writer. The
// returned function writes what is queued and ends it.
func (s *server) startRetained(ctx context.Context, b pluginhost.Bindings) (stop func() error, err error) {
	o := retain.Options{WriteBehind: s.cfg.Retained.WriteBehind, Logger: s.log}
	switch want := s.kept.name; {
	case want == inMemory:
	case want == onDisk && s.sessions == nil:
		return nil, fmt.Errorf("the retained messages are in the store of sessions, and sessions.store is memory: change one, or remove %s if they were moved there", s.kept.path)
	case want == onDisk, want == "" && b.StoreName == "" && s.sessions != nil:
		o.Store, s.kept.name = s.sessions.Retained(), onDisk
	case want != "" && want != b.StoreName && want != s.cfg.Retained.Store:
		return nil, fmt.Errorf("retained messages were moved to plugin %s, and there is none of that name that keeps them: configure it, or remove %s to start with what %s had before",
			want, s.kept.path, s.kept.record.From)
	case want != "" && want != b.StoreName:
		return nil, fmt.Errorf("retained.store: no plugin %q keeps retained messages", want)
	default:
		o.Store, s.kept.name = b.Store, cmp.Or(b.StoreName, inMemory)
	}
	if s.kept.name == inMemory || s.kept.name == onDisk {
		s.host.ReleaseStore() // a store that comes later has to be moved to
	}
	s.tellUnused()
	s.retained = retain.New(o)
	if err := s.retained.Load(ctx); err != nil {
		return nil, fmt.Errorf("retained messages cannot be loaded: %w", err)
	}
	if o.Store != nil {
		s.log.Info("retained messages loaded", "store", s.kept.name, "messages", s.retained.Len())
	}
	if r := s.kept.record; o.Store != nil && s.kept.name == r.Store && s.retained.Revision() < r.Revision {
		s.log.Error("the store of retained messages is older than it was when they were moved there: messages are lost, or its data is that of another broker",
			slog.String("plugin", r.Store), slog.Uint64("revision", s.retained.Revision()), slog.Uint64("moved_at", r.Revision))
	}
	wctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.retained.Run(wctx) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

// tellUnused warns of retained messages in the store of sessions that are not the
// ones in use: a plugin has come since, and they were not moved there.
func (s *server) tellUnused() {
	if s.sessions == nil || s.kept.name == onDisk || s.kept.record.From == onDisk {
		return
	}
	if n := s.sessions.Retained().Stored(); n > 0 {
		s.log.Warn("the store of sessions has retained messages that are not used: start with retained.store: disk and move them, or leave them",
			slog.Int("messages", n), slog.String("used", s.kept.name))
	}
}

// Migrate implements admin.Retained.
func (s *server) Migrate(ctx context.Context, req *adminv1.MigrateRequest, tell func(*adminv1.MigrateResponse)) (*adminv1.MigrateResponse, error) {
	from, to := req.GetFrom(), req.GetTo()
	if now := s.kept.current(); now != from {
		return nil, fmt.Errorf("the retained messages are not in %s, but in %s", from, now)
	}
	if from == to {
		return nil, fmt.Errorf("the retained messages are in %s already", to)
	}
	target, err := s.storeCalled(to)
	if err != nil {
		return nil, err
	}
	s.log.Info("retained messages are being moved", slog.String("from", from), slog.String("to", to))
	last := new(adminv1.MigrateResponse)
	last.Revision, err = s.retained.Move(ctx, target, retain.MoveOptions{
		Replace: req.GetReplace(),
		Commit:  func(_ context.Context, revision uint64) error { return s.kept.moved(from, to, revision) },
		Progress: func(copied, total int) {
			last.Copied, last.Total = count(copied), count(total)
			tell(&adminv1.MigrateResponse{Copied: last.Copied, Total: last.Total})
		},
	})
	switch {
	case errors.Is(err, retain.ErrAhead):
		return nil, fmt.Errorf("%w; another broker wrote to it, or an earlier move was broken off: if what it has may be dropped, move with --replace", err)
	case err != nil:
		s.log.Error("retained messages were not moved", slog.String("from", from), slog.String("to", to), slog.Any("error", err))
		return nil, err
	}
	if to == inMemory {
		last.Copied, last.Total = count(s.retained.Len()), count(s.retained.Len())
	}
	s.log.Info("retained messages were moved", slog.String("from", from), slog.String("to", to),
		slog.Uint64("messages", last.Total), slog.Uint64("revision", last.Revision))
	if s.kept.says() != to {
		last.Configure = "retained: {store: " + to + "}"
	}
	if to == inMemory || to == onDisk {
		s.host.ReleaseStore()
		return last, nil
	}
	return last, s.host.ChooseStore(to)
}

// storeCalled finds a store by the name that the configuration has for it; nil for
// none.
func (s *server) storeCalled(name string) (retain.Store, error) {
	switch {
	case name == inMemory:
		return nil, nil
	case name == onDisk && s.sessions == nil:
		return nil, errors.New("the store of sessions does not run: sessions.store is memory")
	case name == onDisk:
		return s.sessions.Retained(), nil
	default:
		return s.host.Store(name)
	}
}

// followStore moves the retained messages to the store that a configuration
// names which was read again, and reports whether it is in use then. What was not
// changed is not followed: the messages may have been moved since.
func (s *server) followStore(ctx context.Context, want string) (followed bool, err error) {
	now := s.kept.current()
	switch {
	case want == s.kept.says():
		return true, nil
	case want == "":
		return false, nil // that takes a start
	case want != now:
		if _, err := s.Migrate(ctx, &adminv1.MigrateRequest{From: now, To: want}, func(*adminv1.MigrateResponse) {}); err != nil {
			return false, fmt.Errorf("retained.store: messages are not moved from %s to %s: %w", now, want, err)
		}
	}
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	s.kept.configured = want
	return true, nil
}

func (k *retainedStore) current() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.name
}

func (k *retainedStore) says() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.configured
}

// moved notes, also for the next start, which store has the messages.
func (k *retainedStore) moved(from, to string, revision uint64) error {
	r := newStoreRecord(from, to, revision)
	if err := r.write(k.path); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.name = to
	return nil
}
