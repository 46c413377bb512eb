package validator

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLook checks what is taken for a change without an event to tell of it.
func TestLook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, "one")
	old := time.Now().Add(-time.Hour)
	setTime := func(at time.Time) {
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	setTime(old)
	calls := 0
	w := newWatch(path, stat(path), slog.New(slog.DiscardHandler), func() { calls++ })
	for _, step := range []struct {
		name    string
		do      func()
		touched bool
		want    bool
	}{
		{"nothing", func() {}, false, false},
		{"another size", func() { write(t, path, "three"); setTime(old) }, false, true},
		{"nothing again", func() {}, false, false},
		{"another time", func() { setTime(old.Add(time.Minute)) }, false, true},
		{"another file of the same size and time", func() {
			write(t, path+"2", "THREE")
			rename(t, path+"2", path)
			setTime(old.Add(time.Minute))
		}, false, true},
		{"the same size and time, but an event", func() { write(t, path, "Three"); setTime(old.Add(time.Minute)) }, true, true},
		{"gone", func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, false, true},
		{"still gone", func() {}, false, false},
		{"still gone, with an event", func() {}, true, false},
		{"back", func() { write(t, path, "Three") }, false, true},
	} {
		step.do()
		calls = 0
		w.look(step.touched)
		if got := calls == 1; got != step.want || calls > 1 {
			t.Errorf("%s: changed was called %d times", step.name, calls)
		}
	}
}

// watched starts a watch that sends a value for each change.
func watched(t *testing.T, path string, poll time.Duration) <-chan struct{} {
	t.Helper()
	changes := make(chan struct{}, 100)
	w := newWatch(path, stat(path), slog.New(slog.DiscardHandler), func() { changes <- struct{}{} })
	w.poll = poll
	w.start(t.Context())
	t.Cleanup(w.stop)
	return changes
}

func await(t *testing.T, changes <-chan struct{}) {
	t.Helper()
	select {
	case <-changes:
	case <-time.After(20 * time.Second):
		t.Fatal("the change was not found")
	}
}

// TestNoise checks that other files of the folder cause no reading.
func TestNoise(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.yaml")
	write(t, path, "one")
	changes := watched(t, path, time.Hour)
	for range 10 {
		write(t, filepath.Join(dir, "other.log"), "noise")
	}
	write(t, path+".new", "two")
	rename(t, path+".new", path)
	await(t, changes)
	if n := len(changes); n != 0 {
		t.Errorf("%d changes more than there were", n)
	}
}

// TestFolderReplaced checks that a folder that was not there, or that was
// replaced, is watched from the next look on.
func TestFolderReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	path := filepath.Join(dir, "users.yaml")
	changes := watched(t, path, 10*time.Millisecond)
	mkdir(t, dir)
	write(t, path, "one")
	await(t, changes)
	rename(t, dir, dir+".old")
	await(t, changes)
	mkdir(t, dir)
	write(t, path, "two")
	await(t, changes)
}

// TestWithoutEvents checks that changes are found where the operating system
// tells of none.
func TestWithoutEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	write(t, path, "one")
	changes := make(chan struct{}, 100)
	w := newWatch(path, stat(path), slog.New(slog.DiscardHandler), func() { changes <- struct{}{} })
	w.poll, w.done = 10*time.Millisecond, make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go w.run(ctx)
	defer w.stop()
	write(t, path, "three")
	await(t, changes)
}

func TestStopTwice(t *testing.T) {
	w := newWatch(filepath.Join(t.TempDir(), "none", "users.yaml"), nil, slog.New(slog.DiscardHandler), func() {})
	w.start(t.Context())
	w.stop()
	w.stop()
	(*watch)(nil).stop()
}
