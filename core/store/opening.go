package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// opening is a database that is being opened. That writes what is in the
// write-ahead log into tables, and what fails of it is tried again until it works:
// on a full disk it ends when there is room. Most of that is done here, call by
// call, for pebble tears down what it still uses if opening fails late; where a sync
// fails it is pebble that tries to write the table again.
type opening struct {
	stuck chan error // of capacity 1: why it tries again
	done  chan error // of capacity 1: it has ended
	db    *database  // then; without a DB if it could not be opened

	open   atomic.Bool   // it was opened
	mayTry chan struct{} // closed by proceed
	once   sync.Once     // of proceed
	pause  time.Duration // between two attempts
}

// begin starts to open the database. Until proceed is called it stops at the
// first write that fails.
func (s *Store) begin() *opening {
	o := &opening{
		stuck: make(chan error, 1), done: make(chan error, 1), mayTry: make(chan struct{}),
		pause: s.options.RetryEvery, db: newDatabase(s.disk),
	}
	go o.run(s.dir, s.options.Logger)
	return o
}

// run opens the database. It stays for ever, and changes nothing, if it was
// abandoned in an attempt that failed: pebble knows no other end of that.
func (o *opening) run(dir string, log *slog.Logger) {
	again := o.wait
	o.db.files.again.Store(&again)
	err := o.db.open(dir, log, &pebble.Options{EventListener: &pebble.EventListener{BackgroundError: o.failed(log)}})
	o.db.files.again.Store(nil)
	o.open.Store(err == nil)
	o.done <- err
}

// wait says why the opening is stuck, waits until it may try again, and reports
// whether it may.
func (o *opening) wait(err error) bool {
	if !unwritable(err) {
		return false
	}
	select {
	case o.stuck <- err:
	default:
	}
	<-o.mayTry
	if o.db.files.retired.Load() {
		return false
	}
	time.Sleep(o.pause)
	return true
}

// failed returns what pebble calls when something fails that it will try again.
// It holds its mutex meanwhile, for which only run waits.
func (o *opening) failed(log *slog.Logger) func(error) {
	lines := pebbleLogger{log: log, fatal: o.db.fatal}
	return func(err error) {
		if o.open.Load() {
			lines.Errorf("background error: %s", err)
			return
		}
		lines.Infof("while it is opened: %s", err)
		if err := o.db.failure(); err != nil { // another attempt would fail too
			o.db.files.retired.Store(true)
			o.done <- err
			runtime.Goexit()
		}
		select {
		case o.stuck <- err:
		default:
		}
		<-o.mayTry
		if o.db.files.retired.Load() {
			runtime.Goexit()
		}
		time.Sleep(o.pause)
	}
}

// proceed lets it try again what failed.
func (o *opening) proceed() { o.once.Do(func() { close(o.mayTry) }) }

// abandon has it change nothing any more, whether it ends or not.
func (o *opening) abandon() {
	o.db.files.retired.Store(true)
	o.proceed()
}

// read opens the database and reads of it what a start needs. If nothing can be
// written now, which is so on a full disk, that is read all the same, and Run opens
// the database when it can.
func (s *Store) read() error {
	o := s.begin()
	select {
	case err := <-o.done:
		if !unwritable(err) {
			return s.take(o.db, err, true)
		}
		if o.db.DB != nil {
			o.db.retire()
		}
		return s.readOnly(nil, err)
	case cause := <-o.stuck:
		return s.readOnly(o, cause)
	}
}

// readOnly reads a database that can't be written, or is being opened, and says
// why.
func (s *Store) readOnly(o *opening, cause error) error {
	db := newDatabase(s.disk)
	err := db.open(s.dir, s.options.Logger, &pebble.Options{ReadOnly: true})
	if err == nil {
		err = current(db.DB)
	}
	if err = s.take(db, err, false); err != nil {
		if o != nil {
			o.abandon()
		}
		if corrupt(err) {
			return err
		}
		return fmt.Errorf("%w; %w", cause, err)
	}
	s.opening = o
	s.fail(cause)
	return nil
}

