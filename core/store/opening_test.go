package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// breakable is a disk on which every write fails from the k-th after arm on, with
// an error of the system, until it is mended.
type breakable struct {
	armed atomic.Bool
	left  atomic.Int64
	cause syscall.Errno
	hit   atomic.Int64
}

func (b *breakable) arm(k int) {
	b.left.Store(int64(k))
	b.armed.Store(true)
}

func (b *breakable) mend() { b.armed.Store(false) }

func (b *breakable) wrap(disk vfs.FS) vfs.FS {
	return errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !b.armed.Load() || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || b.left.Add(-1) >= 0 {
			return nil
		}
		b.hit.Add(1)
		return b.cause
	}))
}

// killed is a disk with a store of n messages, most of them in the write-ahead log
// only, as a killed broker leaves it.
func killed(t *testing.T, n int) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s := opened(t, disk, "sessions")
	defer running(t, s)()
	filled(s, "c", 0, n)
	waitWritten(t, s.Log())
	return disk.CrashClone(vfs.CrashCloneCfg{})
}

// messages reads all that waits in the only session of a store that is open.
func messages(t *testing.T, s *Store) (list []string) {
	t.Helper()
	for st, err := range s.Load(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := s.Page(st.Number, 0, st.Last, 1<<20, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page {
			list = append(list, string(m.Delivery.Message.Payload))
		}
	}
	return list
}

// Whichever write of a start fails, and all after it: the store is not taken for
// corrupt, what is in it is read, it says why nothing can be written, and writes
// once that works.
func TestStartUnwritable(t *testing.T) {
	for _, cause := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for k := range 60 {
			t.Run(fmt.Sprint(cause, k), func(t *testing.T) {
				t.Parallel()
				disk := killed(t, 100)
				b := &breakable{cause: cause}
				b.arm(k)
				s, err := open(b.wrap(disk), "sessions", Options{RetryEvery: time.Millisecond}.withDefaults())
				if err != nil {
					if k < 2 {
						return // not even its lock can be made
					}
					t.Fatal(err)
				}
				defer running(t, s)()
				if s.Aside() != "" {
					t.Fatal("it is taken for corrupt")
				}
				numbered(t, messages(t, s), 100)
				if b.hit.Load() == 0 {
					b.mend()
					return // the start has no more writes
				}
				if k < 20 && s.Log().Failure() == nil { // later ones only tidy up
					t.Error("it does not say that it can't be written")
				}
				b.mend()
				filled(s, "d", 0, 10)
				waitWritten(t, s.Log())
				if err := s.Log().Failure(); err != nil {
					t.Errorf("it was written, and still: %v", err)
				}
			})
		}
	}
}

// A broker that is to end while its store can't be opened for writing ends.
func TestEndUnwritable(t *testing.T) {
	disk := killed(t, 100)
	b := &breakable{cause: syscall.ENOSPC}
	b.arm(6)
	s, err := open(b.wrap(disk), "sessions", Options{RetryEvery: time.Millisecond}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it says that all was written")
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	b.mend()
	list, aside := payloads(t, disk, "sessions")
	if aside != "" {
		t.Error("it is taken for corrupt")
	}
	numbered(t, list, 100)
}

// Without a store there is nothing to read, and the error says what the disk said.
func TestFirstStartUnwritable(t *testing.T) {
	for k := 1; k < 40; k++ {
		disk := vfs.NewCrashableMem()
		b := &breakable{cause: syscall.ENOSPC}
		b.arm(k)
		s, err := open(b.wrap(disk), "sessions", Options{RetryEvery: time.Millisecond}.withDefaults())
		if err == nil {
			b.mend()
			if s.Aside() != "" {
				t.Errorf("write %d: an empty store is put aside", k)
			}
			stop := running(t, s)
			filled(s, "c", 0, 10)
			waitWritten(t, s.Log())
			stop()
			continue
		}
		if !unwritable(err) {
			t.Errorf("write %d: %v", k, err)
		}
		if names, _ := disk.List(""); len(names) > 2 {
			t.Errorf("write %d: %v", k, names)
		}
	}
}

// What many starts leave behind is compacted, though nothing was when each began.
func TestCompactsAfterStart(t *testing.T) {
	disk := vfs.NewMem()
	for n := range 40 {
		s := opened(t, disk, "sessions")
		stop := running(t, s)
		c := filled(s, "c", 0, 0)
		for st, err := range s.Load(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			c = session.Restore(st, session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30}, s.Log())
		}
		c.Describe(&session.Profile{ClientID: "c", Expiry: 100})
		enqueue(c, 10*n, 10)
		waitWritten(t, s.Log())
		stop()
	}
	s := opened(t, disk, "sessions")
	defer func() { _ = s.Close() }()
	for late := time.After(patience); s.Metrics().Levels[0].TablesCount > 4; {
		select {
		case <-late:
			t.Fatalf("%d tables on the first level", s.Metrics().Levels[0].TablesCount)
		case <-time.After(time.Millisecond):
		}
	}
}
