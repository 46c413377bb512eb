package logfile

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// TestChangesDuringCompaction compacts all the time while changes of every
// kind are made and snapshots are taken.
func TestChangesDuringCompaction(t *testing.T) {
	o := Options{Path: filepath.Join(t.TempDir(), "r.jsonl"), Sync: SyncNever}
	s := mustOpen(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Compact(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("Compact: %v", err)
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			contents(t, s)
		}
	})
	r := rand.New(rand.NewPCG(1, 2))
	state := make(map[string]string)
	rev := uint64(0)
	for range 3000 {
		var batch []pluginapi.Change
		for range 1 + r.IntN(5) {
			rev++
			topic := fmt.Sprintf("t/%d", r.IntN(200))
			switch r.IntN(40) {
			case 0:
				batch = append(batch, wipe(rev))
				clear(state)
			case 1, 2, 3, 4, 5, 6:
				batch = append(batch, del(topic, rev))
				delete(state, topic)
			default:
				payload := strings.Repeat("x", r.IntN(1000))
				batch = append(batch, put1(topic, payload, rev))
				state[topic] = fmt.Sprintf("%s@%d", payload, rev)
			}
		}
		mustApply(t, s, batch...)
		if rev%100 == 0 {
			wantContents(t, s, maps.Clone(state))
		}
	}
	cancel()
	wg.Wait()
	wantContents(t, s, state)
	if n := s.Numbers(); n.Compactions == 0 || n.Messages != uint64(len(state)) {
		t.Errorf("Numbers = %+v with %d messages", n, len(state))
	}
	wantIndexAsInFile(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantContents(t, mustOpen(t, o), state)
}

// wantIndexAsInFile compares the index with what its file says when it is read
// anew.
func wantIndexAsInFile(t *testing.T, s *Store) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := recoverFile(s.file, s.end)
	if err != nil || r.damaged || r.end != s.end {
		t.Fatalf("the file is not whole: %+v, %v", r, err)
	}
	want, got := r.index, s.index
	if want.revision != got.revision || want.floor != got.floor || want.messages != got.messages ||
		want.tombstones != got.tombstones || want.live != got.live || len(want.entries) != len(got.entries) {
		t.Errorf("index %+v, the file says %+v", *got, *want)
	}
	for topic, e := range want.entries {
		if g := got.entries[topic]; g == nil || *g != *e {
			t.Errorf("%s: %+v, the file says %+v", topic, g, e)
		}
	}
}

func TestFailedSyncIsNotTrusted(t *testing.T) {
	failSync := func(_ int, op string) fault {
		if strings.HasPrefix(op, "sync ret") {
			return faultHalf
		}
		return faultNone
	}
	t.Run("interval", func(t *testing.T) {
		d := newDisk()
		o := onDisk(d)
		o.Sync = SyncInterval
		s := mustOpen(t, o)
		mustApply(t, s, put1("a", "1", 1))
		d.fault = failSync
		s.Sync()
		if s.Problems() == nil {
			t.Error("a failed sync is not reported")
		}
		d.fault = nil
		s.Sync()
		if err := s.Problems(); err != nil {
			t.Error(err)
		}
		for cut := range uint64(8) {
			wantContents(t, mustOpen(t, onDisk(d.unplugged(rand.New(rand.NewPCG(1, cut))))), map[string]string{"a": "1@1"})
		}
	})
	t.Run("another batch follows", func(t *testing.T) {
		d := newDisk()
		s := mustOpen(t, onDisk(d))
		d.fault = failSync
		if _, err := s.Apply(t.Context(), []pluginapi.Change{put1("a", "1", 1), put1("b", "2", 2), put1("c", "3", 3)}); err == nil {
			t.Fatal("a change that was not synced is acknowledged")
		}
		d.fault = nil
		mustApply(t, s, put1("b", "2", 2))
		want := map[string]string{"b": "2@2"}
		wantContents(t, s, want)
		next := mustOpen(t, onDisk(d.killed()))
		wantContents(t, next, want)
		if err := next.Problems(); err != nil {
			t.Error(err)
		}
	})
}

func TestCompactionKeepsTheStoreWhenItFails(t *testing.T) {
	for k := 1; ; k++ {
		d := newDisk()
		s := mustOpen(t, onDisk(d))
		mustApply(t, s, put1("a", "1", 1), put1("a", "2", 2), put1("b", "3", 3))
		calls := d.calls
		d.fault = func(call int, _ string) fault {
			if call >= calls+k { // the disk stays broken
				return faultError
			}
			return faultNone
		}
		err := s.Compact(t.Context())
		d.fault = nil
		if err == nil {
			if k < 5 {
				t.Errorf("compaction makes only %d calls", k-1)
			}
			return
		}
		if s.Problems() == nil {
			t.Errorf("call %d: a failed compaction is not reported", k)
		}
		want := map[string]string{"a": "2@2", "b": "3@3"}
		wantContents(t, s, want)
		mustApply(t, s, put1("c", "4", 4))
		want["c"] = "4@4"
		wantContents(t, s, want)
		wantContents(t, mustOpen(t, onDisk(d.killed())), want)
	}
}

