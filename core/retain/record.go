package retain

import "context"

// Recorder is a [Store] that takes changes one by one, in their order, without
// waiting until they are written: what a publisher is told waits for that, the
// publisher's next message does not.
type Recorder interface {
	Readier
	// Record takes a change. The index calls it
	// under its lock, so that changes come in the order of their revisions: it must
	// neither block nor call back.
	Record(c Change)
	// Recorded waits until everything that Record was told of before is written, as
	// durably as it asks for. The error is ctx's, or says that nothing is written
	// any more. Called from many goroutines.
	Recorded(ctx context.Context) error
}

// Records reports whether changes go to a [Recorder] at once, so that nothing but
// what is promised about them needs to wait until they are written. That may change
// at any moment; what [Index.SetFor] says of a change holds.
func (x *Index) Records() bool { return x.records.Load() }

// recorder returns the store if it is a Recorder. The caller holds mu.
func (x *Index) recorder() Recorder {
	r, _ := x.store.(Recorder)
	return r
}

// follow notes whether changes are recorded: not while they are moved, for what is
// acknowledged then has to be in the new store too. The caller holds mu.
func (x *Index) follow() { x.records.Store(x.recorder() != nil && x.move == nil && !x.stopped) }

// direct returns the Recorder that the next change goes to, which has what was
// queued then; nil if changes have to be queued, for they are not recorded or
// nothing can be written at present. The caller holds mu.
func (x *Index) direct() Recorder {
	if !x.records.Load() {
		return nil
	}
	r := x.recorder()
	if r.Ready() != nil {
		return nil
	}
	if x.queue.load.changes > 0 {
		x.handOver(r)
	}
	return r
}

// handOver gives a Recorder what is queued. The caller holds mu.
func (x *Index) handOver(r Recorder) {
	x.queue.take().record(r)
	x.settled = x.revision
}

func (b batch) record(r Recorder) {
	for i := range b.changes {
		r.Record(b.changes[i].Change)
	}
}

// recorded returns the Recorder that has everything up to a revision; nil if there
// is none, or if more is promised than that it has.
func (x *Index) recorded(revision uint64) Recorder {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.recorder()
	switch {
	case r == nil:
		return nil
	case x.move == nil:
		x.handOver(r)
	case revision > x.settled:
		return nil
	}
	return r
}
