package certificate

import (
	"context"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long files have to be left alone before they are read: a
	// certificate and its key are written one after the other.
	settle = 300 * time.Millisecond
	// warnEvery is how often it is looked whether something is about to expire.
	warnEvery = 12 * time.Hour
)

// Watch follows the files until ctx ends. It returns early, with an error, if
// the operating system can't tell of changes; [Store.Reload] is what is left
// then. Call it once.
func (s *Store) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	s.follow(w)
	// Whatever changed between reading and watching.
	changed := time.NewTimer(settle)
	defer changed.Stop()
	warn := time.NewTicker(warnEvery)
	defer warn.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-w.Events:
			if !ok {
				return nil
			}
			changed.Reset(settle)
		case err := <-w.Errors:
			// Events were lost, so that anything may have changed.
			s.log.Warn("files of certificates are not watched well", "error", err)
			changed.Reset(settle)
		case <-s.moved:
			changed.Reset(settle)
		case <-changed.C:
			_, _ = s.Reload() // logged
			s.follow(w)
		case now := <-warn.C:
			s.warn(s.current.Load(), now)
		}
	}
}

// follow watches the folders of all files, and those in which the files are that
// links lead to: a file that is replaced is another file.
func (s *Store) follow(w *fsnotify.Watcher) {
	want := make(map[string]bool)
	for _, path := range s.files() {
		want[filepath.Dir(path)] = true
		if real, err := filepath.EvalSymlinks(path); err == nil {
			want[filepath.Dir(real)] = true
		}
	}
	for _, dir := range w.WatchList() {
		if !want[dir] {
			_ = w.Remove(dir)
		}
		delete(want, dir)
	}
	for dir := range want {
		if err := w.Add(dir); err != nil {
			s.log.Warn("folder of certificates can't be watched", "folder", dir, "error", err)
		}
	}
}