// current refuses a store of an older format: what it lacks can't be added now.
func current(db *pebble.DB) error {
	value, closer, err := db.Get(formatKey())
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	if r := (reader{b: value}); r.number() < format {
		return errOlder
	}
	return nil
}

// fail says that nothing can be written.
func (s *Store) fail(cause error) {
	s.unwritten = cause
	s.log.Fail(cause)
	s.counts.failures.Add(1)
	s.options.Logger.Error("sessions can't be written: what needs it is refused until they can",
		slog.String("folder", s.dir), slog.String("error", cause.Error()))
}

// unwritable reports whether an error of opening a store is the disk's, which may
// work later, and nothing that somebody has to be told at once.
func unwritable(err error) bool {
	var system syscall.Errno
	return errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)
}

// reopen opens the store again after a failure, for nobody knows what a file holds
// after a write or a sync of it has failed, and commits the batch that could not
// be written. It returns an error only when ctx ends before that works.
func (s *Store) reopen(ctx context.Context, cause error, repr []byte) error {
	s.fail(cause)
	s.retire()
	return s.comeBack(ctx, nil, repr)
}

// comeBack ends what fail has begun, by a database that is being opened already,
// if there is one.
func (s *Store) comeBack(ctx context.Context, o *opening, repr []byte) error {
	for {
		if o == nil {
			select {
			case <-time.After(s.options.RetryEvery):
			case <-ctx.Done():
				return fmt.Errorf("sessions could not be written: %w", s.unwritten)
			}
			o = s.begin()
		}
		o.proceed()
		var err error
		select {
		case err = <-o.done:
		case <-ctx.Done():
			o.abandon()
			return fmt.Errorf("sessions could not be written: %w", s.unwritten)
		}
		if err == nil {
			s.retire()
			s.replace(o.db)
			if err = s.again(repr); err == nil {
				break
			}
			s.retire()
		} else if o.db.DB != nil {
			o.db.retire()
		}
		s.options.Logger.Debug("sessions still can't be written", slog.Any("error", err))
		s.unwritten, o = err, nil
	}
	s.unwritten = nil
	s.log.Fail(nil)
	s.log.Readable()
	s.options.Logger.Info("sessions are written again", slog.String("folder", s.dir))
	return nil
}

// newDatabase makes one that is not open.
func newDatabase(disk vfs.FS) *database {
	fatal := new(atomic.Pointer[error])
	return &database{files: newFileSystem(disk, fatal), fatal: fatal}
}

// open opens the database with some options beside those that are the same for
// all.
func (d *database) open(dir string, log *slog.Logger, o *pebble.Options) (err error) {
	defer func() {
		if r := recover(); r != nil { // what it finds in a damaged file may surprise it
			err = errors.Join(panicked(r), d.failure())
		}
	}()
	cache := pebble.NewCache(32 << 20)
	defer cache.Unref()
	o.FS, o.Cache, o.Logger = d.files, cache, &pebbleLogger{log: log, fatal: d.fatal}
	o.MemTableSize, o.MemTableStopWritesThreshold = 32<<20, 4
	o.L0CompactionThreshold, o.L0StopWritesThreshold = 4, 64
	o.FormatMajorVersion = pebble.FormatNewest
	if o.EventListener == nil {
		o.EventListener = new(pebble.EventListener)
	}
	o.EventListener.DataCorruption = damage(log)
	o.MaxOpenFiles = 200
	compactions := newScheduler()
	o.Experimental.CompactionScheduler = compactions
	if d.DB, err = pebble.Open(dir, o); err != nil {
		return err
	}
	compactions.start()
	return d.failure()
}

// damage returns what is told of a damaged part of a file. It is no reason to give
// the database up: who has to read that part is told so, and the rest works.
func damage(log *slog.Logger) func(pebble.DataCorruptionInfo) {
	lines := pebbleLogger{log: log}
	return func(info pebble.DataCorruptionInfo) { lines.Errorf("%s is damaged: %s", info.Path, info.Details) }
}

// panicked is the error of a panic within pebble: what is on disk is no good,
// unless it was about a call of the system.
func panicked(r any) error {
	if err, ok := r.(error); ok {
		return fmt.Errorf("%w: %w", errValue, err)
	}
	return fmt.Errorf("%w: %v", errValue, r)
}
