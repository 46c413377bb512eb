package logfile

import (
	"io"
	"os"
)

// FileSystem is what the store asks of an operating system, small so that
// tests can stand in for one that fails or loses power. Paths are those that
// the store was opened with. Errors are those of package os.
type FileSystem interface {
	// Open opens a file for reading and writing. flag may hold os.O_CREATE
	// and os.O_TRUNC.
	Open(path string, flag int) (File, error)
	// Rename puts a file in the place of another, which may exist.
	Rename(from, to string) error
	// Remove removes a file; one that does not exist is an error that matches
	// fs.ErrNotExist.
	Remove(path string) error
	// SyncDir returns when the names of the files in dir are durable. Until
	// then a crash may undo Open's creations, Rename and Remove.
	SyncDir(dir string) error
}

// File is one open file. The store writes from one goroutine at a time and
// reads from several.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync returns when everything written is durable. After an error nothing
	// is known about what was written since the last Sync that succeeded.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// osFiles is the operating system.
type osFiles struct{}

func (osFiles) Open(path string, flag int) (File, error) {
	f, err := openShared(path, flag|os.O_RDWR)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }

func (osFiles) Remove(path string) error { return os.Remove(path) }

func (osFiles) SyncDir(dir string) error { return syncDir(dir) }

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
