package logfile

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// status is how well a store is. Asking for it never waits for a disk.
type status struct {
	changes     atomic.Uint64
	failures    atomic.Uint64
	compactions atomic.Uint64

	mu      sync.Mutex // guards the fields below
	damaged string     // what was found at start
	write   string     // why the last Apply failed
	compact string     // why the last compaction failed
}

func (s *status) setDamaged(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.damaged = what
}

// setWrite takes the outcome of an Apply, and logs it if it is another than
// before.
func (s *status) setWrite(log *slog.Logger, err error) {
	switch was := s.swap(&s.write, err); {
	case was == "" && err != nil:
		log.Error("changes cannot be written", slog.Any("error", err))
	case was != "" && err == nil:
		log.Info("changes can be written again")
	}
}

// setCompact takes the outcome of a compaction likewise.
func (s *status) setCompact(log *slog.Logger, err error) {
	switch was := s.swap(&s.compact, err); {
	case was == "" && err != nil:
		log.Error("the file cannot be compacted", slog.Any("error", err))
	case was != "" && err == nil:
		log.Info("the file can be compacted again")
	}
}

// swap puts an error, or none, into a field and returns what was there.
func (s *status) swap(field *string, err error) (was string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, *field = *field, ""
	if err != nil {
		*field = err.Error()
	}
	return was
}

// problems returns what is wrong, nil if nothing is.
func (s *status) problems() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []error
	for _, p := range []struct{ prefix, what string }{
		{"changes cannot be written: ", s.write},
		{"", s.compact},
		{"", s.damaged},
	} {
		if p.what != "" {
			found = append(found, errors.New(p.prefix+p.what))
		}
	}
	return errors.Join(found...)
}

// Problems tells what limits the store, nil if nothing does: a damaged file
// at start, or a disk that does not take changes. A store with problems goes
// on as far as it can. It never waits.
func (s *Store) Problems() error { return s.status.problems() }

// Numbers are the counts of a store at one moment.
type Numbers struct {
	Messages, Tombstones uint64
	Bytes, Garbage       uint64 // of the file
	Revision             uint64
	Changes, Failures    uint64 // since the start: lines written, failed Apply calls
	Compactions          uint64
	Policy               SyncPolicy
}

// publish makes the numbers visible. The caller holds mu, or is the only one
// who knows the store.
func (s *Store) publish() {
	s.stats.Store(&Numbers{
		Messages: uint64(s.index.messages), Tombstones: uint64(s.index.tombstones),
		Bytes: uint64(s.end), Garbage: uint64(max(0, s.end-s.index.live)),
		Revision: s.index.revision, Policy: s.options.Sync,
	})
}

// Numbers returns the current counts.
func (s *Store) Numbers() Numbers {
	n := *s.stats.Load()
	n.Changes = s.status.changes.Load()
	n.Failures = s.status.failures.Load()
	n.Compactions = s.status.compactions.Load()
	return n
}

func (n Numbers) stats() pluginapi.Stats {
	return pluginapi.Stats{
		Messages: n.Messages, Bytes: n.Bytes, Revision: n.Revision,
		Details: map[string]string{
			"tombstones":    strconv.FormatUint(n.Tombstones, 10),
			"garbage_bytes": strconv.FormatUint(n.Garbage, 10),
			"changes":       strconv.FormatUint(n.Changes, 10),
			"failures":      strconv.FormatUint(n.Failures, 10),
			"compactions":   strconv.FormatUint(n.Compactions, 10),
			"fsync":         string(n.Policy),
			"schema":        strconv.Itoa(schemaVersion),
		},
	}
}

// prometheus writes the numbers in the Prometheus text format.
func (n Numbers) prometheus() []byte {
	var b strings.Builder
	for _, m := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"messages", "gauge", "Retained messages stored.", n.Messages},
		{"tombstones", "gauge", "Deletions remembered until the next compaction.", n.Tombstones},
		{"file_bytes", "gauge", "Size of the file.", n.Bytes},
		{"garbage_bytes", "gauge", "Bytes of the file that the next compaction removes.", n.Garbage},
		{"changes_total", "counter", "Changes written.", n.Changes},
		{"failures_total", "counter", "Batches of changes that could not be written.", n.Failures},
		{"compactions_total", "counter", "Compactions done.", n.Compactions},
	} {
		fmt.Fprintf(&b, "# HELP retainjson_%[1]s %[3]s\n# TYPE retainjson_%[1]s %[2]s\nretainjson_%[1]s %[4]d\n",
			m.name, m.kind, m.help, m.value)
	}
	return []byte(b.String())
}
