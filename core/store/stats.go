package store

import (
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Stats are the numbers of a store as they are now. What counts begins at 0 with
// [Open].
type Stats struct {
	Bytes    uint64 // of its files on the disk
	Waiting  uint64 // changes of sessions that are not written yet
	Batches  uint64 // that were written
	Changes  uint64 // in those, what cancels one another out included
	Failures uint64 // times that writing failed, and the store was opened anew
	Failure  error  // why nothing can be written now; nil if it can
	// Unreadable counts the sessions whose queues stand still, for what is next in
	// them can't be read.
	Unreadable int
	Retained   RetainedStats
	Syncs      Latency
}

// Latency counts what was waited for by how long it took.
type Latency struct {
	Count uint64
	Sum   time.Duration
	// Buckets count, for each of [SyncBounds], what took at most that long and
	// more than the bound before; the last is what took longer than all.
	Buckets []uint64
}

const (
	firstSyncBound = 100 * time.Microsecond
	syncBounds     = 16 // the last is 3.3 s
)

// SyncBounds returns the upper bounds of the buckets of a [Latency], each twice
// the one before.
func SyncBounds() []time.Duration {
	out := make([]time.Duration, syncBounds)
	for i := range out {
		out[i] = firstSyncBound << i
	}
	return out
}

// Stats returns the numbers. It looks at the folder, and may be called from many
// goroutines until Close.
func (s *Store) Stats() Stats {
	done := s.log.Done() // before End, which is never behind it
	out := Stats{
		Bytes: s.size(), Waiting: s.log.End() - done,
		Batches: s.counts.batches.Load(), Changes: s.counts.changes.Load(),
		Failures: s.counts.failures.Load(), Failure: s.log.Failure(),
		Unreadable: s.unreadable.count(), Retained: s.retainedStats(),
		Syncs: Latency{Sum: time.Duration(s.counts.syncNanos.Load()), Buckets: make([]uint64, syncBounds+1)},
	}
	for i := range out.Syncs.Buckets {
		out.Syncs.Buckets[i] = s.counts.syncs[i].Load()
		out.Syncs.Count += out.Syncs.Buckets[i]
	}
	return out
}

// size sums up the files of the folder; one that goes meanwhile has none.
func (s *Store) size() (bytes uint64) {
	names, err := s.disk.List(s.dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if info, err := s.disk.Stat(filepath.Join(s.dir, name)); err == nil && !info.IsDir() {
			bytes += uint64(max(0, info.Size())) //nolint:gosec // not negative
		}
	}
	return bytes
}

// counts are counted while the store runs.
type counts struct {
	batches, changes, failures atomic.Uint64
	syncNanos                  atomic.Int64
	syncs                      [syncBounds + 1]atomic.Uint64
}

// batch counts changes that are about to be written together.
func (c *counts) batch(changes int) {
	c.batches.Add(1)
	c.changes.Add(uint64(changes)) //nolint:gosec // not negative
}

func (c *counts) synced(took time.Duration) {
	c.syncNanos.Add(int64(took))
	i := 0
	for i < syncBounds && took > firstSyncBound<<i {
		i++
	}
	c.syncs[i].Add(1)
}

// timedDisk is a file system that measures how long syncs of write-ahead logs
// take: what is promised waits for them.
type timedDisk struct {
	vfs.FS
	counts *counts
}

// Unwrap returns the file system beneath.
func (d timedDisk) Unwrap() vfs.FS { return d.FS }

// Create implements [vfs.FS].
func (d timedDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.timed(d.FS.Create(name, c))(name)
}

// ReuseForWrite implements [vfs.FS].
func (d timedDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.timed(d.FS.ReuseForWrite(from, to, c))(to)
}

func (d timedDisk) timed(file vfs.File, err error) func(name string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		if err != nil || filepath.Ext(name) != ".log" {
			return file, err
		}
		return &timedFile{file, d.counts}, nil
	}
}

// timedFile is a write-ahead log.
type timedFile struct {
	vfs.File
	counts *counts
}

// SyncData implements [vfs.File]; it is what a logFile calls.
func (f *timedFile) SyncData() error {
	began := time.Now()
	err := f.File.SyncData()
	f.counts.synced(time.Since(began))
	return err
}
