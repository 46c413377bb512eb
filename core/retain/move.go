package retain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// What a move can be refused with, or end with. The store before it is then
// still the one in use, and has everything.
var (
	// ErrMoving: a move is under way.
	ErrMoving = errors.New("retained messages are being moved already")

	// ErrAhead: the new store has seen changes that the index has not. See
	// MoveOptions.Replace.
	ErrAhead = errors.New("the new store has changes that are newer than what would be moved there")

	// ErrNoStore: there is no store to move from, and none to move to.
	ErrNoStore = errors.New("retained messages are in memory only")

	// errBehind: more changes are made than the new store takes.
	errBehind = errors.New("the new store does not keep up with the changes that are made")
)

// MoveOptions are the choices of [Index.Move].
type MoveOptions struct {
	// Replace moves also to a store that is ahead, and drops what it has.
	Replace bool

	// Patience is how long the new store may fail in a row before the move is
	// given up. Zero means 10 seconds.
	Patience time.Duration

	// Commit, if not nil, is called once the new store has everything up to a
	// revision, and before anything is acknowledged that it alone has: it
	// notes durably that the new store is the one to start with. An error ends
	// the move. Publishers wait while it runs.
	Commit func(ctx context.Context, revision uint64) error

	// Progress, if not nil, is told now and then how many messages were
	// copied, of how many.
	Progress func(copied, total int)
}

// finalTimeout bounds how long publishers wait for the switch at a time.
const finalTimeout = 2 * time.Second

// move is a move that is under way. Index.mu guards it.
type move struct {
	target Store
	queue  queue // what the target has not yet been given
	begun  bool  // changes go to the queue
	behind bool  // it was full: the move can't succeed any more
}

// Move copies all messages to another store while changes go on, and then has
// the index write there: in the end target has exactly what the index has. What
// target held before is dropped. Everything that was acknowledged is in the old
// store until Commit is called, and in the new one from then on.
//
// Every change since the move began goes to both stores. What is copied gets a
// revision of its own, above all that either store has seen, so that neither a
// deletion of long ago nor a change that overtakes its copy is undone.
//
// Messages that are in memory only are moved to a store in the same way; a nil
// target has them stay in memory only from now on, and the old store keeps what
// it has. The error says why nothing was moved; the old store stays in use. It is
// called from any goroutine while [Index.Run] runs.
func (x *Index) Move(ctx context.Context, target Store, o MoveOptions) (revision uint64, err error) {
	if target == nil {
		return x.doWithout(ctx, o)
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	m := &move{target: target}
	if err := x.begin(m); err != nil {
		return 0, err
	}
	defer x.end(m)
	mv := &mover{index: x, move: m, options: o}
	if err := mv.prepare(ctx); err != nil {
		return 0, err
	}
	if err := mv.copy(ctx); err != nil {
		return 0, err
	}
	for {
		revision, err := mv.switchOver(ctx)
		if err == nil {
			return revision, nil
		}
		if !errors.Is(err, errAgain) {
			return 0, err
		}
	}
}

// doWithout has the index write to no store any more.
func (x *Index) doWithout(ctx context.Context, o MoveOptions) (revision uint64, err error) {
	m := new(move)
	if err := x.begin(m); err != nil {
		return 0, err
	}
	defer x.end(m)
	if o.Commit != nil {
		if err := o.Commit(ctx, x.Revision()); err != nil {
			return 0, err
		}
	}
	revision = x.Revision()
	if left := x.adopt(m, revision); left != nil {
		<-left
	}
	return revision, nil
}

// begin lets one move in.
func (x *Index) begin(m *move) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.store == nil && m.target == nil:
		return ErrNoStore
	case x.move != nil:
		return ErrMoving
	case x.stopped:
		return ErrStopped
	}
	x.move = m
	x.follow()
	if r := x.recorder(); r != nil {
		x.handOver(r) // what is made from now on is queued
	}
	return nil
}

// end forgets a move that did not succeed.
func (x *Index) end(m *move) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.move == m {
		x.move = nil
		x.follow()
	}
}

// forward gives a change to the store that is moved to, once that takes any. The
// caller holds mu.
func (x *Index) forward(c *Change) {
	m := x.move
	if m == nil || !m.begun || m.behind {
		return
	}
	// The end of a move is bounded in time and must not fail any more.
	total := m.queue.with(c)
	if !x.frozen && (total.changes > x.options.QueueChanges+x.options.BatchChanges || total.bytes > x.options.QueueBytes+x.options.BatchBytes) {
		m.behind, m.queue = true, queue{}
		return
	}
	m.queue.push(c)
}

// freeze keeps everything that becomes durable from being acknowledged, and
// returns the revision of the last change that may have been.
func (x *Index) freeze(m *move) (revision uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.behind {
		return 0, errBehind
	}
	x.frozen = true
	return x.revision, nil
}

// thaw ends that.
func (x *Index) thaw() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.frozen = false
	x.settle()
}

// adopt has the index write to the store of a move, which has everything up to
// revision; what came since is in the queue of the move. The returned channel is
// closed when the writer has left the old store; nil if it is not there.
func (x *Index) adopt(m *move, revision uint64) (left <-chan struct{}) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.busy != nil {
		x.busy.cut() // what the writer has, the new store has too
		left = x.busy.left
	}
	x.store, x.epoch = m.target, x.epoch+1
	x.memory.Store(m.target == nil)
	x.queue, x.writing = m.queue, load{}
	x.reached = revision // what the old store got since then does not count
	if m.target == nil {
		x.reached = x.revision // nobody waits for what will not be written
	}
	x.move, x.frozen = nil, false
	x.follow()
	x.settle()
	x.rouse()
	return left
}

