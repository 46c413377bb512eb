package validator

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long a file must be left alone before it is read: editors
	// and copies write in several steps.
	settle = 100 * time.Millisecond
	// settleMax bounds the wait where something changes all the time.
	settleMax = time.Second
	// pollInterval is how often the file is looked at without being told of a
	// change: network file systems, and files that are mounted into a
	// container, tell nothing.
	pollInterval = 10 * time.Second
)

// watch calls a function when a file changes.
//
// What is watched is the folder: most editors, and everyone who is careful,
// put a new file in the place of the old one, of which a watch on the file
// itself would not hear. If the path is a symbolic link, the folder of what it
// leads to is watched too; Kubernetes replaces a link on the way.
type watch struct {
	path    string
	log     *slog.Logger
	poll    time.Duration
	changed func()

	seen    os.FileInfo         // what the file was like when it was last read; nil: not there
	folders map[string]struct{} // that are watched
	events  *fsnotify.Watcher   // nil if there are no events to be had

	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

// newWatch makes a watch of path. seen is what [stat] returned before the file
// was last read. changed is called from one goroutine, and also if the file
// went away.
func newWatch(path string, seen os.FileInfo, log *slog.Logger, changed func()) *watch {
	return &watch{
		path: path, log: log, poll: pollInterval, changed: changed,
		seen: seen, folders: make(map[string]struct{}),
	}
}

// start begins to watch until stop is called; that ctx ends does not end it.
func (w *watch) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel, w.done = cancel, make(chan struct{})
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("changes of the users file are found late", slog.Duration("after", w.poll), slog.Any("error", err))
	} else {
		w.events = events
		w.follow() // here, so that what happens after start is seen
	}
	go w.run(ctx)
}

// stop ends a watch that was started, and waits for it. It may be called for a
// nil watch.
func (w *watch) stop() {
	if w == nil {
		return
	}
	w.cancel()
	<-w.done
}

func (w *watch) run(ctx context.Context) {
	defer close(w.done)
	var (
		events chan fsnotify.Event
		errs   chan error
	)
	if w.events != nil {
		defer func() { _ = w.events.Close() }() // never fails
		events, errs = w.events.Events, w.events.Errors
	}
	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	var (
		settled <-chan time.Time // nil while nothing is going on
		since   time.Time        // the first event of those that are waited out
		touched bool             // one of them was about the file itself
	)
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			touched = touched || filepath.Base(e.Name) == filepath.Base(w.path)
		case err := <-errs: // most likely events were lost; look without them
			w.log.Warn("watching the users file", slog.Any("error", err))
			touched = true
		case <-poll.C:
			w.follow()
			w.look(false)
			continue
		case <-settled:
			settled = nil
			w.follow()
			w.look(touched)
			touched = false
			continue
		}
		if settled == nil {
			since = time.Now()
		}
		settled = time.After(min(settle, time.Until(since.Add(settleMax))))
	}
}

// look calls changed if the file is not what it was. touched says that the file
// was written to even if that does not show: size and time can stay the same.
func (w *watch) look(touched bool) {
	now := stat(w.path)
	if !touched && same(w.seen, now) {
		return
	}
	if w.seen == nil && now == nil { // it was gone already
		return
	}
	w.seen = now
	w.changed()
}

// follow makes sure that the right folders are watched, now that the file, its
// folder or a link may have been replaced.
func (w *watch) follow() {
	if w.events == nil {
		return
	}
	want := map[string]struct{}{filepath.Dir(w.path): {}}
	if target, err := filepath.EvalSymlinks(w.path); err == nil {
		want[filepath.Dir(target)] = struct{}{}
	}
	for folder := range w.folders {
		if _, ok := want[folder]; !ok {
			_ = w.events.Remove(folder) // fails if the folder itself is gone, which is as good
			delete(w.folders, folder)
		}
	}
	for folder := range want {
		// Also for a folder that was added before: it may be another one of
		// the same name by now. Failing is no harm, it is tried again.
		if err := w.events.Add(folder); err == nil {
			w.folders[folder] = struct{}{}
		}
	}
}

// stat describes the file at path, or what it links to; nil if there is none.
func stat(path string) os.FileInfo {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return info
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
