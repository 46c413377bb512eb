package plugintest

import (
	"bytes"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// pluginOf returns the plugin that a store is reached through, nil for none.
func pluginOf(s pluginapi.Store) *Plugin {
	switch p := s.(type) {
	case *Plugin:
		return p
	case *Process:
		return p.Plugin
	}
	return nil
}

// snapshot is what a [pluginapi.Snapshotter] yields.
type snapshot struct {
	records    []pluginapi.Record
	tombstones map[string]uint64
	revision   uint64
}

func (s *storeTest) snapshot(of pluginapi.Snapshotter) snapshot {
	s.Helper()
	out := snapshot{tombstones: map[string]uint64{}}
	var err error
	out.revision, err = of.Snapshot(s.Context(), func(r pluginapi.Record) error {
		out.records = append(out.records, r)
		return nil
	}, func(t pluginapi.Tombstone) error {
		out.tombstones[t.Topic] = t.Revision
		return nil
	})
	if err != nil {
		s.Fatalf("Snapshot: %v", err)
	}
	return out
}

// testSnapshot takes a snapshot into another store, which then has to behave
// like the first.
func testSnapshot(s *storeTest) {
	of, ok := s.store.(pluginapi.Snapshotter)
	if p := pluginOf(s.store); !ok || p != nil && !p.init.Load().GetCapabilities().GetSnapshot() {
		return
	}
	a, c := retained("a", "1"), retained("c", "3")
	s.apply(put(1, a), put(2, retained("b", "2")), put(3, c))
	s.apply(remove(7, "b"))
	snap := s.snapshot(of)
	if snap.revision != 7 {
		s.Errorf("snapshot of revision %d, want 7", snap.revision)
	}
	if len(snap.records) != 2 {
		s.Errorf("snapshot with %d records, want 2", len(snap.records))
	}
	if got, ok := snap.tombstones["b"]; !ok || got != 7 {
		s.Errorf("snapshot with the tombstones %v, want b at 7", snap.tombstones)
	}
	if _, ok := snap.tombstones["a"]; ok {
		s.Error("snapshot with a tombstone for a topic that is stored")
	}

	other := &storeTest{T: s.T, open: s.open, dir: s.TempDir()}
	other.reopen()
	defer other.close()
	other.apply(snap.changes()...)
	other.want(record(1, a), record(3, c))
	other.apply(put(6, retained("b", "stale")))
	other.want(record(1, a), record(3, c))
}

// changes are what a migration makes of a snapshot: in order of revision.
func (s *snapshot) changes() []pluginapi.Change {
	var out []pluginapi.Change
	for _, r := range s.records {
		out = append(out, put(r.Revision, r.Message))
	}
	for topic, revision := range s.tombstones {
		out = append(out, remove(revision, topic))
	}
	slices.SortFunc(out, func(a, b pluginapi.Change) int {
		if a.Revision < b.Revision {
			return -1
		}
		return 1
	})
	return out
}

func testStats(s *storeTest) {
	of, ok := s.store.(pluginapi.Statser)
	if !ok {
		return
	}
	// A Plugin can always be asked; what it tests may not have an answer.
	if _, err := of.Stats(s.Context()); status.Code(err) == codes.Unimplemented {
		return
	}
	s.apply(put(1, retained("a", "1")), put(2, retained("b", "2")), remove(3, "a"))
	s.wantStats(of, 1, 3)
	s.reopen()
	s.wantStats(s.store.(pluginapi.Statser), 1, 3)
	s.apply(clearAll(4))
	s.wantStats(s.store.(pluginapi.Statser), 0, 4)
	// The broker counts on above this revision; one that was forgotten would be
	// given out again.
	s.reopen()
	s.wantStats(s.store.(pluginapi.Statser), 0, 4)
}

func (s *storeTest) wantStats(of pluginapi.Statser, messages, revision uint64) {
	s.Helper()
	got, err := of.Stats(s.Context())
	if err != nil {
		s.Fatalf("Stats: %v", err)
	}
	if got.Messages != messages || got.Revision != revision {
		s.Errorf("%d messages at revision %d, want %d at %d", got.Messages, got.Revision, messages, revision)
	}
}

// diffMessages says how two messages differ. Absent and empty are the same where
// the contract has one form for both.
func diffMessages(want, got *pluginapi.Message) string {
	for _, f := range []struct {
		name      string
		want, got any
	}{
		{"topic", want.Topic, got.Topic},
		{"size", max(want.PayloadSize, len(want.Payload)), max(got.PayloadSize, len(got.Payload))},
		{"QoS", want.QoS, got.QoS},
		{"retain", want.Retain, got.Retain},
		{"payload format", optional(want.PayloadIsUTF8), optional(got.PayloadIsUTF8)},
		{"expiry", optional(want.Expiry), optional(got.Expiry)},
		{"content type", want.ContentType, got.ContentType},
		{"response topic", want.ResponseTopic, got.ResponseTopic},
		{"correlation data", string(want.CorrelationData), string(got.CorrelationData)},
		{"publisher", want.Publisher, got.Publisher},
		{"origin", want.Origin, got.Origin},
		{"user properties", fmt.Sprintf("%q", want.UserProperties), fmt.Sprintf("%q", got.UserProperties)},
	} {
		if f.want != f.got {
			return fmt.Sprintf("%s is %v, want %v", f.name, f.got, f.want)
		}
	}
	if !want.Created.Equal(got.Created) {
		return fmt.Sprintf("created at %v, want %v", got.Created, want.Created)
	}
	if !bytes.Equal(want.Payload, got.Payload) {
		return fmt.Sprintf("payload is %q, want %q", short(string(got.Payload)), short(string(want.Payload)))
	}
	return ""
}

// optional makes pointers comparable by what they point to.
func optional[T any](p *T) string {
	if p == nil {
		return "absent"
	}
	return fmt.Sprint(*p)
}

// short shortens what is shown.
func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
