package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// ErrFormat says that the store was written by a newer version of the broker.
var ErrFormat = errors.New("the store is of a newer version")

// errOlder says that a store has to be written before it can be read.
var errOlder = errors.New("the store is of an older version, and can't be written")

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
	counts  counts
	options Options
	log     *session.Log
	lock    io.Closer
	states  []*session.State // until Load
	unread  chan struct{}    // of capacity 1: something could not be read
	aside   string           // where a corrupt store went; "" if it was good

	retained   int           // messages, when it was opened
	retaining  atomic.Int64  // changes of retained messages that are not written yet
	revision   atomic.Uint64 // of the last one that is
	unreadable stalled       // sessions
	ended      chan struct{} // closed when Run has returned

	mu sync.Mutex // held to replace database, and to read it elsewhere than in Run

	// What follows belongs to Run.
	*database
	build     *builder
	repr      []byte   // of the last batch, to be used again
	opening   *opening // goes on since Open, for nothing can be written; nil for none
	unwritten error    // why nothing can be written, if so
}

// Open opens the store in a folder, which is made if it does not exist, and reads
// it. A corrupt one is renamed ("DIR.corrupt-TIME") and an empty one takes its
// place, unless Options.Strict forbids that. The error says otherwise that the
// folder can't be used, for another process has it or the system does not let us.
func Open(dir string, o Options) (*Store, error) { return open(systemDisk(), dir, o.withDefaults()) }

func open(disk vfs.FS, dir string, o Options) (*Store, error) {
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, disk: disk, options: o, log: session.NewLog(o.LogBytes), unread: make(chan struct{}, 1),
		ended: make(chan struct{}),
	}
	s.log.ReadFrom(s)
	var err error
	if s.lock, err = disk.Lock(dir + ".lock"); err != nil {
		return nil, fmt.Errorf("the store is used by another process: %w", err)
	}
	s.disk = timedDisk{disk, &s.counts}
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

// take reads of a database that was opened, or could not be, what a start needs.
func (s *Store) take(db *database, opened error, writable bool) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(panicked(r), db.failure())
		}
	}()
	if opened != nil {
		return opened
	}
	if err := checkFormat(db.DB, writable); err != nil {
		return errors.Join(err, db.Close())
	}
	l, err := load(db.DB)
	if err == nil {
		s.retained, err = checkRetained(db)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	s.database = db
	s.build = newBuilder(l)
	s.states = l.sessions
	s.log.StartAbove(l.highest)
	if len(l.sessions) > 0 {
		s.options.Logger.Info("sessions were read", slog.Int("sessions", len(l.sessions)), slog.Int("messages", l.messages))
	}
	return nil
}

// checkFormat compares the version of the format, and writes it into an empty
// database. An older one is brought up to it, if it may be written.
func checkFormat(db *pebble.DB, writable bool) error {
	value, closer, err := db.Get(formatKey())
	if errors.Is(err, pebble.ErrNotFound) {
		if !writable {
			return nil // nothing else is in it either
		}
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
	case n < format && writable:
		return upgrade(db)
	default:
		return nil
	}
}

// corrupt reports whether an error means that what is on disk is no good. It is
// not the files' fault if the system does not let us read or write them.
func corrupt(err error) bool {
	var system syscall.Errno
	switch {
	case err == nil, errors.Is(err, ErrFormat), errors.Is(err, errOlder), errors.Is(err, pebble.ErrDBDoesNotExist):
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
func (s *Store) Close() error {
	if s.opening != nil {
		s.opening.abandon()
	}
	return errors.Join(s.database.shut(), s.lock.Close())
}

// database is pebble with the file system beneath it.
type database struct {
	*pebble.DB
	files   *fileSystem
	fatal   *atomic.Pointer[error] // why it can't be used any more
	readers sync.RWMutex           // held for reading by who does so elsewhere than in Run
	closed  bool                   // guarded by readers
}

// shut closes the database once nobody reads from it.
func (d *database) shut() error {
	d.readers.Lock()
	defer d.readers.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.Close()
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
		_ = d.shut()
	}()
}

// pebbleLogger passes on what matters and remembers what is fatal: the program
// goes on, without this database.
type pebbleLogger struct {
	log   *slog.Logger
	fatal *atomic.Pointer[error]
	lines admission.Lines // of Errorf: what fails is tried again many times a second
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("store", slog.String("message", fmt.Sprintf(format, args...)))
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	skipped, ok := l.lines.Turn(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.String("message", fmt.Sprintf(format, args...))}
	if skipped > 0 {
		attrs = append(attrs, slog.Int("not_logged_before", skipped))
	}
	l.log.LogAttrs(context.Background(), slog.LevelWarn, "store", attrs...)
}

func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	for _, a := range args {
		if cause, ok := a.(error); ok {
			err = &fatalError{err.Error(), cause}
		}
	}
	l.fatal.CompareAndSwap(nil, &err)
}

// fatalError keeps what a message is about: the store is not corrupt if it is an
// error of the system.
type fatalError struct {
	text  string
	cause error
}

func (e *fatalError) Error() string { return e.text }
func (e *fatalError) Unwrap() error { return e.cause }
