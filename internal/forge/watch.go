package forge

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long sources have to be left alone before they count as saved:
// editors write more than one file, and some write one twice.
const settle = 100 * time.Millisecond

// Watch tells by saved that sources were saved, until ctx ends: once for all that
// were saved while nobody listened. ready is closed when it has begun to watch.
func (s *Source) Watch(ctx context.Context, ready chan<- struct{}, saved chan<- struct{}) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	if err := s.addTree(w, s.Dir); err != nil {
		return err
	}
	close(ready)
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	var tell chan<- struct{} // nil while there is nothing to tell
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.Events:
			if !s.matters(e) {
				continue
			}
			if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
				_ = s.addTree(w, e.Name) // one that is gone again needs no watching
			}
			quiet.Reset(settle)
		case err := <-w.Errors:
			return err
		case <-quiet.C:
			tell = saved
		case tell <- struct{}{}:
			tell = nil
		}
	}
}

// matters reports whether an event is about a source.
func (s *Source) matters(e fsnotify.Event) bool {
	return e.Op != fsnotify.Chmod && !unwatched(filepath.Base(e.Name))
}

func unwatched(name string) bool {
	return passedOver(name) || name == "node_modules" || name == "site-packages"
}

// addTree watches a folder and those below it.
func (s *Source) addTree(w *fsnotify.Watcher, root string) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return nil
		case path != s.Dir && unwatched(e.Name()):
			return filepath.SkipDir
		}
		return w.Add(path)
	})
}
