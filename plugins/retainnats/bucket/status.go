package bucket

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// status is how well a store is. Asking for it never waits for the server.
type status struct {
	mu     sync.Mutex // guards the fields below
	server string     // that it is connected to, or was last
	lost   time.Time  // since when there is no connection; zero if there is one
	cause  string     // why the connection was lost
	write  string     // why the last Apply failed
	alien  int        // messages of the bucket that are nobody's
	broken int        // values that the last Load could not read
	closed bool
	count  Numbers
}

// Numbers are the counts of a store at one moment.
type Numbers struct {
	Messages, Tombstones uint64
	Bytes                uint64 // of the bucket, as the server told last
	Revision, Sequence   uint64 // the highest seen, the last of the stream
	Changes, Failures    uint64 // since the start: changes stored, failed Apply calls
	Reconnects           uint64
	Connected            bool
	Server               string
	LastApply            time.Duration // how long the last Apply that succeeded took
}

func (s *status) began(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
}

// closing says that the connection ends because it is no longer needed.
func (s *status) closing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *status) disconnected(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.lost, s.cause = time.Now(), "the server closed the connection"
	if err != nil {
		s.cause = err.Error()
	}
	log.Warn("connection to NATS is lost, changes wait at the broker until it is back", slog.String("server", s.server), slog.String("error", s.cause))
}

func (s *status) connected(log *slog.Logger, server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log.Info("connected to NATS again", slog.String("server", server), slog.Duration("after", time.Since(s.lost)))
	s.server, s.lost, s.cause = server, time.Time{}, ""
	s.count.Reconnects++
}

// wrote takes the outcome of an Apply, and logs it if it is another than before.
func (s *status) wrote(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.write
	s.write = ""
	if err != nil {
		s.write = err.Error()
		s.count.Failures++
	}
	switch {
	case was == "" && err != nil:
		log.Error("changes cannot be stored", slog.Any("error", err))
	case was != "" && err == nil:
		log.Info("changes can be stored again")
	}
}

func (s *status) applied(changes int, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Changes += uint64(changes)
	s.count.LastApply = took
}

// foreign counts messages of the bucket that this plugin did not write.
func (s *status) foreign(log *slog.Logger, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alien += n
	log.Warn("the bucket holds keys that are no retained messages, they are left alone", slog.Int("keys", n))
}

func (s *status) unreadable(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = n
}

func (s *status) measured(bytes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Bytes = bytes
}

// numbers makes the counts of an index visible.
func (s *status) numbers(x *index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Messages, s.count.Tombstones = uint64(x.messages), uint64(x.tombstones)
	s.count.Revision, s.count.Sequence = x.revision, x.last
}

// Problems tells what limits the store, nil if nothing does: a server that is
// away or takes no changes, or things in the bucket that should not be there. A
// store with problems goes on as far as it can. It never waits.
func (s *Store) Problems() error {
	st := &s.status
	st.mu.Lock()
	defer st.mu.Unlock()
	var found []error
	if !st.lost.IsZero() {
		found = append(found, fmt.Errorf("no connection to NATS at %s since %s: %s", s.config.redacted(), st.lost.UTC().Format(time.RFC3339), st.cause))
	}
	if st.write != "" {
		found = append(found, errors.New("changes cannot be stored: "+st.write))
	}
	if st.alien > 0 {
		found = append(found, fmt.Errorf("bucket %s holds %d keys that are no retained messages", s.config.Bucket, st.alien))
	}
	if st.broken > 0 {
		found = append(found, fmt.Errorf("%d keys of bucket %s could not be read and were left out; the log names them", st.broken, s.config.Bucket))
	}
	return errors.Join(found...)
}

// Numbers returns the current counts.
func (s *Store) Numbers() Numbers {
	s.status.mu.Lock()
	defer s.status.mu.Unlock()
	n := s.status.count
	n.Connected, n.Server = s.status.lost.IsZero(), s.status.server
	return n
}

func (n Numbers) stats(c *Config) pluginapi.Stats {
	return pluginapi.Stats{
		Messages: n.Messages, Bytes: n.Bytes, Revision: n.Revision,
		Details: map[string]string{
			"server":     n.Server,
			"connected":  strconv.FormatBool(n.Connected),
			"bucket":     c.Bucket,
			"sequence":   strconv.FormatUint(n.Sequence, 10),
			"tombstones": strconv.FormatUint(n.Tombstones, 10),
			"changes":    strconv.FormatUint(n.Changes, 10),
			"failures":   strconv.FormatUint(n.Failures, 10),
			"reconnects": strconv.FormatUint(n.Reconnects, 10),
			"last_apply": n.LastApply.String(),
			"schema":     strconv.Itoa(schemaVersion),
		},
	}
}

// prometheus writes the numbers in the Prometheus text format.
func (n Numbers) prometheus() []byte {
	connected := uint64(0)
	if n.Connected {
		connected = 1
	}
	var b strings.Builder
	for _, m := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"messages", "gauge", "Retained messages stored.", n.Messages},
		{"tombstones", "gauge", "Deletions that are remembered.", n.Tombstones},
		{"connected", "gauge", "Whether there is a connection to NATS.", connected},
		{"changes_total", "counter", "Changes stored.", n.Changes},
		{"failures_total", "counter", "Batches of changes that could not be stored.", n.Failures},
		{"reconnects_total", "counter", "Connections made again after one was lost.", n.Reconnects},
	} {
		fmt.Fprintf(&b, "# HELP retainnats_%[1]s %[3]s\n# TYPE retainnats_%[1]s %[2]s\nretainnats_%[1]s %[4]d\n",
			m.name, m.kind, m.help, m.value)
	}
	return []byte(b.String())
}
