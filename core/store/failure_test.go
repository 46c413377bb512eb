package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// patience bounds waits for what has to happen.
const patience = 30 * time.Second

func opened(t *testing.T, disk vfs.FS, dir string) *Store {
	t.Helper()
	o := Options{RetryEvery: time.Millisecond}
	s, err := open(disk, dir, o.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running runs a store until the returned function is called.
func running(t *testing.T, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

func waitWritten(t *testing.T, l *session.Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.Wait(ctx, l.End()); err != nil {
		t.Fatalf("nothing is written: %v", l.Failure())
	}
}

// filled makes a session with messages "0", "1", ... in its queue.
func filled(s *Store, id string, from, n int) *session.Session {
	c := session.New(id, session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30})
	c.Keep(s.Log(), session.DurabilitySync)
	c.Describe(&session.Profile{ClientID: id, Expiry: 100})
	enqueue(c, from, n)
	return c
}

func enqueue(c *session.Session, from, n int) {
	for i := range n {
		m := &mqtt.Message{Topic: "t", Payload: []byte(fmt.Sprint(from + i)), QoS: 1, Created: time.Now()}
		c.Enqueue(mqtt.Delivery{Message: m, QoS: 1}, m.Created)
	}
}

// payloads reads the store and returns the messages of the only session.
func payloads(t *testing.T, disk vfs.FS, dir string) (list []string, aside string) {
	t.Helper()
	s := opened(t, disk, dir)
	defer func() { _ = s.Close() }()
	for st, err := range s.Load(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		from := uint64(0)
		for _, m := range st.Messages {
			list = append(list, string(m.Delivery.Message.Payload))
			from = m.Sequence + 1
		}
		for from <= st.Last {
			page, _, err := s.Page(st.Number, from, st.Last, 100, 1<<20)
			if err != nil || len(page) == 0 {
				return list, unreadable
			}
			for _, m := range page {
				list = append(list, string(m.Delivery.Message.Payload))
				from = m.Sequence + 1
			}
		}
	}
	return list, s.Aside()
}

// unreadable is what payloads returns of a store that can't be read to its end.
const unreadable = "unreadable"

func numbered(t *testing.T, list []string, atLeast int) {
	t.Helper()
	if len(list) < atLeast {
		t.Fatalf("%d messages are left of %d", len(list), atLeast)
	}
	for i, p := range list {
		if p != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, p)
		}
	}
}

// Whichever operation on the disk fails, and however many after it, nothing that
// was reported as written is lost, and writing goes on once the disk works.
func TestWritesFail(t *testing.T) {
	for k := range 40 {
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
			c := filled(s, "c", 0, 10)
			waitWritten(t, s.Log())
			broken.Store(true)
			written := 10
			for n := 10; n < 1000 && s.Log().Failure() == nil; n += 10 {
				enqueue(c, n, 10)
				end := s.Log().End()
				deadline := time.Now().Add(patience)
				for s.Log().Done() < end && s.Log().Failure() == nil && time.Now().Before(deadline) {
					time.Sleep(100 * time.Microsecond)
				}
				if s.Log().Done() >= end {
					written = n + 10
				}
			}
			if s.Log().Failure() == nil {
				t.Fatal("nothing failed")
			}
			crashed, _ := payloads(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
			numbered(t, crashed, written)

			broken.Store(false)
			waitWritten(t, s.Log())
			if err := s.Log().Failure(); err != nil {
				t.Errorf("it was written, and still: %v", err)
			}
			crashed, _ = payloads(t, disk.CrashClone(vfs.CrashCloneCfg{}), "sessions")
			numbered(t, crashed, written)
			stop()
		})
	}
}

// writtenFolder is a folder with a store of n messages, as a killed broker leaves
// it.
func writtenFolder(t *testing.T, n int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sessions")
	s := opened(t, vfs.Default, dir)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	filled(s, "c", 0, n)
	waitWritten(t, s.Log())
	s.files.retired.Store(true)
	cancel()
	<-ended
	_ = s.Close()
	return dir
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(list) == 0 {
		t.Fatalf("no %s in %s: %v", pattern, dir, err)
	}
	return list
}

