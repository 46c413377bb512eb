package retain_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// TestMoveFromMemory gives messages that were in memory only a store, while they
// change: in the end the store has exactly what the index has, and what is
// acknowledged from then on is there.
func TestMoveFromMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target := &fake{t: t, before: func(context.Context, int) error {
			time.Sleep(5 * time.Millisecond)
			return nil
		}}
		x := retain.New(retain.Options{BatchChanges: 3})
		stop := start(t, x)
		for i := range 50 {
			set(t, x, fmt.Sprint("t/", i), "before")
		}
		var writers sync.WaitGroup
		done := make(chan struct{})
		for w := range 4 {
			writers.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-done:
						return
					case <-time.After(time.Millisecond):
					}
					name := fmt.Sprint("t/", (n*7+w*13)%60)
					if n%5 == 0 {
						_, _, _ = x.Delete(name)
						continue
					}
					if err := x.Wait(t.Context(), set(t, x, name, fmt.Sprint(w, n))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		committed := uint64(0)
		revision, err := x.Move(t.Context(), target, retain.MoveOptions{Commit: func(_ context.Context, r uint64) error {
			committed = r
			return nil
		}})
		if err != nil || revision == 0 || committed != revision {
			t.Fatalf("revision %d, committed %d: %v", revision, committed, err)
		}
		time.Sleep(20 * time.Millisecond)
		close(done)
		writers.Wait()
		last := set(t, x, "last", "x")
		if err := x.Wait(t.Context(), last); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(inIndex(x), target.payloads()); diff != "" {
			t.Errorf("once the last is acknowledged (-index +store):\n%s", diff)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMoveToMemory does without a store from now on: who waits for it is let go,
// it is not called any more, and it keeps what it has. A move back brings
// everything there.
func TestMoveToMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		x := retain.New(retain.Options{Store: store})
		stop := start(t, x)
		if err := x.Wait(t.Context(), set(t, x, "a", "1")); err != nil {
			t.Fatal(err)
		}
		store.before = func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}
		stuck := waiting(x, set(t, x, "b", "2"))
		synctest.Wait()
		no := errors.New("no")
		if _, err := x.Move(t.Context(), nil, retain.MoveOptions{Commit: func(context.Context, uint64) error { return no }}); !errors.Is(err, no) {
			t.Fatalf("a move that is not committed: %v", err)
		}
		if returned(stuck) {
			t.Error("a message was acknowledged that the store has not")
		}
		if _, err := x.Move(t.Context(), nil, retain.MoveOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := <-stuck; err != nil {
			t.Error(err)
		}
		store.before = nil
		calls := store.calls
		if err := x.Wait(t.Context(), set(t, x, "c", "3")); err != nil {
			t.Error(err)
		}
		if _, err := x.Clear(); err != nil {
			t.Error(err)
		}
		set(t, x, "d", "4")
		synctest.Wait()
		if diff := cmp.Diff(map[string]string{"a": "1"}, store.payloads()); diff != "" || store.calls != calls {
			t.Errorf("the store was called, or has (-want +got):\n%s", diff)
		}
		if _, err := x.Move(t.Context(), nil, retain.MoveOptions{}); !errors.Is(err, retain.ErrNoStore) {
			t.Errorf("a move from memory to memory: %v", err)
		}
		if _, err := x.Move(t.Context(), store, retain.MoveOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := x.Wait(t.Context(), set(t, x, "e", "5")); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]string{"d": "4", "e": "5"}, store.payloads()); diff != "" {
			t.Errorf("moved back (-want +got):\n%s", diff)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMemoryAfterTheEnd holds that messages in memory need no writer: they can
// be changed when it has ended, and only a move can't be made any more.
func TestMemoryAfterTheEnd(t *testing.T) {
	x := retain.New(retain.Options{})
	stop := start(t, x)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := x.Wait(t.Context(), set(t, x, "a", "1")); err != nil {
		t.Error(err)
	}
	if _, err := x.Clear(); err != nil {
		t.Error(err)
	}
	if _, err := x.Move(t.Context(), &fake{t: t}, retain.MoveOptions{}); !errors.Is(err, retain.ErrStopped) {
		t.Errorf("a move: %v", err)
	}
}
