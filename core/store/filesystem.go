package store

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errRetired is what files of a database answer that was given up.
var errRetired = errors.New("the store was opened anew")

// fileSystem is the file system of one opened database. The write-ahead log is
// written whenever something is committed, and synced only when that is asked for;
// and a database that was given up, because something failed in it, can change
// nothing any more.
type fileSystem struct {
	vfs.FS
	retired atomic.Bool
	relaxed atomic.Bool // syncs of the write-ahead log are put off
	fatal   *atomic.Pointer[error]
	again   atomic.Pointer[func(error) bool] // waits, and whether a call that failed is made again; nil: it is not

	mu    sync.Mutex // guards the fields below
	dirty map[*logFile]struct{}
}

// newFileSystem makes one. What can't be passed on to the database is put into
// fatal.
func newFileSystem(fs vfs.FS, fatal *atomic.Pointer[error]) *fileSystem {
	return &fileSystem{FS: fs, fatal: fatal, dirty: make(map[*logFile]struct{})}
}

func (f *fileSystem) err() error {
	if f.retired.Load() {
		return errRetired
	}
	return nil
}

// removable returns why nothing may be removed.
func (f *fileSystem) removable() error {
	if err := f.fatal.Load(); err != nil {
		return *err
	}
	return f.err()
}

// try makes a call that may be made again.
func (f *fileSystem) try(call func() error) error {
	for {
		err := call()
		if err == nil {
			return nil
		}
		if again := f.again.Load(); again == nil || !(*again)(err) {
			return err
		}
	}
}

// Create makes a file; that of a write-ahead log is a [logFile].
func (f *fileSystem) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	var file vfs.File
	err := f.try(func() (err error) {
		file, err = f.FS.Create(name, c)
		return err
	})
	return f.wrap(file, err)(name)
}

// ReuseForWrite does as Create does.
func (f *fileSystem) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.err(); err != nil {
		return nil, err
	}
	return f.wrap(f.FS.ReuseForWrite(from, to, c))(to)
}

func (f *fileSystem) wrap(file vfs.File, err error) func(name string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		switch {
		case err != nil:
			return nil, err
		case filepath.Ext(name) == ".log":
			return &logFile{File: file, fs: f}, nil
		default:
			base := filepath.Base(name)
			return &fencedFile{File: file, fs: f, trivial: strings.HasPrefix(base, "marker.") || filepath.Ext(base) == ".dbtmp"}, nil
		}
	}
}

// OpenDir opens a folder for being synced.
func (f *fileSystem) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &folder{File: file, fs: f}, nil
}

// folder is a folder whose sync always succeeds, for pebble ends the process where
// it does not: the database is to be given up in its place, and until then removes
// nothing, for what takes the place of it may not last.
type folder struct {
	vfs.File
	fs *fileSystem
}

func (f *folder) Sync() error {
	if err := f.File.Sync(); err != nil {
		f.fs.fatal.CompareAndSwap(nil, &err)
	}
	return nil
}

// Link, Remove, RemoveAll and Rename do nothing once the file system is retired.

func (f *fileSystem) Link(from, to string) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.FS.Link(from, to)
}

func (f *fileSystem) Remove(name string) error {
	if err := f.removable(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

func (f *fileSystem) RemoveAll(name string) error {
	if err := f.removable(); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

func (f *fileSystem) Rename(from, to string) error {
	if err := f.err(); err != nil {
		return err
	}
	return f.try(func() error { return f.FS.Rename(from, to) })
}

// Lock does nothing: the store has a lock of its own, which outlives a database
// that is given up.
func (f *fileSystem) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Unwrap returns the file system beneath.
func (f *fileSystem) Unwrap() vfs.FS { return f.FS }

// sync does what was put off.
func (f *fileSystem) sync() error {
	f.mu.Lock()
	files := make([]*logFile, 0, len(f.dirty))
	for file := range f.dirty {
		files = append(files, file)
	}
	f.mu.Unlock()
	for _, file := range files {
		if err := file.settle(); err != nil {
			return err
		}
	}
	return nil
}

// fencedFile is a file that can't be written to once its file system is retired.
type fencedFile struct {
	vfs.File
	fs      *fileSystem
	trivial bool // a sync of it that failed may be made again: what it says is known otherwise
}

func (f *fencedFile) Write(p []byte) (int, error) {
	if err := f.fs.err(); err != nil {
		return 0, err
	}
	written := 0
	err := f.fs.try(func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}

func (f *fencedFile) Sync() error {
	if f.trivial {
		return f.fs.try(f.File.Sync)
	}
	return f.File.Sync()
}

func (f *fencedFile) WriteAt(p []byte, at int64) (int, error) {
	if err := f.fs.err(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, at)
}

// logFile is a file of the write-ahead log.
type logFile struct {
	vfs.File
	fs *fileSystem

	mu     sync.Mutex // held while syncing, so that Close waits for it
	closed bool
}

func (f *logFile) Write(p []byte) (int, error) {
	if err := f.fs.err(); err != nil {
		return 0, err
	}
	f.fs.mu.Lock()
	f.fs.dirty[f] = struct{}{}
	f.fs.mu.Unlock()
	return f.File.Write(p)
}

// Sync, SyncData and SyncTo put it off if that is allowed. Files that are older
// come first: what is synced is never behind something that is not.

func (f *logFile) Sync() error     { return f.maySync() }
func (f *logFile) SyncData() error { return f.maySync() }

func (f *logFile) SyncTo(int64) (fullSync bool, err error) { return true, f.maySync() }

func (f *logFile) maySync() error {
	if f.fs.relaxed.Load() {
		return nil
	}
	return f.fs.sync()
}

// settle syncs the file, unless it is clean.
func (f *logFile) settle() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fs.mu.Lock()
	_, dirty := f.fs.dirty[f]
	delete(f.fs.dirty, f)
	f.fs.mu.Unlock()
	if !dirty || f.closed {
		return nil
	}
	if err := f.fs.err(); err != nil {
		return err
	}
	return f.File.SyncData()
}

// Close syncs first, whatever is allowed.
func (f *logFile) Close() error {
	err := f.settle()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return errors.Join(err, f.File.Close())
}