// Bytes that were being written when the power went are no corruption.
func TestTornTail(t *testing.T) {
	dir := writtenFolder(t, 100)
	logs := files(t, dir, "*.log")
	f, err := os.OpenFile(logs[len(logs)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte{1, 2, 3, 4, 200, 0, 1, 9, 9, 9})
	_ = f.Close()
	list, aside := payloads(t, vfs.Default, dir)
	if aside != "" {
		t.Fatal("the store is taken for corrupt")
	}
	numbered(t, list, 100)
}

// Whatever bytes are changed or missing: either all that was written is there up
// to some message, from which on it can't be read, or the store is put aside,
// whole, and an empty one begins.
func TestCorruptStore(t *testing.T) {
	for _, pattern := range []string{"*.log", "MANIFEST-*", "*.sst"} {
		for _, damage := range []string{"flipped", "cut", "gone"} {
			t.Run(strings.Trim(pattern, "*.-")+" "+damage, func(t *testing.T) {
				dir := writtenFolder(t, 1000)
				payloads(t, vfs.Default, dir) // so that there are tables
				name := files(t, dir, pattern)[0]
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				switch damage {
				case "flipped":
					b[len(b)/2] ^= 0x55
				case "cut":
					b = b[:len(b)/2]
				}
				if err := os.WriteFile(name, b, 0o600); err != nil {
					t.Fatal(err)
				}
				if damage == "gone" {
					if err := os.Remove(name); err != nil {
						t.Fatal(err)
					}
				}
				list, aside := payloads(t, vfs.Default, dir)
				if aside == "" || aside == unreadable {
					numbered(t, list, 0)
					return
				}
				if len(list) > 0 {
					t.Errorf("%d messages in a store that begins anew", len(list))
				}
				if _, err := os.Stat(aside); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A store that was corrupt stops the start where that is wanted.
func TestStrict(t *testing.T) {
	dir := writtenFolder(t, 10)
	payloads(t, vfs.Default, dir)
	for _, name := range files(t, dir, "MANIFEST-*") {
		if err := os.WriteFile(name, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := Open(dir, Options{Strict: true}); err == nil {
		_ = s.Close()
		t.Fatal("a corrupt store is opened")
	}
	if _, aside := payloads(t, vfs.Default, dir); aside == "" {
		t.Error("a corrupt store is not put aside")
	}
}

// A store of another version is left alone.
func TestNewerFormat(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := opened(t, vfs.Default, dir)
	if err := s.Set(formatKey(), []byte{format + 1}, nil); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a newer store is opened: %v", err)
	}
}

// Two brokers do not share a store.
func TestLocked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := opened(t, vfs.Default, dir)
	defer func() { _ = s.Close() }()
	if other, err := Open(dir, Options{}); err == nil {
		_ = other.Close()
		t.Error("a store is opened twice")
	}
}

// What a store tells of itself: while it writes, while it can't, and afterwards.
func TestStats(t *testing.T) {
	disk := vfs.NewMem()
	var broken atomic.Bool
	s := opened(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileWrite {
			return errors.New("disk full")
		}
		return nil
	})), "store")
	defer running(t, s)()
	if st := s.Stats(); st.Bytes == 0 || st.Waiting != 0 || st.Batches != 0 || st.Failure != nil {
		t.Errorf("at first: %+v", st)
	}
	sess := session.New("c", session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30})
	sess.Keep(s.Log(), session.DurabilitySync)
	sess.Describe(&session.Profile{ClientID: "c"})
	waitWritten(t, s.Log())
	st := s.Stats()
	if st.Batches != 1 || st.Changes != 1 || st.Waiting != 0 || len(st.Syncs.Buckets) != len(SyncBounds())+1 {
		t.Errorf("after a change: %+v", st)
	}
	broken.Store(true)
	sess.Describe(&session.Profile{ClientID: "d"})
	for deadline := time.Now().Add(patience); s.Stats().Failure == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not fail")
		}
	}
	if st := s.Stats(); st.Failures != 1 || st.Waiting != 1 {
		t.Errorf("while nothing can be written: %+v", st)
	}
	broken.Store(false)
	waitWritten(t, s.Log())
	if st := s.Stats(); st.Failure != nil || st.Waiting != 0 {
		t.Errorf("when it can again: %+v", st)
	}
	c := new(counts)
	for _, took := range []time.Duration{0, firstSyncBound, firstSyncBound + 1, time.Hour} {
		c.synced(took)
	}
	if c.syncs[0].Load() != 2 || c.syncs[1].Load() != 1 || c.syncs[syncBounds].Load() != 1 {
		t.Errorf("buckets %v", &c.syncs)
	}
}

// A part of a table that is damaged holds up what is in it, and nothing else:
// other sessions are written and read, and what the damage makes uncertain stays.
func TestDamagedTable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	s := opened(t, vfs.Default, dir)
	stop := running(t, s)
	var both []*session.Session
	for _, id := range []string{"a", "b"} {
		both = append(both, filled(s, id, 0, 0))
	}
	for n := range 2000 {
		m := &mqtt.Message{Topic: "t", Payload: []byte(fmt.Sprint(n)), QoS: 1, Created: time.Now()}
		for _, c := range both {
			c.Enqueue(mqtt.Delivery{Message: m, QoS: 1, Shared: uint64(n + 10)}, m.Created) //nolint:gosec // small
		}
	}
	waitWritten(t, s.Log())
	stop()
	payloads(t, vfs.Default, dir) // so that there are tables
	for at := 1; at < 20; at++ {
		name := files(t, dir, "*.sst")[0]
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b := append([]byte(nil), good...)
		b[len(b)*at/20] ^= 0x10
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		other := filepath.Join(t.TempDir(), "sessions")
		if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, good, 0o600); err != nil {
			t.Fatal(err)
		}
		s := opened(t, vfs.Default, other)
		stop := running(t, s)
		for st, err := range s.Load(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			c := session.Restore(st, session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30}, s.Log())
			if err := c.Drain(func([]mqtt.Delivery) {}); err == nil {
				c.End()
			}
		}
		filled(s, fmt.Sprint("new", at), 0, 100)
		waitWritten(t, s.Log())
		if err := s.Log().Failure(); err != nil {
			t.Errorf("at %d of 20: %v", at, err)
		}
		stop()
	}
}