// duringCompaction compacts and calls f when half of it is done.
func duringCompaction(t *testing.T, s *Store, f func()) error {
	t.Helper()
	s.mu.Lock()
	d, err := s.beginDraft(compactSuffix)
	s.mu.Unlock()
	if err == nil {
		err = s.fill(t.Context(), d)
	}
	if err != nil {
		t.Fatal(err)
	}
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.replace(d)
	s.endDraft(d)
	s.publish()
	return err
}

func TestClearDuringCompaction(t *testing.T) {
	for name, clearing := range map[string]uint64{"everything": 10, "what is old": 2} {
		t.Run(name, func(t *testing.T) {
			s := mustOpen(t, onDisk(newDisk()))
			mustApply(t, s, put1("a", "1", 1), put1("b", "2", 2), put1("c", "3", 3))
			mustApply(t, s, del("c", 4), put1("d", "5", 5))
			want := map[string]string{"a": "11@11", "e": "12@12"}
			if clearing == 2 {
				want["d"] = "5@5"
			}
			err := duringCompaction(t, s, func() {
				mustApply(t, s, wipe(clearing))
				mustApply(t, s, put1("a", "11", 11), put1("e", "12", 12))
			})
			if err != nil {
				t.Fatal(err)
			}
			wantContents(t, s, want)
			wantIndexAsInFile(t, s)
		})
	}
}

// TestRewriteDuringCompaction: the file is written anew, or that is tried,
// while a compaction is under way, which then is void.
func TestRewriteDuringCompaction(t *testing.T) {
	for _, works := range []bool{true, false} {
		d := newDisk()
		s := mustOpen(t, onDisk(d))
		mustApply(t, s, put1("a", "1", 1), put1("b", "2", 2))
		err := duringCompaction(t, s, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !works {
				d.fault = func(int, string) fault { return faultError }
			}
			if err := s.rewrite(); (err == nil) != works {
				t.Errorf("rewrite: %v", err)
			}
			d.fault = nil
		})
		if err == nil {
			t.Error("the compaction took the place of the new file")
		}
		mustApply(t, s, put1("c", "3", 3))
		want := map[string]string{"a": "1@1", "b": "2@2", "c": "3@3"}
		wantContents(t, s, want)
		wantIndexAsInFile(t, s)
		wantContents(t, mustOpen(t, onDisk(d.killed())), want)
	}
}

// TestDiskForgets has the disk return other bytes than were written.
func TestDiskForgets(t *testing.T) {
	var log bytes.Buffer
	d := newDisk()
	o := onDisk(d)
	o.Logger = logTo(&log)
	s := mustOpen(t, o)
	mustApply(t, s, put1("a", "1", 1), put1("b", "2", 2))
	data := d.names[testPath].data
	data[bytes.Index(data, []byte(`"topic":"a"`))+9] = 'z'
	if err := s.Load(t.Context(), func(pluginapi.Record) error { return nil }); err == nil {
		t.Error("Load yields what it was not given")
	}
	if err := s.Compact(t.Context()); err == nil || s.Problems() == nil {
		t.Errorf("Compact of a damaged file: %v", err)
	}
	s.suspect = true // what can be had is to be saved
	mustApply(t, s, put1("c", "3", 3))
	wantContents(t, s, map[string]string{"b": "2@2", "c": "3@3"})
	wantIndexAsInFile(t, s)
	if !strings.Contains(log.String(), "could not be read back") {
		t.Errorf("log: %s", log.String())
	}
}

func TestRunCompactsWhenThereIsGarbage(t *testing.T) {
	o := onDisk(newDisk())
	o.Garbage, o.GarbageBytes = 0.5, 2000
	s := mustOpen(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	deadline := time.Now().Add(10 * time.Second)
	for rev := uint64(1); s.Numbers().Compactions == 0; rev++ {
		if time.Now().After(deadline) {
			t.Fatalf("no compaction: %+v", s.Numbers())
		}
		mustApply(t, s, put1("a", "payload", rev))
	}
}

func TestRunSyncsAtItsInterval(t *testing.T) {
	d := newDisk()
	o := onDisk(d)
	o.Sync, o.SyncInterval = SyncInterval, time.Millisecond
	synced := make(chan struct{}, 1)
	s := mustOpen(t, o)
	mustApply(t, s, put1("a", "1", 1))
	d.mu.Lock()
	d.fault = func(_ int, op string) fault {
		if strings.HasPrefix(op, "sync ret") {
			select {
			case synced <- struct{}{}:
			default:
			}
		}
		return faultNone
	}
	d.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	<-synced
	cancel()
	<-done
}
