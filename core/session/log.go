package session

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// DefaultLogBytes is what a zero [NewLog] argument means.
const DefaultLogBytes = 32 << 20

// Log gathers the changes of all sessions that are kept, and those of retained
// messages, in one order, until a store has written them. Every change has a position, which only grows. Sessions
// append, one goroutine of the store takes and commits, and who made a promise
// waits for its position; all may do so at once.
type Log struct {
	limit   int
	numbers atomic.Uint64 // of sessions and of shared messages: given out last
	done    atomic.Uint64 // committed up to here
	failure atomic.Pointer[failure]
	ready   chan struct{} // of capacity 1: there is something to take
	pages   Pages         // nil: what is queued stays in memory

	mu      sync.Mutex // guards the fields below
	pending []Change
	cost    int           // of pending
	end     uint64        // the position of what was appended last
	groups  []uint64      // where those begin that are not complete, ascending
	waiters []waiter      // for positions
	room    chan struct{} // not nil: closed when there is room
	stalled []func()      // of sessions that could not read
}

type waiter struct {
	position uint64
	call     func()
}

type failure struct{ err error }

// NewLog makes an empty log. limit bounds what waits to be written, in bytes,
// beyond which [Log.WaitRoom] blocks; 0 means DefaultLogBytes.
func NewLog(limit int) *Log {
	if limit <= 0 {
		limit = DefaultLogBytes
	}
	return &Log{limit: limit, ready: make(chan struct{}, 1)}
}

// Number returns a number that no session and no shared message has.
func (l *Log) Number() uint64 { return l.numbers.Add(1) }

// StartAbove lets Number go on above n. Called before anything else.
func (l *Log) StartAbove(n uint64) { l.numbers.Store(max(n, l.numbers.Load())) }

// ReadFrom lets sessions leave on the disk what they have queued, and read it from
// p. Called before anything else.
func (l *Log) ReadFrom(p Pages) { l.pages = p }

// whenReadable calls f once it is worth trying to read again. f must not block.
func (l *Log) whenReadable(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stalled = append(l.stalled, f)
}

// Readable says that those who could not read may try again. Called by the store,
// a while after it had to say no.
func (l *Log) Readable() {
	l.mu.Lock()
	list := l.stalled
	l.stalled = nil
	l.mu.Unlock()
	for _, f := range list {
		f()
	}
}

// append adds a change and returns its position. It does not block.
func (l *Log) append(c *Change) uint64 {
	l.mu.Lock()
	l.pending = append(l.pending, *c)
	l.cost += c.cost()
	l.end++
	position, first := l.end, len(l.pending) == 1
	l.mu.Unlock()
	if first {
		l.signal()
	}
	return position
}

// Retain adds a change of the retained messages and returns its position: m is now
// the one of its topic or, if it has no payload, there is none any more; nil means
// that no topic has one. It does not block; m must not change any more. The callers
// see to it that the revisions grow.
func (l *Log) Retain(m *mqtt.Message, revision uint64, d Durability) uint64 {
	return l.append(&Change{
		Kind: ChangeRetain, Sequence: revision, Delivery: mqtt.Delivery{Message: m},
		Sync: d == DurabilitySync, Lax: d == DurabilityNone,
	})
}

func (l *Log) signal() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// Begin begins a group: what is appended until the group is ended is committed
// together, or not at all. Groups are short: nothing else is committed meanwhile.
func (l *Log) Begin() (group uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups = append(l.groups, l.end)
	return l.end
}

// Finish ends the group that Begin returned.
func (l *Log) Finish(group uint64) {
	l.mu.Lock()
	i := slices.Index(l.groups, group)
	l.groups = slices.Delete(l.groups, i, i+1)
	waits := i == 0 && len(l.pending) > 0
	l.mu.Unlock()
	if waits {
		l.signal()
	}
}

// Ready returns a channel that gets a value when there may be something to take.
func (l *Log) Ready() <-chan struct{} { return l.ready }

// Take appends everything that may be committed to dst, and returns it with the
// position to commit once it is written. Called by one goroutine of the store.
func (l *Log) Take(dst []Change) (changes []Change, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.pending)
	if len(l.groups) > 0 {
		n -= int(l.end - l.groups[0]) //nolint:gosec // within pending, or before it
	}
	if n <= 0 {
		return dst, 0
	}
	dst = append(dst, l.pending[:n]...)
	upTo = l.end - uint64(len(l.pending)-n) //nolint:gosec // not negative
	for i := range n {
		l.cost -= l.pending[i].cost()
	}
	rest := copy(l.pending, l.pending[n:])
	clear(l.pending[rest:])
	l.pending = l.pending[:rest]
	if l.room != nil && l.cost < l.limit {
		close(l.room)
		l.room = nil
	}
	return dst, upTo
}

// Commit says that everything up to a position is written, and calls those who
// waited for it. Called by the goroutine that took it.
func (l *Log) Commit(upTo uint64) {
	l.mu.Lock()
	l.done.Store(upTo)
	var due []func()
	l.waiters = slices.DeleteFunc(l.waiters, func(w waiter) bool {
		if w.position > upTo {
			return false
		}
		due = append(due, w.call)
		return true
	})
	l.mu.Unlock()
	for _, call := range due {
		call()
	}
}

// Done is the position up to which everything is written.
func (l *Log) Done() uint64 { return l.done.Load() }

// End is the position of the change that was made last.
func (l *Log) End() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// After calls f once a position is written: at once, or by the goroutine that
// commits it. f must not block.
func (l *Log) After(position uint64, f func()) {
	l.mu.Lock()
	if position > l.done.Load() {
		l.waiters = append(l.waiters, waiter{position, f})
		l.mu.Unlock()
		return
	}
	l.mu.Unlock()
	f()
}

// Wait waits until a position is written. The error is ctx's.
func (l *Log) Wait(ctx context.Context, position uint64) error {
	if position <= l.Done() {
		return nil
	}
	done := make(chan struct{})
	l.After(position, func() { close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitRoom blocks while too much waits to be written. The error is ctx's.
func (l *Log) WaitRoom(ctx context.Context) error {
	for {
		l.mu.Lock()
		if l.cost < l.limit {
			l.mu.Unlock()
			return nil
		}
		if l.room == nil {
			l.room = make(chan struct{})
		}
		room := l.room
		l.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Fail says that nothing can be written, and why; nil that it can again.
func (l *Log) Fail(err error) {
	if err == nil {
		l.failure.Store(nil)
		return
	}
	l.failure.Store(&failure{err})
}

// Failure returns what Fail was told last.
func (l *Log) Failure() error {
	if f := l.failure.Load(); f != nil {
		return f.err
	}
	return nil
}
