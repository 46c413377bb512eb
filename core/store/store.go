package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// ErrFormat says that the store was written by a newer version of the broker.
var ErrFormat = errors.New("the store is of a newer version")

// Options of a store. The zero value is usable.
type Options struct {
	// Logger is told of what goes wrong, and of what was found. Nil discards.
	Logger *slog.Logger
	// Strict makes Open fail with a corrupt store, rather than put it aside and
	// begin with an empty one.
	Strict bool
	// SyncEvery is how long it takes at most until the disk has what was written
	// with [session.DurabilityInterval], and what nobody was promised: 200 ms.
	SyncEvery time.Duration
	// RetryEvery is how long to wait before another attempt to open a store that
	// failed: 1 s.
	RetryEvery time.Duration
	// LogBytes bounds what waits to be written; see [session.NewLog].
	LogBytes int
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.SyncEvery <= 0 {
		o.SyncEvery = 200 * time.Millisecond
	}
	if o.RetryEvery <= 0 {
		o.RetryEvery = time.Second
	}
	return o
}

// Store keeps sessions. Make it with [Open].
type Store struct {
	dir     string
	disk    vfs.FS
	options Options
	log     *session.Log
	lock    io.Closer
	states  []*session.State // until Load
	aside   string           // where a corrupt store went; "" if it was good

	// What follows belongs to Run.
	*database
	build *builder
}

// Open opens the store in a folder, which is made if it does not exist, and reads
// it. A corrupt one is renamed ("DIR.corrupt-TIME") and an empty one takes its
// place, unless Options.Strict forbids that. The error says otherwise that the
// folder can't be used, for another process has it or the system does not let us.
func Open(dir string, o Options) (*Store, error) { return open(vfs.Default, dir, o.withDefaults()) }

func open(disk vfs.FS, dir string, o Options) (*Store, error) {
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, disk: disk, options: o, log: session.NewLog(o.LogBytes)}
	var err error
	if s.lock, err = disk.Lock(dir + ".lock"); err != nil {
		return nil, fmt.Errorf("the store is used by another process: %w", err)
	}
	err = s.read()
	if corrupt(err) && !o.Strict {
		s.aside = dir + time.Now().UTC().Format(".corrupt-20060102T150405.000Z")
		o.Logger.Error("the store of sessions is corrupt: it is put aside and an empty one takes its place",
			slog.String("folder", s.aside), slog.Any("error", err))
		if err = disk.Rename(dir, s.aside); err == nil {
			err = errors.Join(disk.MkdirAll(dir, 0o700), s.read())
		}
	}
	if err != nil {
		_ = s.lock.Close()
		return nil, err
	}
	return s, nil
}

// read opens the database and reads all of it.
func (s *Store) read() error {
	db, err := openDatabase(s.disk, s.dir, s.options.Logger)
	if err != nil {
		return err
	}
	if err := checkFormat(db.DB); err != nil {
		return errors.Join(err, db.Close())
	}
	l, err := load(db.DB)
	if err == nil {
		err = l.collect()
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.database, s.build = db, newBuilder()
	s.build.refs = l.refs
	s.states = l.sessions
	s.log.StartAbove(l.highest)
	if len(l.sessions) > 0 {
		s.options.Logger.Info("sessions were read", slog.Int("sessions", len(l.sessions)), slog.Int("messages", l.messages))
	}
	return nil
}

// checkFormat compares the version of the format, and writes it into an empty
// database.
func checkFormat(db *pebble.DB) error {
	value, closer, err := db.Get(formatKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return db.Set(formatKey(), binary.AppendUvarint(nil, format), pebble.Sync)
	}
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	r := reader{b: value}
	switch n := r.number(); {
	case r.end() != nil || n == 0:
		return errValue
	case n > format:
		return fmt.Errorf("%w: format %d, and this one knows %d", ErrFormat, n, format)
	default:
		return nil
	}
}

// corrupt reports whether an error means that what is on disk is no good. It is
// not the files' fault if the system does not let us read or write them.
func corrupt(err error) bool {
	var system syscall.Errno
	switch {
	case err == nil, errors.Is(err, ErrFormat):
		return false
	case errors.As(err, &system):
		return errors.Is(err, fs.ErrNotExist)
	default:
		return true
	}
}

// Log returns the log whose changes are written.
func (s *Store) Log() *session.Log { return s.log }

// Aside returns where a corrupt store was put by Open; "" if it was good.
func (s *Store) Aside() string { return s.aside }

// Close closes a store whose Run has returned, or was never called.
func (s *Store) Close() error { return errors.Join(s.database.Close(), s.lock.Close()) }

// database is pebble with the file system beneath it.
type database struct {
	*pebble.DB
	files *fileSystem
	fatal *atomic.Pointer[error] // why it can't be used any more
}

func openDatabase(disk vfs.FS, dir string, log *slog.Logger) (db *database, err error) {
	db = &database{files: newFileSystem(disk), fatal: new(atomic.Pointer[error])}
	defer func() {
		if r := recover(); r != nil { // what it finds in a damaged file may surprise it
			err = fmt.Errorf("%w: %v", errValue, r)
		}
	}()
	cache := pebble.NewCache(32 << 20)
	defer cache.Unref()
	o := &pebble.Options{
		FS: db.files, Cache: cache, MemTableSize: 32 << 20, MemTableStopWritesThreshold: 4,
		FormatMajorVersion: pebble.FormatNewest, Logger: &pebbleLogger{log, db.fatal},
		L0CompactionThreshold: 4, L0StopWritesThreshold: 64,
		MaxOpenFiles: 200,
	}
	db.DB, err = pebble.Open(dir, o)
	if err == nil {
		err = db.failure()
	}
	return db, err
}

func (d *database) failure() error {
	if err := d.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

// retire gives a database up that has failed: whatever it still does changes
// nothing.
func (d *database) retire() {
	d.files.retired.Store(true)
	go func() {
		defer func() { _ = recover() }() // it may complain about its own state
		_ = d.Close()
	}()
}

// pebbleLogger passes on what matters and remembers what is fatal: the program
// goes on, without this database.
type pebbleLogger struct {
	log   *slog.Logger
	fatal *atomic.Pointer[error]
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("store", slog.String("message", fmt.Sprintf(format, args...)))
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("store", slog.String("message", fmt.Sprintf(format, args...)))
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fatal.CompareAndSwap(nil, &err)
}