// errAgain: the switch took too long, and publishers should not wait longer.
var errAgain = errors.New("once more")

// mover is the state of Move. It is the only one that calls the new store.
type mover struct {
	index   *Index
	move    *move
	options MoveOptions
	topics  []string  // to be copied
	pending []chunk   // taken for the new store, which does not have it yet
	failing time.Time // since when the new store fails; zero if it does not
}

// prepare looks at what the new store has, and begins to forward changes to it,
// the first of which empties it.
func (w *mover) prepare(ctx context.Context) error {
	x := w.index
	var seen uint64
	held := 0
	for r, err := range w.move.target.Load(ctx) {
		if err != nil {
			return fmt.Errorf("look at the new store: %w", err)
		}
		seen = max(seen, r.Revision)
		if r.Message != nil {
			held++
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	x.mu.Lock()
	if seen > x.revision && !w.options.Replace {
		defer x.mu.Unlock()
		return fmt.Errorf("%w: it holds %d messages and is at revision %d, and this is %d", ErrAhead, held, seen, x.revision)
	}
	x.revision = max(x.revision, seen) + 1
	w.move.begun = true
	w.move.queue.push(&Change{Op: Clear, Revision: x.revision})
	messages := x.messages.Load()
	x.mu.Unlock()
	return w.collect(messages)
}

// collect notes the topics that are to be copied. Those that are added from now
// on are forwarded.
func (w *mover) collect(messages *topic.Index[*entry]) error {
	limit := 0
	if l, ok := w.move.target.(Limiter); ok {
		limit = l.MaxMessageBytes()
	}
	w.topics = make([]string, 0, messages.Len())
	var tooLarge error
	messages.All(func(name string, e *entry) bool {
		if size := e.message.Size(); limit > 0 && size > limit {
			tooLarge = fmt.Errorf("the message of topic %q does not fit: %w: %d bytes, and it takes %d", name, ErrTooLarge, size, limit)
			return false
		}
		w.topics = append(w.topics, name)
		return true
	})
	return tooLarge
}

// copy gives the new store all messages and what changes meanwhile.
func (w *mover) copy(ctx context.Context) error {
	x := w.index
	total := len(w.topics)
	for len(w.topics) > 0 {
		n := min(len(w.topics), x.options.BatchChanges)
		w.push(w.topics[:n])
		w.topics = w.topics[n:]
		if err := w.drain(ctx); err != nil {
			return err
		}
		if w.options.Progress != nil {
			w.options.Progress(total-len(w.topics), total)
		}
	}
	// One more round leaves little for the switch.
	return w.drain(ctx)
}

// push queues what topics have now: a message that was changed since was
// forwarded already, and comes again.
func (w *mover) push(topics []string) {
	x := w.index
	x.mu.Lock()
	defer x.mu.Unlock()
	if w.move.behind {
		return
	}
	for _, name := range topics {
		if e, found := x.messages.Load().Get(name); found {
			x.revision++
			w.move.queue.push(&Change{Op: Put, Topic: name, Message: e.message, Revision: x.revision})
		}
	}
}

// drain gives the new store what is queued for it now. It tries again until the
// new store has failed for as long as there is patience.
func (w *mover) drain(ctx context.Context) error {
	x := w.index
	x.mu.Lock()
	b, behind := w.move.queue.take(), w.move.behind
	x.mu.Unlock()
	if behind {
		return errBehind
	}
	w.pending = append(w.pending, b.chunks(x.options.BatchChanges, x.options.BatchBytes)...)
	for len(w.pending) > 0 {
		if err := w.apply(ctx, w.pending[0].changes); err != nil {
			return err
		}
		w.pending = w.pending[1:]
	}
	return nil
}

func (w *mover) apply(ctx context.Context, changes []Change) error {
	for tries := 0; ; tries++ {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		err := w.move.target.Apply(ctx, changes)
		if err == nil {
			w.failing = time.Time{}
			return nil
		}
		if w.failing.IsZero() {
			w.failing = time.Now()
			w.index.options.Logger.Warn("new retained store failed, trying again", slog.Any("error", err))
		}
		if time.Since(w.failing) >= w.options.Patience {
			return fmt.Errorf("the new store failed: %w", err)
		}
		select {
		case <-time.After(min(lastRetry, firstRetry<<min(tries, 10))):
		case <-ctx.Done():
		}
	}
}

// switchOver makes the new store the one in use. Meanwhile nothing is
// acknowledged that was not before: the old store has what was, and the new one
// once it has what is queued now.
func (w *mover) switchOver(ctx context.Context) (revision uint64, err error) {
	if err := w.drain(ctx); err != nil {
		return 0, err
	}
	revision, err = w.index.freeze(w.move)
	if err != nil {
		return 0, err
	}
	adopted := false
	defer func() {
		if !adopted {
			w.index.thaw()
		}
	}()
	final, cancel := context.WithTimeout(ctx, finalTimeout)
	defer cancel()
	if err := w.drain(final); err != nil {
		if final.Err() != nil && ctx.Err() == nil {
			return 0, errAgain
		}
		return 0, err
	}
	if w.options.Commit != nil {
		if err := w.options.Commit(ctx, revision); err != nil {
			return 0, err
		}
	}
	adopted = true
	if left := w.index.adopt(w.move, revision); left != nil {
		<-left // the old store may then be moved to, or be stopped
	}
	return revision, nil
}
