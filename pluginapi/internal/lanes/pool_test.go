package lanes_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type task struct{ key, n int }

// each runs tasks one by one.
func each(run func(task)) func([]task) {
	return func(tasks []task) {
		for _, t := range tasks {
			run(t)
		}
	}
}

// TestOrder submits random batches from several goroutines: each goroutine's
// tasks of a key run in its order, never two of a key at once, and never more
// than there are workers.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		keys := rapid.IntRange(1, 6).Draw(t, "keys")
		var mu sync.Mutex
		last := map[int]int{}
		inLane := make([]atomic.Bool, keys)
		var running, done atomic.Int32
		pool := lanes.New[int](workers, each(func(k task) {
			if n := running.Add(1); int(n) > workers {
				t.Errorf("%d tasks at once with %d workers", n, workers)
			}
			if inLane[k.key].Swap(true) {
				t.Errorf("two tasks of lane %d at once", k.key)
			}
			mu.Lock()
			if k.n != last[k.key]+1 {
				t.Errorf("lane %d: task %d after %d", k.key, k.n, last[k.key])
			}
			last[k.key] = k.n
			mu.Unlock()
			inLane[k.key].Store(false)
			running.Add(-1)
			done.Add(1)
		}))
		next := map[int]int{}
		total := 0
		var b lanes.Batch[int, task]
		for range rapid.IntRange(0, 20).Draw(t, "batches") {
			for range rapid.IntRange(0, 10).Draw(t, "tasks") {
				k := rapid.IntRange(0, keys-1).Draw(t, "key")
				next[k]++
				b.Add(k, task{k, next[k]})
				total++
			}
			pool.Submit(&b)
		}
		pool.Wait()
		if int(done.Load()) != total {
			t.Errorf("%d tasks ran, want %d", done.Load(), total)
		}
	})
}

// TestASlowLaneDelaysNoOther has one lane that hangs and many that do not.
func TestASlowLaneDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var fast atomic.Int32
		pool := lanes.New[int](2, each(func(k task) {
			if k.key == 0 {
				<-release
				return
			}
			time.Sleep(time.Millisecond)
			fast.Add(1)
		}))
		var b lanes.Batch[int, task]
		for i := range 5 {
			b.Add(0, task{0, i})
		}
		for i := range 100 {
			b.Add(1+i%10, task{1 + i%10, i})
		}
		pool.Submit(&b)
		time.Sleep(time.Second)
		if fast.Load() != 100 {
			t.Errorf("%d of 100 tasks ran beside a lane that hangs", fast.Load())
		}
		close(release)
		pool.Wait()
	})
}

func BenchmarkPool(b *testing.B) {
	pool := lanes.New[int](32, func([]task) {})
	var batch lanes.Batch[int, task]
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		batch.Add(i%64, task{i % 64, i})
		if i%64 == 63 {
			pool.Submit(&batch)
		}
	}
	pool.Submit(&batch)
	pool.Wait()
}
