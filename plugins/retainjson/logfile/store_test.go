package logfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const testPath = "data/retained.jsonl"

// onDisk are the options for a store on a disk in memory.
func onDisk(d *disk) Options {
	return Options{
		Path: testPath, Files: d,
		Lock: func(string) (io.Closer, error) { return io.NopCloser(nil), nil },
		Now:  func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
	}
}

func mustOpen(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func put1(topic, payload string, rev uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Put, Topic: topic, Revision: rev, Message: &pluginapi.Message{
		Topic: topic, Payload: []byte(payload), PayloadSize: len(payload), QoS: 1, Retain: true,
	}}
}

func del(topic string, rev uint64) pluginapi.Change {
	return pluginapi.Change{Op: pluginapi.Delete, Topic: topic, Revision: rev}
}

func wipe(rev uint64) pluginapi.Change { return pluginapi.Change{Op: pluginapi.Clear, Revision: rev} }

func mustApply(t *testing.T, s *Store, changes ...pluginapi.Change) {
	t.Helper()
	if _, err := s.Apply(t.Context(), changes); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

// contents returns what Load yields as "payload@revision" by topic.
func contents(t *testing.T, s *Store) map[string]string {
	t.Helper()
	got := make(map[string]string)
	err := s.Load(t.Context(), func(r pluginapi.Record) error {
		if _, twice := got[r.Message.Topic]; twice {
			t.Errorf("Load yields %q twice", r.Message.Topic)
		}
		got[r.Message.Topic] = fmt.Sprintf("%s@%d", r.Message.Payload, r.Revision)
		return nil
	})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return got
}

func wantContents(t *testing.T, s *Store, want map[string]string) {
	t.Helper()
	if got := contents(t, s); !maps.Equal(want, got) {
		t.Errorf("contents (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestApplyAndReopen(t *testing.T) {
	d := newDisk()
	s := mustOpen(t, onDisk(d))
	mustApply(t, s, put1("a", "1", 1))
	mustApply(t, s, put1("b", "2", 2), put1("a", "3", 3), del("b", 4), put1("c", "5", 5))
	want := map[string]string{"a": "3@3", "c": "5@5"}
	wantContents(t, s, want)

	again := mustOpen(t, onDisk(d.killed()))
	wantContents(t, again, want)
	if err := again.Problems(); err != nil {
		t.Errorf("Problems: %v", err)
	}
	if n := again.Numbers(); n.Revision != 5 || n.Messages != 2 || n.Tombstones != 1 {
		t.Errorf("Numbers = %+v", n)
	}
}

func TestApplyIsIdempotentByRevision(t *testing.T) {
	tests := []struct {
		name  string
		steps [][]pluginapi.Change
		want  map[string]string
		rev   uint64
	}{
		{"the same batch twice", [][]pluginapi.Change{
			{put1("a", "1", 1), put1("b", "2", 2)}, {put1("a", "1", 1), put1("b", "2", 2)},
		}, map[string]string{"a": "1@1", "b": "2@2"}, 2},
		{"the same batch with more", [][]pluginapi.Change{
			{put1("a", "1", 1)}, {put1("a", "1", 1), put1("a", "2", 2)},
		}, map[string]string{"a": "2@2"}, 2},
		{"old after new", [][]pluginapi.Change{
			{put1("a", "new", 5)}, {put1("a", "old", 4)},
		}, map[string]string{"a": "new@5"}, 5},
		{"old after delete", [][]pluginapi.Change{
			{put1("a", "1", 1)}, {del("a", 2)}, {put1("a", "1", 1)},
		}, map[string]string{}, 2},
		{"old after clear", [][]pluginapi.Change{
			{put1("a", "1", 1)}, {wipe(2)}, {put1("a", "1", 1), put1("z", "1", 2)},
		}, map[string]string{}, 2},
		{"clear twice", [][]pluginapi.Change{
			{put1("a", "1", 1), wipe(2), put1("b", "3", 3)}, {put1("a", "1", 1), wipe(2), put1("b", "3", 3)},
		}, map[string]string{"b": "3@3"}, 3},
		{"late clear keeps what is newer", [][]pluginapi.Change{
			{put1("a", "1", 1), put1("b", "3", 3)}, {wipe(2)},
		}, map[string]string{"b": "3@3"}, 3},
		{"other topics out of order", [][]pluginapi.Change{
			{put1("a", "9", 9)}, {put1("b", "3", 3)},
		}, map[string]string{"a": "9@9", "b": "3@3"}, 9},
		{"nothing", [][]pluginapi.Change{{}}, map[string]string{}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := newDisk()
			s := mustOpen(t, onDisk(d))
			var rev uint64
			for _, step := range test.steps {
				var err error
				if rev, err = s.Apply(t.Context(), step); err != nil {
					t.Fatal(err)
				}
			}
			if rev != test.rev {
				t.Errorf("revision %d, want %d", rev, test.rev)
			}
			wantContents(t, s, test.want)
			wantContents(t, mustOpen(t, onDisk(d.killed())), test.want)
			if err := s.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantContents(t, s, test.want)
			wantContents(t, mustOpen(t, onDisk(d.killed())), test.want)
		})
	}
}

func TestEveryFieldSurvives(t *testing.T) {
	expiry, no, yes := uint32(3600), false, true
	created := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	messages := []*pluginapi.Message{
		{
			Topic: "full", Payload: []byte("21.5 °C <&>\u2028\n"), QoS: 2, Retain: true, PayloadIsUTF8: &yes, Expiry: &expiry,
			ContentType: "text/plain", ResponseTopic: "re/ply", CorrelationData: []byte{0, 1, 2},
			UserProperties: []pluginapi.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}, {}},
			Publisher:      "client \"1\"", Origin: pluginapi.FromWill, Created: created,
		},
		{Topic: "binary", Payload: []byte{0xff, 0, '\n', '}'}, PayloadIsUTF8: &no, CorrelationData: []byte{}},
		{Topic: "control", Payload: []byte("\x01"), Origin: pluginapi.FromPlugin},
		{Topic: "looks/like/the/end", Payload: []byte(`{"crc":"00000000"}`), Origin: pluginapi.Origin(9)},
		{Topic: "empty", Payload: []byte{}, Created: created},
		{Topic: "täöpic/+0\u0001", Payload: bytes.Repeat([]byte("long "), 100_000)},
	}
	d := newDisk()
	s := mustOpen(t, onDisk(d))
	var batch []pluginapi.Change
	for i, m := range messages {
		m.PayloadSize = len(m.Payload)
		batch = append(batch, pluginapi.Change{Op: pluginapi.Put, Topic: m.Topic, Message: m, Revision: uint64(i + 1)})
	}
	mustApply(t, s, batch...)
	check := func(s *Store) {
		t.Helper()
		var got []*pluginapi.Message
		if err := s.Load(t.Context(), func(r pluginapi.Record) error {
			got = append(got, r.Message)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(messages, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	}
	check(s)
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(s)
	check(mustOpen(t, onDisk(d.killed())))
	if text := string(d.names[testPath].data); !strings.Contains(text, "21.5 °C <&>") {
		t.Error("a readable payload is not readable in the file")
	}
}

func TestApplyRefusesWhatCannotBeWritten(t *testing.T) {
	s := mustOpen(t, onDisk(newDisk()))
	mustApply(t, s, put1("a", "1", 1))
	for name, c := range map[string]pluginapi.Change{
		"topic":       put1("\xff", "x", 3),
		"no topic":    del("", 3),
		"no message":  {Op: pluginapi.Put, Topic: "x", Revision: 3},
		"unknown op":  {Op: 9, Topic: "x", Revision: 3},
		"publisher":   {Op: pluginapi.Put, Revision: 3, Message: &pluginapi.Message{Topic: "x", Publisher: "\xff"}},
		"far created": {Op: pluginapi.Put, Revision: 3, Message: &pluginapi.Message{Topic: "x", Created: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		if _, err := s.Apply(t.Context(), []pluginapi.Change{put1("b", "2", 2), c}); err == nil {
			t.Errorf("%s: no error", name)
		}
		wantContents(t, s, map[string]string{"a": "1@1"})
	}
	mustApply(t, s, put1("b", "2", 2))
	if err := s.Problems(); err != nil {
		t.Errorf("Problems after a good change: %v", err)
	}
}

func TestSnapshotHasTombstonesAndOneRevision(t *testing.T) {
	s := mustOpen(t, onDisk(newDisk()))
	mustApply(t, s, put1("a", "1", 1), put1("b", "2", 2), put1("c", "3", 3))
	mustApply(t, s, del("b", 4))
	var records, tombstones []string
	rev, err := s.Snapshot(t.Context(), func(r pluginapi.Record) error {
		if len(records) == 0 { // changes and a compaction while it runs
			mustApply(t, s, put1("a", "changed", 5), del("c", 6), put1("d", "new", 7))
			if err := s.Compact(t.Context()); err != nil {
				t.Error(err)
			}
		}
		records = append(records, fmt.Sprintf("%s=%s@%d", r.Message.Topic, r.Message.Payload, r.Revision))
		return nil
	}, func(d pluginapi.Tombstone) error {
		tombstones = append(tombstones, fmt.Sprintf("%s@%d", d.Topic, d.Revision))
		return nil
	})
	if err != nil || rev != 4 {
		t.Errorf("revision %d, error %v", rev, err)
	}
	if diff := cmp.Diff([]string{"a=1@1", "c=3@3"}, records); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b@4"}, tombstones); diff != "" {
		t.Error(diff)
	}
	wantContents(t, s, map[string]string{"a": "changed@5", "d": "new@7"})
}

func TestLoadStops(t *testing.T) {
	s := mustOpen(t, onDisk(newDisk()))
	mustApply(t, s, put1("a", "1", 1), put1("b", "2", 2))
	stop := fmt.Errorf("enough")
	if err := s.Load(t.Context(), func(pluginapi.Record) error { return stop }); err != stop { //nolint:errorlint // it must come back as it is
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Load(ctx, func(pluginapi.Record) error { return nil }); err == nil {
		t.Error("Load with a context that is done succeeds")
	}
}

func TestClosedStore(t *testing.T) {
	s := mustOpen(t, onDisk(newDisk()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), []pluginapi.Change{put1("a", "1", 1)}); err == nil {
		t.Error("Apply after Close succeeds")
	}
	if err := s.Load(t.Context(), nil); err == nil {
		t.Error("Load after Close succeeds")
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Errorf("Compact after Close: %v", err)
	}
	s.Sync()
}

func TestOnlyOneProcess(t *testing.T) {
	o := Options{Path: filepath.Join(t.TempDir(), "r.jsonl")}
	s := mustOpen(t, o)
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second Open: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o)
}

func TestRealFiles(t *testing.T) {
	dir := t.TempDir()
	o := Options{Path: filepath.Join(dir, "r.jsonl")}
	s := mustOpen(t, o)
	want := make(map[string]string)
	rev := uint64(0)
	for round := range 20 {
		var batch []pluginapi.Change
		for i := range 50 {
			rev++
			topic, payload := fmt.Sprintf("t/%d", i), fmt.Sprintf("%d", round)
			batch = append(batch, put1(topic, payload, rev))
			want[topic] = fmt.Sprintf("%s@%d", payload, rev)
		}
		mustApply(t, s, batch...)
	}
	before := s.Numbers()
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := s.Numbers()
	if after.Bytes*10 > before.Bytes || after.Garbage > 1000 {
		t.Errorf("compaction: %+v -> %+v", before, after)
	}
	wantContents(t, s, want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, mustOpen(t, o), want)
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 2 {
		t.Errorf("files left: %v, %v", names, err)
	}
}

func TestPolicies(t *testing.T) {
	for policy, syncs := range map[SyncPolicy]bool{SyncAlways: true, SyncInterval: false, SyncNever: false} {
		t.Run(string(policy), func(t *testing.T) {
			d := newDisk()
			o := onDisk(d)
			o.Sync = policy
			s := mustOpen(t, o)
			mustApply(t, s, put1("a", "1", 1))
			node := d.names[testPath]
			if got := len(node.pending) == 0; got != syncs {
				t.Errorf("synced before Apply answers: %v", got)
			}
			s.Sync()
			if len(node.pending) != 0 {
				t.Error("not synced by Sync")
			}
			mustApply(t, s, put1("a", "2", 2))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if len(node.pending) != 0 {
				t.Error("not synced by Close")
			}
		})
	}
}

func logTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }
