package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

func put(topic, payload string, revision uint64, d retain.Durability) retain.Change {
	m := &mqtt.Message{Topic: topic, Payload: []byte(payload), Retain: true, Created: time.Unix(1, 0)}
	return retain.Change{Op: retain.Put, Topic: topic, Message: m, Revision: revision, Durability: d}
}

func apply(t *testing.T, s *Store, changes ...retain.Change) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Retained().Apply(ctx, changes); err != nil {
		t.Fatal(err)
	}
}

// retained returns the payloads of all retained messages by topic, and the
// highest revision.
func retained(t interface{ Fatal(...any) }, s *Store) (all map[string]string, revision uint64) {
	all = make(map[string]string)
	for r, err := range s.Retained().Load(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		revision = max(revision, r.Revision)
		if r.Message != nil {
			all[r.Message.Topic] = string(r.Message.Payload)
		}
	}
	return all, revision
}

// What was applied is there after the next start, with all that a message has,
// beside the sessions.
func TestRetained(t *testing.T) {
	disk := vfs.NewMem()
	s := opened(t, disk, "sessions")
	stop := running(t, s)
	filled(s, "c", 0, 3)
	rich := put("rich", "x", 1, retain.DurabilitySync)
	rich.Message.QoS, rich.Message.Publisher, rich.Message.Origin = 2, "p", mqtt.FromWill
	rich.Message.Properties = &mqtt.Properties{Expiry: 60, HasExpiry: true, ContentType: "text/plain", User: []mqtt.UserProperty{{Key: "k", Value: "v"}}}
	apply(t, s, rich, put("a", "1", 2, retain.DurabilitySync), put("b/c", "2", 3, retain.DurabilityInterval))
	apply(t, s, put("a", "3", 4, retain.DurabilityNone), retain.Change{Op: retain.Delete, Topic: "b/c", Revision: 5})
	apply(t, s)
	stop()

	s = opened(t, disk, "sessions")
	want := map[string]string{"rich": "x", "a": "3"}
	if all, revision := retained(t, s); !maps.Equal(all, want) || revision != 5 || s.Retained().Stored() != 2 {
		t.Errorf("%v at revision %d, %d when opened", all, revision, s.Retained().Stored())
	}
	for r := range s.Retained().Load(t.Context()) {
		if m := r.Message; m != nil && m.Topic == "rich" {
			if m.QoS != 2 || m.Publisher != "p" || m.Origin != mqtt.FromWill || !m.Retain || !m.Created.Equal(time.Unix(1, 0)) ||
				m.Properties == nil || m.Properties.Expiry != 60 || !m.Properties.HasExpiry || len(m.Properties.User) != 1 {
				t.Errorf("%+v", m)
			}
		}
	}
	stop = running(t, s)
	apply(t, s, put("d", "4", 6, retain.DurabilitySync), retain.Change{Op: retain.Clear, Revision: 7}, put("e", "5", 8, retain.DurabilitySync))
	if all, revision := retained(t, s); !maps.Equal(all, map[string]string{"e": "5"}) || revision != 8 {
		t.Errorf("after everything was cleared: %v at revision %d", all, revision)
	}
	stop()
	if err := s.Retained().Apply(t.Context(), []retain.Change{put("f", "6", 9, 0)}); !errors.Is(err, errEnded) {
		t.Errorf("a store that has ended: %v", err)
	}
	list, _ := payloads(t, disk, "sessions")
	numbered(t, list, 3)
}

// What the publisher was promised decides whether the disk has it.
func TestRetainedDurability(t *testing.T) {
	for d, survives := range map[retain.Durability]bool{
		retain.DurabilitySync: true, retain.DurabilityInterval: false, retain.DurabilityNone: false,
	} {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			o := Options{SyncEvery: time.Hour}
			s, err := open(disk, "sessions", o.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			stop := running(t, s)
			defer stop()
			apply(t, s, put("first", "1", 1, retain.DurabilitySync))
			apply(t, s, put("a", "1", 2, d))
			crashed := opened(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
			defer func() { _ = crashed.Close() }()
			all, _ := retained(t, crashed)
			if _, found := all["a"]; found != survives || all["first"] != "1" {
				t.Errorf("%v", all)
			}
		})
	}
}

// Whichever operation on the disk fails, what was applied is there, and what
// waits is written once the disk works.
func TestRetainedWritesFail(t *testing.T) {
	for k := range 20 {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			var broken atomic.Bool
			var countdown atomic.Int64
			countdown.Store(int64(k))
			faulty := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if !broken.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || countdown.Add(-1) >= 0 {
					return nil
				}
				return errors.New("no space left on device")
			}))
			s := opened(t, faulty, "sessions")
			stop := running(t, s)
			defer stop()
			want := make(map[string]string)
			broken.Store(true)
			for n := uint64(1); ; n++ {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				c := put(fmt.Sprint("t", n%7), fmt.Sprint(n), n, retain.DurabilitySync)
				go func() { done <- s.Retained().Apply(ctx, []retain.Change{c}) }()
				for s.Retained().Ready() == nil && len(done) == 0 {
					time.Sleep(100 * time.Microsecond)
				}
				if s.Retained().Ready() == nil {
					cancel()
					want[c.Topic] = fmt.Sprint(n)
					continue
				}
				crashed := opened(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
				got, _ := retained(t, crashed)
				_ = crashed.Close()
				for topic, payload := range want {
					if got[topic] != payload && (topic != c.Topic || got[topic] != fmt.Sprint(n)) {
						t.Errorf("%s is %s, %s was applied", topic, got[topic], payload)
					}
				}
				broken.Store(false)
				if err := <-done; err != nil {
					t.Error(err)
				}
				cancel()
				want[c.Topic] = fmt.Sprint(n)
				if got, _ := retained(t, s); !maps.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
				return
			}
		})
	}
}

// The check reads retained messages, too.
func TestCheckRetained(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := opened(t, vfs.Default, dir)
	stop := running(t, s)
	apply(t, s, put("a", "1", 1, 0), put("b", "1", 2, 0))
	stop()
	if r, err := Check(dir, slog.New(slog.DiscardHandler)); err != nil || r.Retained != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	s = opened(t, vfs.Default, dir)
	if err := s.Set(retainedKey(nil, "c"), []byte{1, 2, 3}, nil); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Check(dir, slog.New(slog.DiscardHandler)); !errors.Is(err, errValue) {
		t.Errorf("a damaged record: %v", err)
	}
	s = opened(t, vfs.Default, dir)
	defer func() { _ = s.Close() }()
	if s.Aside() == "" || s.Retained().Stored() != 0 {
		t.Error("a damaged store is used")
	}
}

// BenchmarkRetainedStart opens a store with 100,000 retained messages of 128
// bytes and loads them.
func BenchmarkRetainedStart(b *testing.B) {
	const n = 100_000
	dir := filepath.Join(b.TempDir(), "sessions")
	s, err := Open(dir, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	changes := make([]retain.Change, n)
	for i := range changes {
		changes[i] = put(fmt.Sprintf("site/%d/sensor/%d", i%1000, i), string(make([]byte, 128)), uint64(i+1), retain.DurabilityInterval)
	}
	for part := range slices.Chunk(changes, 512) {
		if err := s.Retained().Apply(ctx, part); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	if err := errors.Join(<-ended, s.Close()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := Open(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		x := retain.New(retain.Options{Store: s.Retained()})
		if err := x.Load(b.Context()); err != nil || x.Len() != n {
			b.Fatal(x.Len(), err)
		}
		_ = s.Close()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "messages/s")
}
