//go:build faults

package store

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// faultsVariable names the folder by which a broker that was built with the tag
// faults is told what is to go wrong with its store, and tells what has. Nobody is
// to keep anything with such a broker.
//
//	orders       "every=37 slow=5ms": each 37th call that writes fails, and syncs take 5 ms longer
//	failed       a byte for each call that failed
//	slow         a byte for each sync that took longer
//	synced/NAME  how many bytes of a write-ahead log the disk has
const faultsVariable = "GATEHOUSE_STORE_FAULTS"

// readOrders is how often the orders are read.
const readOrders = 5 * time.Millisecond

// systemDisk is the file system of the machine, with faults if they are ordered.
func systemDisk() vfs.FS {
	dir := os.Getenv(faultsVariable)
	if dir == "" {
		return vfs.Default
	}
	f := &faults{dir: dir}
	if err := os.MkdirAll(filepath.Join(dir, "synced"), 0o700); err != nil {
		panic(err)
	}
	f.note("failed", 0)
	f.note("slow", 0)
	return recordedDisk{errorfs.Wrap(vfs.Default, f), dir}
}

// faults decides which call fails.
type faults struct {
	dir   string
	calls atomic.Int64

	mu    sync.Mutex // guards the fields below
	read  time.Time
	every int64
	slow  time.Duration
}

func (f *faults) String() string { return "faults" }

// orders returns what is ordered now.
func (f *faults) orders() (every int64, slow time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.read) < readOrders {
		return f.every, f.slow
	}
	f.read, f.every, f.slow = time.Now(), 0, 0
	text, err := os.ReadFile(filepath.Join(f.dir, "orders"))
	if err != nil {
		return 0, 0
	}
	var took string
	if _, err := fmt.Sscanf(string(text), "every=%d slow=%s", &f.every, &took); err == nil {
		f.slow, _ = time.ParseDuration(took)
	}
	return f.every, f.slow
}

// MaybeError implements [errorfs.Injector].
func (f *faults) MaybeError(op errorfs.Op) error {
	sync := false
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
		sync = true
	case errorfs.OpCreate, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpRemove, errorfs.OpFileWrite, errorfs.OpFilePreallocate:
	default:
		return nil
	}
	every, slow := f.orders()
	if sync && slow > 0 {
		f.note("slow", 1)
		time.Sleep(slow)
	}
	if every == 0 || f.calls.Add(1)%every != 0 {
		return nil
	}
	f.note("failed", 1)
	return syscall.EIO
}

// note adds to a file that counts.
func (f *faults) note(name string, n int) {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.Write(make([]byte, n))
		_ = file.Close()
	}
	if err != nil {
		panic(err)
	}
}

// recordedDisk writes down how much of each write-ahead log is synced.
type recordedDisk struct {
	vfs.FS
	dir string
}

// Unwrap returns the file system beneath.
func (d recordedDisk) Unwrap() vfs.FS { return d.FS }

// Create implements [vfs.FS].
func (d recordedDisk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.recorded(d.FS.Create(name, c))(name)
}

// ReuseForWrite implements [vfs.FS].
func (d recordedDisk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.recorded(d.FS.ReuseForWrite(from, to, c))(to)
}

func (d recordedDisk) recorded(file vfs.File, err error) func(name string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		if err != nil || filepath.Ext(name) != ".log" {
			return file, err
		}
		r := &recordedFile{File: file, record: filepath.Join(d.dir, "synced", filepath.Base(name))}
		r.say(0)
		return r, nil
	}
}

// recordedFile is a write-ahead log.
type recordedFile struct {
	vfs.File
	record  string
	written atomic.Int64
}

// Write implements [vfs.File].
func (f *recordedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.written.Add(int64(n))
	return n, err
}

// SyncData implements [vfs.File]; it is what a logFile calls.
func (f *recordedFile) SyncData() error {
	n := f.written.Load()
	if err := f.File.SyncData(); err != nil {
		return err
	}
	f.say(n)
	return nil
}

func (f *recordedFile) say(n int64) {
	file, err := os.OpenFile(f.record, os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(file, "%020d", n)
		_ = file.Close()
	}
	if err != nil {
		panic(err)
	}
}
