package hooks

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
)

const (
	// settle is how long a folder must be left alone before it is read: editors
	// and copies write in several steps.
	settle = 100 * time.Millisecond
	// settleMax bounds the wait where something changes all the time.
	settleMax = time.Second
	// pollInterval is how often the folder is looked at without being told of a
	// change: network file systems and mounts of containers tell nothing.
	pollInterval = 5 * time.Second
	// maxFiles bounds what is looked at.
	maxFiles = 10000
)

// fingerprint changes with the files of a folder.
type fingerprint [sha256.Size]byte

// look takes the fingerprint of a folder's scripts and of the files with keys
// beside them.
func look(folder string) fingerprint {
	h := sha256.New()
	n := 0
	files := script.Folder(folder)
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error { // what can't be read changes nothing
		if n++; err != nil || n > maxFiles {
			return fs.SkipAll
		}
		if strings.HasPrefix(path.Base(name), ".") && name != "." {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() || !counts(name) {
			return nil
		}
		if info, err := fs.Stat(files, name); err == nil { // of what a link leads to
			fmt.Fprintf(h, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		}
		return nil
	})
	return fingerprint(h.Sum(nil))
}

// counts reports whether a file is one that scripts may use.
func counts(name string) bool {
	if strings.HasSuffix(name, script.TestExtension) {
		return false
	}
	return slices.Contains([]string{script.Extension, ".json", ".jwks", ".pem", ".crt", ".cer", ".key", ".pub"}, path.Ext(name))
}

// watch calls a function when the files of a folder change.
type watch struct {
	folder  string
	seen    fingerprint
	log     *slog.Logger
	changed func(context.Context)

	events *fsnotify.Watcher // nil if there are no events to be had
	cancel context.CancelFunc
	done   chan struct{} // closed when the goroutine has ended
}

func newWatch(folder string, seen fingerprint, log *slog.Logger, changed func(context.Context)) *watch {
	return &watch{folder: folder, seen: seen, log: log, changed: changed}
}

// start begins to watch until stop is called; that ctx ends does not end it.
func (w *watch) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel, w.done = cancel, make(chan struct{})
	events, err := fsnotify.NewWatcher()
	if err != nil {
		w.log.Warn("changed scripts are found late", slog.Duration("after", pollInterval), slog.Any("error", err))
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

// follow watches the folder and those below it, and the one in which it is: it
// may be replaced.
func (w *watch) follow() {
	if w.events == nil {
		return
	}
	_ = w.events.Add(filepath.Dir(filepath.Clean(w.folder))) // failing is no harm: it is looked at anyway
	_ = filepath.WalkDir(w.folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // what can't be read is looked at later
		}
		if name != w.folder && strings.HasPrefix(d.Name(), ".") && !strings.HasPrefix(d.Name(), "..") {
			return fs.SkipDir
		}
		_ = w.events.Add(name)
		return nil
	})
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
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	var (
		settled <-chan time.Time // nil while nothing is going on
		since   time.Time        // the first event of those that are waited out
	)
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case err := <-errs: // most likely events were lost
			w.log.Warn("watching the scripts", slog.Any("error", err))
		case <-poll.C:
		case <-settled:
			settled = nil
			w.follow()
			if now := look(w.folder); now != w.seen {
				w.seen = now
				w.changed(ctx)
			}
			continue
		}
		if settled == nil {
			since = time.Now()
		}
		settled = time.After(min(settle, time.Until(since.Add(settleMax))))
	}
}
