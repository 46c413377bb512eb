package validator

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/password"
)

// digests of 64 KiB, 1 MiB and 8 MiB.
const (
	small  = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$QU1hZGVVcEhhc2hPZlNpeHRlZW4"
	medium = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$QU1hZGVVcEhhc2hPZlNpeHRlZW4"
	large  = "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$QU1hZGVVcEhhc2hPZlNpeHRlZW4"
)

func digest(tb testing.TB, stored string) password.Digest {
	tb.Helper()
	d, err := password.Parse(stored)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func TestGateBounds(t *testing.T) {
	for _, tc := range []struct {
		name   string
		budget int64
		slots  int
		stored string
		want   int64 // checks at once
	}{
		{"by processors", 64 << 20, 4, small, 4},
		{"by processors, one", 64 << 20, 1, medium, 1},
		{"by memory", 3 << 20, 64, medium, 3},
		{"larger than the budget", 4 << 20, 4, large, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(tc.budget, tc.slots)
				var running, most atomic.Int64
				g.verify = func(password.Digest, []byte) bool {
					now := running.Add(1)
					defer running.Add(-1)
					if most.Load() < now {
						most.Store(now)
					}
					time.Sleep(time.Second)
					return true
				}
				d := digest(t, tc.stored)
				var all sync.WaitGroup
				for range 20 {
					all.Go(func() {
						if ok, err := g.check(t.Context(), d, nil); err != nil || !ok {
							t.Errorf("check = %v, %v", ok, err)
						}
					})
				}
				synctest.Wait()
				if got := running.Load(); got != tc.want {
					t.Errorf("%d checks run at once, want %d", got, tc.want)
				}
				all.Wait()
				if got := most.Load(); got != tc.want {
					t.Errorf("up to %d checks ran at once, want %d", got, tc.want)
				}
			})
		})
	}
}

func TestGateGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1<<20, 1)
		calls := 0
		release := make(chan struct{})
		g.verify = func(password.Digest, []byte) bool { calls++; <-release; return true }
		d := digest(t, medium)
		first := make(chan error)
		go func() {
			_, err := g.check(t.Context(), d, nil)
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if ok, err := g.check(ctx, d, nil); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while another check runs: %v, %v", ok, err)
		}
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if ok, err := g.check(ctx, d, nil); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with room, but too late: %v, %v", ok, err)
		}
		if calls != 1 {
			t.Errorf("%d checks ran, want 1", calls)
		}
	})
}

// TestGateMemory checks that a storm of logins takes no more memory than was
// allowed, give or take what the garbage collector has not yet seen.
func TestGateMemory(t *testing.T) {
	const budget = 16 << 20
	g := newGate(budget, 16)
	d := digest(t, large)
	before := heap()
	var most atomic.Uint64
	verify := g.verify
	g.verify = func(d password.Digest, secret []byte) bool {
		ok := verify(d, secret)
		if now := heap(); now > most.Load() {
			most.Store(now)
		}
		return ok
	}
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() { _, _ = g.check(t.Context(), d, []byte("x")) })
	}
	all.Wait()
	// Without the gate it would be 64 times 8 MiB.
	if took := int64(most.Load()) - int64(before); took > 8*budget {
		t.Errorf("64 checks of 8 MiB took %d MiB, with %d MiB allowed", took>>20, budget>>20)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

func BenchmarkDecide(b *testing.B) {
	set := parse(b, "users:\n  - name: alice\n    password: "+medium+"\n    allow: {both: x}\n")
	j := &judge{set: set, check: newGate(256<<20, runtime.GOMAXPROCS(0)).check}
	for _, user := range []string{"alice", "mallory"} {
		b.Run(user, func(b *testing.B) {
			for b.Loop() {
				if _, err := j.decide(b.Context(), login(user, "wrong", "x")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
