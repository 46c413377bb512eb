package retain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

func failEvery(n int) func(context.Context, int) error {
	return func(_ context.Context, call int) error {
		if call%n == 0 {
			return errAway
		}
		return nil
	}
}

// gate lets calls of Apply through one by one.
func gate() (pass chan struct{}, before func(context.Context, int) error) {
	pass = make(chan struct{})
	return pass, func(ctx context.Context, _ int) error {
		select {
		case <-pass:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waiting returns a channel that gets what Wait says.
func waiting(x *retain.Index, revision uint64) <-chan error {
	result := make(chan error, 1)
	go func() { result <- x.Wait(context.Background(), revision) }()
	return result
}

func returned(c <-chan error) bool { return len(c) > 0 }

func TestWaitIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		pass, before := gate()
		store.before = before
		x := retain.New(retain.Options{Store: store})
		start(t, x)
		w1 := waiting(x, set(t, x, "a", "1"))
		synctest.Wait()
		w2 := waiting(x, set(t, x, "b", "2")) // behind the batch under way
		synctest.Wait()
		if returned(w1) || returned(w2) || len(store.payloads()) != 0 {
			t.Fatal("Wait returned before the store had it")
		}
		if _, ok := x.Get("b", time.Now()); !ok || x.Pending() != 2 {
			t.Error("a change is not visible at once")
		}
		pass <- struct{}{}
		synctest.Wait()
		if !returned(w1) || returned(w2) {
			t.Fatal("after the first batch, the first must return and the second must not")
		}
		pass <- struct{}{}
		synctest.Wait()
		if !returned(w2) || <-w1 != nil || <-w2 != nil || x.Pending() != 0 {
			t.Error("Wait did not return once the store had it")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := x.Wait(ctx, set(t, x, "c", "3")); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait with a context that is done: %v", err)
		}
		pass <- struct{}{}
	})
}

func TestWriteBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		x := retain.New(retain.Options{Store: store, WriteBehind: true})
		if err := x.Wait(t.Context(), set(t, x, "a", "1")); err != nil {
			t.Fatal(err)
		}
		if x.Pending() != 1 {
			t.Errorf("%d pending before the writer runs", x.Pending())
		}
		if err := start(t, x)(); err != nil {
			t.Fatal(err)
		}
		if len(store.payloads()) != 1 {
			t.Error("not written")
		}
	})
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		pass, before := gate()
		store.before = before
		x := retain.New(retain.Options{Store: store, BatchChanges: 40, BatchBytes: 1000})
		start(t, x)
		set(t, x, "first", "1")
		synctest.Wait()
		for i := range 100 {
			set(t, x, fmt.Sprintf("t/%02d", i), "1")
			set(t, x, "hot", fmt.Sprint(i))
		}
		last := waiting(x, set(t, x, "big", strings.Repeat("x", 2000)))
		for range 5 {
			pass <- struct{}{}
		}
		synctest.Wait()
		if !returned(last) {
			t.Fatal("more than five batches")
		}
		var sizes []int
		for _, b := range store.batches {
			sizes = append(sizes, len(b))
		}
		if d := cmp.Diff([]int{1, 40, 40, 21, 1}, sizes); d != "" {
			t.Error(d)
		}
		if store.payloads()["hot"] != "99" {
			t.Errorf("hot is %q", store.payloads()["hot"])
		}
	})
}

// TestReplacedChangeIsNotDurableEarly: the first change of a topic is replaced
// by one in a later batch. Wait for it must not return before that.
func TestReplacedChangeIsNotDurableEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		pass, before := gate()
		store.before = before
		x := retain.New(retain.Options{Store: store, BatchChanges: 2})
		before1 := waiting(x, set(t, x, "a", "1"))
		early := waiting(x, set(t, x, "hot", "1"))
		set(t, x, "b", "1")
		set(t, x, "c", "1")
		set(t, x, "hot", "2")
		start(t, x)
		pass <- struct{}{}
		synctest.Wait()
		if !returned(before1) {
			t.Error("the change before it waits for it")
		}
		if returned(early) || store.payloads()["hot"] != "" {
			t.Fatal("Wait returned early")
		}
		pass <- struct{}{}
		synctest.Wait()
		if !returned(early) || store.payloads()["hot"] != "2" {
			t.Error("Wait did not return")
		}
	})
}

func TestDeleteOfNothingWaitsForTheDeleteBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		pass, before := gate()
		store.before = before
		x := retain.New(retain.Options{Store: store})
		start(t, x)
		set(t, x, "a", "1")
		synctest.Wait()
		set(t, x, "a", "")
		again := waiting(x, set(t, x, "a", ""))
		pass <- struct{}{}
		synctest.Wait()
		if returned(again) {
			t.Error("the message is still in the store")
		}
		pass <- struct{}{}
		synctest.Wait()
		if !returned(again) || len(store.payloads()) != 0 {
			t.Error("not deleted")
		}
	})
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		failures := 0
		store := &fake{t: t}
		store.before = func(_ context.Context, call int) error {
			if call <= 9 {
				return errAway
			}
			return nil
		}
		x := retain.New(retain.Options{
			Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			OnWriteError: func(err error) {
				if errors.Is(err, errAway) {
					failures++
				}
			},
		})
		start(t, x)
		if err := x.Wait(t.Context(), set(t, x, "a", "1")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var pauses []time.Duration
		for i := 1; i < len(store.times); i++ {
			pauses = append(pauses, store.times[i].Sub(store.times[i-1])/time.Millisecond)
		}
		if d := cmp.Diff([]time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000, 2000}, pauses); d != "" {
			t.Errorf("milliseconds between attempts: %s", d)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 || failures != 9 || !strings.Contains(log.String(), errAway.Error()) {
			t.Errorf("%d failures counted, log:\n%s", failures, &log)
		}
	})
}

// TestAppliedButFailed: the store applies a batch and answers an error, at
// every call in turn; nothing is lost, doubled or out of order.
func TestAppliedButFailed(t *testing.T) {
	for k := 1; k <= 6; k++ {
		t.Run(fmt.Sprint("call ", k), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &fake{t: t}
				store.after = func(_ context.Context, call int) error {
					if call == k {
						return errAway
					}
					return nil
				}
				x := retain.New(retain.Options{Store: store, BatchChanges: 2})
				stop := start(t, x)
				for i := range 12 {
					set(t, x, fmt.Sprint("t/", i%5), fmt.Sprint(i))
					if i%3 == 0 {
						synctest.Wait()
					}
				}
				set(t, x, "t/2", "")
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(inIndex(x), store.payloads()); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestQueueBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		pass, before := gate()
		store.before = before
		x := retain.New(retain.Options{Store: store, QueueChanges: 3, QueueBytes: 100})
		stop := start(t, x)
		set(t, x, "a", "1")
		synctest.Wait() // the batch under way counts
		set(t, x, "b", "1")
		set(t, x, "c", "1")
		full := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, retain.ErrQueueFull) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := x.Set(message("d", "1"), time.Now())
		full("a fourth change", err)
		_, _, err = x.Delete("a")
		full("a deletion", err)
		_, err = x.Set(message("a", "1"), time.Now())
		full("a change of the topic under way", err)
		_, err = x.Set(message("b", strings.Repeat("x", 100)), time.Now())
		full("a big change", err)
		if d := cmp.Diff(map[string]string{"a": "1", "b": "1", "c": "1"}, inIndex(x)); d != "" {
			t.Errorf("a refused change changed something: %s", d)
		}
		set(t, x, "b", "2") // takes the place of the one that waits
		if x.Pending() != 3 {
			t.Errorf("%d pending", x.Pending())
		}
		pass <- struct{}{}
		synctest.Wait()
		set(t, x, "d", "1")
		if _, err := x.Clear(); err != nil {
			t.Errorf("Clear: %v", err)
		}
		close(pass)
		synctest.Wait()
		set(t, x, "one", strings.Repeat("x", 1000)) // alone it always fits
		if err := stop(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(inIndex(x), store.payloads()); d != "" {
			t.Error(d)
		}
	})
}

func TestReapStopsWhenTheQueueIsFull(t *testing.T) {
	x := retain.New(retain.Options{Store: &fake{t: t}, QueueChanges: 3})
	now := time.Now()
	for i := range 3 {
		if _, err := x.Set(expiring(fmt.Sprint(i), now, 1), now); err != nil {
			t.Fatal(err)
		}
	}
	// Deletions take the places of what they delete, so fill up with others.
	later := now.Add(time.Minute)
	if got := x.Reap(later, 2); got != 2 {
		t.Errorf("reaped %d", got)
	}
	y := retain.New(retain.Options{Store: &fake{t: t, records: map[string]retain.Record{
		"old": {Message: expiring("old", now, 1), Revision: 1},
	}}, QueueChanges: 1})
	if err := y.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	set(t, y, "new", "1")
	if got := y.Reap(later, 10); got != 0 || y.Len() != 2 {
		t.Errorf("reaped %d with a full queue", got)
	}
}

func TestShutdown(t *testing.T) {
	always := func(context.Context, int) error { return errAway }
	hang := func(ctx context.Context, _ int) error { <-ctx.Done(); return context.Cause(ctx) }
	slow := func(context.Context, int) error { time.Sleep(300 * time.Millisecond); return nil }
	deaf := func(context.Context, int) error { time.Sleep(3 * time.Second); return nil }
	tests := []struct {
		name    string
		before  func(context.Context, int) error
		written bool
		atMost  time.Duration
	}{
		{"at once", nil, true, 0},
		{"slow", slow, true, 3 * time.Second},
		{"failing", always, false, 5 * time.Second},
		{"hanging", hang, false, 5 * time.Second},
		{"too slow and deaf to its context", deaf, false, 6 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &fake{t: t, before: tt.before}
				x := retain.New(retain.Options{Store: store, BatchChanges: 2, DrainTimeout: 5 * time.Second})
				stop := start(t, x)
				var last uint64
				for i := range 10 {
					last = set(t, x, fmt.Sprint(i), "1")
				}
				synctest.Wait()
				waiter := waiting(x, last)
				begin := time.Now()
				err := stop()
				if took := time.Since(begin); took > tt.atMost {
					t.Errorf("took %v", took)
				}
				werr := <-waiter
				if tt.written != (err == nil) || tt.written != (werr == nil) || tt.written != (len(store.payloads()) == 10) {
					t.Errorf("Run: %v, Wait: %v, %d stored", err, werr, len(store.payloads()))
				}
				if !tt.written && (!errors.Is(werr, retain.ErrStopped) || !strings.Contains(err.Error(), fmt.Sprint(x.Pending()))) {
					t.Errorf("Run: %v, Wait: %v", err, werr)
				}
				if _, err := x.Set(message("late", "1"), time.Now()); !errors.Is(err, retain.ErrStopped) {
					t.Errorf("Set after the end: %v", err)
				}
				if _, err := x.Clear(); !errors.Is(err, retain.ErrStopped) {
					t.Errorf("Clear after the end: %v", err)
				}
			})
		})
	}
}

// TestShutdownTriesOnceMoreAtOnce: the store is back, but the writer sleeps
// when the broker ends.
func TestShutdownTriesOnceMoreAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		store := &fake{t: t}
		store.before = func(context.Context, int) error {
			if !back.Load() {
				return errAway
			}
			return nil
		}
		x := retain.New(retain.Options{Store: store, DrainTimeout: time.Millisecond})
		stop := start(t, x)
		set(t, x, "a", "1")
		time.Sleep(9 * time.Second) // in the bubble: the pauses are 2 s by now
		back.Store(true)
		if err := stop(); err != nil || len(store.payloads()) != 1 {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunWithoutStore(t *testing.T) {
	x := retain.New(retain.Options{})
	if err := start(t, x)(); err != nil {
		t.Error(err)
	}
	set(t, x, "a", "1")
}

func TestLoad(t *testing.T) {
	record := func(topic, payload string, revision uint64) retain.Record {
		return retain.Record{Message: message(topic, payload), Revision: revision}
	}
	store := &fake{t: t, revision: 40, records: map[string]retain.Record{
		"a": record("a", "1", 17), "b": record("b", "2", 30),
		"bad": record("a/#", "1", 3), "worse": record("", "1", 3), "empty": record("e", "", 31), "a again": record("a", "old", 5),
	}}
	var log bytes.Buffer
	x := retain.New(retain.Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"a": "1", "b": "2"}, inIndex(x)); d != "" {
		t.Error(d)
	}
	if x.Bytes() != 4 || x.Pending() != 0 || !strings.Contains(log.String(), "records=3") {
		t.Errorf("Bytes %d, Pending %d, log %s", x.Bytes(), x.Pending(), &log)
	}
	if err := x.Wait(t.Context(), 40); err != nil {
		t.Errorf("what was loaded is not durable: %v", err)
	}
	if revision := set(t, x, "c", "3"); revision != 41 {
		t.Errorf("revision %d after a store at 40", revision)
	}
	store.loadErr = errAway
	if err := retain.New(retain.Options{Store: store}).Load(t.Context()); !errors.Is(err, errAway) {
		t.Errorf("Load: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store.loadErr = nil
	if err := retain.New(retain.Options{Store: store}).Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with a context that is done: %v", err)
	}
}

func TestOpNames(t *testing.T) {
	got := fmt.Sprint(retain.Put, retain.Delete, retain.Clear, retain.Op(0))
	if got != "put delete clear unknown" {
		t.Error(got)
	}
}
