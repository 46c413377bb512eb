package hook_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
)

// watcher writes down what it is told, one word an event.
type watcher struct {
	mu         sync.Mutex
	told       []string // guarded by mu
	generation atomic.Uint64
	lost       atomic.Uint64
	renewed    func()
}

func (w *watcher) Observe(_ context.Context, events []hook.Event, _ uint64) {
	names := map[hook.EventKind]string{
		hook.Connected: "connected", hook.Disconnected: "disconnected", hook.Published: "published",
		hook.SnapshotBegins: "begin", hook.Present: "present", hook.SnapshotEnds: "end",
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		s := names[e.Kind]
		if e.ClientID != "" {
			s += fmt.Sprintf(" %s %d.%d", e.ClientID, e.ConnectionID, e.Seq)
		}
		w.told = append(w.told, s)
	}
}

func (w *watcher) Generation() uint64 { return w.generation.Load() }
func (w *watcher) Lost() uint64       { return w.lost.Load() }
func (w *watcher) OnRenew(f func())   { w.renewed = f }

// take returns what was told since the last time, once nothing more happens.
func (w *watcher) take() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.told = nil }()
	return w.told
}

func event(k hook.EventKind, id string, connection, seq uint64) hook.Event {
	return hook.Event{Kind: k, ClientID: id, ConnectionID: connection, Seq: seq}
}

// watch starts hooks with a watcher that wants snapshots of those who are
// present.
func watch(t *testing.T, w *watcher, queue int, present *[]hook.Event) *hook.Hooks {
	w.generation.Store(1)
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetObservers([]hook.ObserverEntry{{
		Observer: w, Queue: queue, Interests: []hook.Interest{{Point: hook.PointEvent, Snapshot: true}},
	}})
	h.SetPresence(func() iter.Seq[hook.Event] { return slices.Values(*present) })
	return h
}

func want(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// A snapshot comes first. What it had seen is not told after it: a late
// "disconnected" of a connection before, the "connected" of that one; messages
// are told whenever they were sent.
func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(watcher)
		h := watch(t, w, 0, &[]hook.Event{event(hook.Present, "a", 7, 12), event(hook.Present, "b", 8, 3)})
		want(t, w.take(), "begin", "present a 7.12", "present b 8.3", "end")
		for _, e := range []hook.Event{
			event(hook.Disconnected, "a", 5, 9), event(hook.Connected, "a", 7, 11), event(hook.Published, "a", 7, 12),
			event(hook.Connected, "c", 9, 1), event(hook.Disconnected, "a", 7, 13), event(hook.Connected, "a", 10, 2),
		} {
			h.Emit(&e)
		}
		want(t, w.take(), "published a 7.12", "connected c 9.1", "disconnected a 7.13", "connected a 10.2")
	})
}

func TestSnapshotAgain(t *testing.T) {
	everything := []string{"begin", "present a 7.12", "end"}
	start := func(t *testing.T) (*watcher, *hook.Hooks) {
		w := new(watcher)
		h := watch(t, w, 10, &[]hook.Event{event(hook.Present, "a", 7, 12)})
		want(t, w.take(), everything...)
		return w, h
	}
	t.Run("when another process took the place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, _ := start(t)
			w.generation.Store(0)
			w.renewed()
			want(t, w.take())
			w.generation.Store(2)
			w.renewed()
			want(t, w.take(), everything...)
			w.renewed()
			want(t, w.take())
		})
	})
	t.Run("when events were lost on the way, after a pause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w, h := start(t)
			w.lost.Add(1)
			h.Emit(&hook.Event{Kind: hook.Published})
			want(t, w.take(), "published")
			time.Sleep(6 * time.Second)
			want(t, w.take(), everything...)
			time.Sleep(time.Minute)
			want(t, w.take())
		})
	})
}

// An observer that is behind is told of the gap, and then who is connected.
func TestSnapshotAfterOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &recorder{block: make(chan struct{}), entered: make(chan struct{})}
		h := hook.NewHooks(nil)
		t.Cleanup(h.Close)
		h.SetPresence(func() iter.Seq[hook.Event] { return slices.Values([]hook.Event{event(hook.Present, "a", 1, 1)}) })
		h.SetObservers([]hook.ObserverEntry{{
			Observer: slow, Queue: 10, Interests: []hook.Interest{{Point: hook.PointEvent, Snapshot: true}},
		}})
		<-slow.entered // with the first snapshot
		for range 100 {
			h.Emit(&hook.Event{Kind: hook.Published})
		}
		close(slow.block)
		time.Sleep(time.Minute)
		synctest.Wait()
		var kinds []hook.EventKind
		for _, e := range slow.events {
			kinds = append(kinds, e.Kind)
		}
		snapshot := []hook.EventKind{hook.SnapshotBegins, hook.Present, hook.SnapshotEnds}
		if slow.dropped != 90 || !slices.Equal(kinds, slices.Concat(snapshot, slices.Repeat([]hook.EventKind{hook.Published}, 10), snapshot)) {
			t.Errorf("dropped %d, told %v", slow.dropped, kinds)
		}
	})
}

// Who does not ask for one gets none, whatever else it asks for.
func TestNoSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(watcher)
		h := hook.NewHooks(nil)
		t.Cleanup(h.Close)
		h.SetPresence(func() iter.Seq[hook.Event] { return slices.Values([]hook.Event{event(hook.Present, "a", 1, 1)}) })
		h.SetObservers([]hook.ObserverEntry{{Observer: w}})
		h.Emit(&hook.Event{Kind: hook.Connected})
		want(t, w.take(), "connected")
	})
}
