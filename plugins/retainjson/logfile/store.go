package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// SyncPolicy says when a change is forced to the disk.
type SyncPolicy string

// The policies: before Apply answers, every Options.SyncInterval, or when the
// operating system likes.
const (
	SyncAlways   SyncPolicy = "always"
	SyncInterval SyncPolicy = "interval"
	SyncNever    SyncPolicy = "never"
)

// Options are the choices that a store is opened with.
type Options struct {
	// Path is the file. Its folder exists; beside the file the store makes
	// others whose names begin like it.
	Path string
	// Sync is the policy; "" means SyncAlways.
	Sync SyncPolicy
	// SyncInterval is that of SyncInterval. Zero means one second.
	SyncInterval time.Duration
	// Garbage is the share of the file, 0 to 1, that may be taken by what is
	// no longer true before it is compacted, and GarbageBytes how much of it
	// there must be at least. Zero means one half and 4 MiB.
	Garbage      float64
	GarbageBytes int64
	// Logger is told of repairs and of failures, once each. Nil means no log.
	Logger *slog.Logger

	// Files is the file system; nil means the operating system's.
	Files FileSystem
	// Lock locks the path that it is given against other processes; nil
	// means by the operating system.
	Lock func(path string) (io.Closer, error)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o *Options) defaults() {
	if o.Sync == "" {
		o.Sync = SyncAlways
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = time.Second
	}
	if o.Garbage <= 0 {
		o.Garbage = 0.5
	}
	if o.GarbageBytes <= 0 {
		o.GarbageBytes = 4 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Files == nil {
		o.Files = osFiles{}
	}
	if o.Lock == nil {
		o.Lock = lockFile
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Errors of a store.
var (
	errLocked = errors.New("in use by another process")
	errClosed = errors.New("store is closed")
)

// Store is a file of changes and an index of it in memory: topics, not
// messages. All methods may be called from many goroutines at once; changes
// take turns.
type Store struct {
	options Options
	log     *slog.Logger
	files   FileSystem
	lock    io.Closer
	wake    chan struct{} // for Run: there is much garbage
	status  status

	mu    sync.Mutex // guards the fields below
	file  *handle    // nil once closed
	end   int64      // of what counts in file; what follows is overwritten
	index *index
	draft *draft // being made; nil if none
	// suspect says that what file holds on the disk is not known, so that it
	// must be written anew before the next change.
	suspect bool
	// unnamed says that file's name may not survive a crash.
	unnamed bool
	// unsynced says that file was written since it was last synced.
	unsynced bool
	batch    batch

	stats atomic.Pointer[Numbers]
}

// handle is an open file that readers may go on reading when the store has
// moved to another.
type handle struct {
	File
	users int // guarded by Store.mu; the store is one of them
}

// Open opens a store, and repairs its file or makes a new one. The error says
// what to do about it. It starts nothing; see [Store.Run].
func Open(ctx context.Context, o Options) (*Store, error) {
	o.defaults()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, err := o.Lock(o.Path + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Store{
		options: o, log: o.Logger, files: o.Files, lock: lock,
		wake: make(chan struct{}, 1), batch: batch{overlay: make(map[string]uint64)},
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", o.Path, err), s.release(), lock.Close())
	}
	s.publish()
	return s, nil
}

func (s *Store) open() error {
	for _, suffix := range []string{compactSuffix, rewriteSuffix} {
		if err := s.files.Remove(s.options.Path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, size, err := s.openFile()
	if err != nil {
		return err
	}
	s.file = &handle{File: f, users: 1}
	r, err := recoverFile(f, size)
	if err != nil {
		return err
	}
	s.index, s.end = r.index, r.end
	switch {
	case r.damaged:
		return s.setAside(r, size)
	case !r.headed:
		err = s.begin(size)
	case r.end < size:
		s.log.Warn("the last write was cut short by a crash, its remains are removed",
			slog.String("file", s.options.Path), slog.Int64("bytes", size-r.end))
		err = s.truncate()
	}
	if err != nil {
		return err
	}
	return s.files.SyncDir(filepath.Dir(s.options.Path))
}

// begin makes a new file, or one anew whose first line was cut short.
func (s *Store) begin(size int64) error {
	if size > 0 {
		s.log.Warn("the file was cut short by a crash when it was made, it is begun again",
			slog.String("file", s.options.Path), slog.Int64("bytes", size))
	}
	var b bytes.Buffer
	if err := s.appendHeader(&b); err != nil {
		return err
	}
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	if _, err := s.file.WriteAt(b.Bytes(), 0); err != nil {
		return err
	}
	s.end = int64(b.Len())
	return s.file.Sync()
}

func (s *Store) truncate() error {
	if err := s.file.Truncate(s.end); err != nil {
		return err
	}
	return s.file.Sync()
}

func (s *Store) appendHeader(b *bytes.Buffer) error {
	return appendLine(b, header{
		Format: formatName, Schema: schemaVersion,
		Revision: s.index.revision, Floor: s.index.floor, Written: s.options.Now().UTC(),
	})
}

// acquire returns the file for reading; release ends that. The caller holds mu.
func (s *Store) acquire() *handle {
	s.file.users++
	return s.file
}

func (s *Store) drop(h *handle) error {
	s.mu.Lock()
	last := s.leave(h)
	s.mu.Unlock()
	if last {
		return h.Close()
	}
	return nil
}

// leave counts one user less and reports whether it was the last. The caller
// holds mu.
func (s *Store) leave(h *handle) bool {
	h.users--
	return h.users == 0
}

// release gives the file up.
func (s *Store) release() error {
	s.mu.Lock()
	h := s.file
	s.file = nil
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	return s.drop(h)
}

// Close forces everything to the disk and closes the file. Run must have
// returned. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.file == nil {
		s.mu.Unlock()
		return nil
	}
	err := s.settle()
	s.mu.Unlock()
	return errors.Join(err, s.release(), s.lock.Close())
}

// settle makes what was applied durable. The caller holds mu.
func (s *Store) settle() error {
	if s.suspect {
		if err := s.rewrite(); err != nil {
			return err
		}
	}
	if s.unsynced {
		if err := s.sync(); err != nil {
			return err
		}
	}
	return s.name()
}

// sync forces the file to the disk. After a failure nobody knows what is
// there: the kernel may have dropped what it could not write. The caller holds
// mu.
func (s *Store) sync() error {
	if err := s.file.Sync(); err != nil {
		s.suspect = true
		return fmt.Errorf("sync %s: %w", s.options.Path, err)
	}
	s.unsynced = false
	return nil
}

// name makes the file's name durable. The caller holds mu.
func (s *Store) name() error {
	if !s.unnamed {
		return nil
	}
	if err := s.files.SyncDir(filepath.Dir(s.options.Path)); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", s.options.Path, err)
	}
	s.unnamed = false
	return nil
}

// Stats tells how full the store is.
func (s *Store) Stats(context.Context) (pluginapi.Stats, error) { return s.Numbers().stats(), nil }
