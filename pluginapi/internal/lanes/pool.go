// Package lanes runs tasks in lanes: those of one lane one after the other in
// the order in which they came, those of different lanes at once, on a bounded
// number of goroutines.
package lanes

import "sync"

// Pool runs tasks. Its goroutines exist only while there is work; [Pool.Wait]
// waits for them. All methods may be called from many goroutines.
//
// A goroutine that finds more to do starts the next one, unless one that was
// started has not begun: so tasks that are done in no time are done by few, and
// those that wait for something by as many as there may be.
type Pool[K comparable, T any] struct {
	run     func([]T)
	workers int

	running sync.WaitGroup

	mu     sync.Mutex        // guards the fields below
	lanes  map[K]*lane[K, T] // those with a task that waits or runs
	ready  []*lane[K, T]     // those with a task that waits and none that runs
	busy   int               // goroutines
	coming bool              // one of them has not begun
	spare  []*lane[K, T]     // lanes to use again
}

// lane holds the tasks of one key that wait.
type lane[K comparable, T any] struct {
	key   K
	tasks []T
}

// maxSpare bounds what is kept for the next burst.
const maxSpare = 64

// New makes a pool that runs tasks by calling run on at most workers goroutines
// at once, each time with all that wait in one lane. run must not panic, nor
// keep the slice.
func New[K comparable, T any](workers int, run func([]T)) *Pool[K, T] {
	return &Pool[K, T]{run: run, workers: max(workers, 1), lanes: make(map[K]*lane[K, T])}
}

// Batch collects tasks to hand over at once.
type Batch[K comparable, T any] struct {
	keys  []K
	tasks []T
}

// Add adds a task to the lane of key, behind those of earlier calls.
func (b *Batch[K, T]) Add(key K, task T) {
	b.keys, b.tasks = append(b.keys, key), append(b.tasks, task)
}

// Submit hands over the tasks of b, which is empty then. It does not wait for
// them.
func (p *Pool[K, T]) Submit(b *Batch[K, T]) {
	p.mu.Lock()
	for i := 0; i < len(b.keys); {
		next := i + 1
		for next < len(b.keys) && b.keys[next] == b.keys[i] {
			next++
		}
		p.put(b.keys[i], b.tasks[i:next])
		i = next
	}
	p.start()
	p.mu.Unlock()
	clear(b.keys)
	clear(b.tasks)
	b.keys, b.tasks = b.keys[:0], b.tasks[:0]
}

// Wait waits until nothing is left to do. No task may be submitted meanwhile.
func (p *Pool[K, T]) Wait() { p.running.Wait() }

// start lets one more goroutine work if there is something to do. p.mu is held.
func (p *Pool[K, T]) start() {
	if len(p.ready) > 0 && !p.coming && p.busy < p.workers {
		p.busy++
		p.coming = true
		p.running.Go(p.work)
	}
}

// put adds tasks to their lane. p.mu is held.
func (p *Pool[K, T]) put(key K, tasks []T) {
	l := p.lanes[key]
	if l == nil {
		l = p.newLane(key)
		p.lanes[key] = l
		p.ready = append(p.ready, l)
	}
	l.tasks = append(l.tasks, tasks...)
}

// work runs lanes until none is ready.
func (p *Pool[K, T]) work() {
	var tasks []T
	p.mu.Lock()
	defer p.mu.Unlock()
	p.coming = false
	for len(p.ready) > 0 {
		l := p.ready[0]
		p.ready = p.ready[1:]
		tasks, l.tasks = l.tasks, tasks[:0]
		p.start()
		p.mu.Unlock()
		p.run(tasks)
		clear(tasks)
		p.mu.Lock()
		if len(l.tasks) > 0 {
			// At the end, so that a lane that never gets empty delays no other.
			p.ready = append(p.ready, l)
			continue
		}
		delete(p.lanes, l.key)
		p.reuse(l)
	}
	p.busy--
}

func (p *Pool[K, T]) newLane(key K) *lane[K, T] {
	last := len(p.spare) - 1
	if last < 0 {
		return &lane[K, T]{key: key}
	}
	l := p.spare[last]
	p.spare = p.spare[:last]
	l.key = key
	return l
}

func (p *Pool[K, T]) reuse(l *lane[K, T]) {
	if len(p.spare) < maxSpare {
		var none K
		l.key = none
		p.spare = append(p.spare, l)
	}
}
