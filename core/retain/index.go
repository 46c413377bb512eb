package retain

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Index holds the retained messages. Make one with [New]. All methods but Load
// and Run may be called from any number of goroutines; [Index.Get] and
// [Index.Match] take no lock.
type Index struct {
	options     Options
	messages    atomic.Pointer[topic.Index[*entry]]
	bytes       atomic.Int64
	durable     atomic.Uint64 // every revision up to this one is
	changes     atomic.Uint64 // were begun
	memory      atomic.Bool   // store is nil
	writeBehind atomic.Bool   // Wait does not wait
	records     atomic.Bool   // changes go to the store at once; see Recorder
	wake        chan struct{} // holds one token when the queue may have something

	mu       sync.Mutex    // guards the fields below, and every change of messages
	store    Store         // where changes go; nil: nowhere
	epoch    int           // grows when store changes
	revision uint64        // highest that was given away
	last     uint64        // of the last change; the revisions above are those of copies
	settled  uint64        // a Recorder has been told of every revision up to this one
	reached  uint64        // every revision up to this one is durable; ahead of the atomic one while frozen
	frozen   bool          // what becomes durable is not to be told
	expiring expiring      // the messages that expire
	queue    queue         // what waits for the writer
	writing  load          // what the writer has taken and not yet written
	busy     *visit        // what the writer does with a store; nil if that is nothing
	move     *move         // nil if there is none
	stopped  bool          // the writer has ended
	advanced chan struct{} // closed when durable or stopped changes; nil if nobody waits
}

// entry is one retained message in the index. Only place changes.
type entry struct {
	message  *mqtt.Message
	revision uint64
	place    int // in Index.expiring; -1 if the message does not expire
}

// New returns an empty index. It starts nothing and does not touch the store.
func New(o Options) *Index {
	x := &Index{options: o.withDefaults(), store: o.Store, wake: make(chan struct{}, 1)}
	x.memory.Store(o.Store == nil)
	x.writeBehind.Store(o.WriteBehind)
	x.messages.Store(new(topic.Index[*entry]))
	x.follow()
	return x
}

// SetWriteBehind changes whether [Index.Wait] returns at once; see
// [Options.WriteBehind]. Who waits already goes on waiting.
func (x *Index) SetWriteBehind(on bool) { x.writeBehind.Store(on) }

// Load fills the index from the store. It is called once, before Run and
// before any change. Records whose topic is not valid or whose payload is
// empty are left out, and logged as one number; of several with one topic the
// newest counts.
func (x *Index) Load(ctx context.Context) error {
	if x.options.Store == nil {
		return nil
	}
	refused := 0
	for record, err := range x.options.Store.Load(ctx) {
		if err != nil {
			return fmt.Errorf("load retained messages: %w", err)
		}
		if !x.restore(record) {
			refused++
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("load retained messages: %w", err)
	}
	if refused > 0 {
		x.options.Logger.Warn("retained store holds records that are not valid, left out", slog.Int("records", refused))
	}
	return nil
}

// restore takes over one record and reports whether it was valid.
func (x *Index) restore(r Record) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.Revision > x.revision {
		x.revision, x.last, x.reached = r.Revision, r.Revision, r.Revision
		x.durable.Store(r.Revision)
	}
	m := r.Message
	if m == nil {
		return true
	}
	if len(m.Payload) == 0 || topic.ValidateName(m.Topic) != nil {
		return false
	}
	if known, found := x.messages.Load().Get(m.Topic); !found || known.revision < r.Revision {
		x.put(m, r.Revision)
	}
	return true
}

// Set makes m the retained message of its topic, or, if its payload is empty,
// removes that [MQTT-3.3.1-6]; a message that has expired at now does the same.
// The change is visible when Set returns and durable when [Index.Wait] has
// returned for the revision; where nothing is to be removed, the revision is
// that of the last change, which may be the removal that a repetition means. m
// is kept; its topic must be valid. The error is [ErrQueueFull], [ErrQuota] or
// [ErrStopped], or wraps [ErrTooLarge].
func (x *Index) Set(m *mqtt.Message, now time.Time) (revision uint64, err error) {
	revision, _, err = x.SetFor(m, now, DurabilitySync)
	return revision, err
}

// SetFor is Set for a publisher who is promised less than that the disk has the
// message; see [Change.Durability]. recorded says that the store is a [Recorder]
// which has been told of the change, and of all before it.
func (x *Index) SetFor(m *mqtt.Message, now time.Time, d Durability) (revision uint64, recorded bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(m.Payload) == 0 || m.Expired(now) {
		_, recorded, err = x.delete(m.Topic, d)
		return x.last, recorded, err
	}
	c := Change{Op: Put, Topic: m.Topic, Message: m, Durability: d}
	if err := x.fits(m); err != nil {
		return 0, false, err
	}
	if err := x.quota(m.Topic, now); err != nil {
		return 0, false, err
	}
	if err := x.admit(&c); err != nil {
		return 0, false, err
	}
	recorded = x.enqueue(&c)
	x.put(m, x.revision)
	return x.revision, recorded, nil
}

// Delete removes the retained message of a topic and reports whether there was
// one. The revision is as that of [Index.Set]. The error is [ErrQueueFull] or
// [ErrStopped].
func (x *Index) Delete(name string) (revision uint64, existed bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	existed, _, err = x.delete(name, DurabilitySync)
	return x.last, existed, err
}

// delete removes the message of a topic. The caller holds mu.
func (x *Index) delete(name string, d Durability) (existed, recorded bool, err error) {
	e, found := x.messages.Load().Get(name)
	if !found {
		return false, x.direct() != nil, nil
	}
	recorded, err = x.remove(e, d)
	return err == nil, recorded, err
}

// Clear removes all retained messages. It never finds the queue full, for it
// takes the place of everything in it. The error is [ErrStopped].
func (x *Index) Clear() (revision uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopped && x.store != nil {
		return 0, ErrStopped
	}
	x.enqueue(&Change{Op: Clear})
	x.messages.Store(new(topic.Index[*entry]))
	x.bytes.Store(0)
	x.expiring = nil
	return x.revision, nil
}

// Get returns the retained message of a topic, unless it has expired.
func (x *Index) Get(name string, now time.Time) (*mqtt.Message, bool) {
	e, ok := x.messages.Load().Get(name)
	if !ok || e.message.Expired(now) {
		return nil, false
	}
	return e.message, true
}

// Match calls yield for every retained message whose topic filter matches, in
// no particular order, until yield returns false; expired ones are left out
// [MQTT-3.3.2-5]. yield may call the index. The filter comes without "$share".
func (x *Index) Match(filter string, now time.Time, yield func(*mqtt.Message) bool) {
	x.messages.Load().Match(filter, func(_ string, e *entry) bool {
		return e.message.Expired(now) || yield(e.message)
	})
}

// All calls yield for every retained message, those whose topic begins with "$"
// included, in no particular order, until yield returns false; expired ones are
// left out. yield may call the index.
func (x *Index) All(now time.Time, yield func(*mqtt.Message) bool) {
	x.messages.Load().All(func(_ string, e *entry) bool {
		return e.message.Expired(now) || yield(e.message)
	})
}

// Reap deletes up to limit expired messages, also in the store, and returns
// how many. The broker calls it every few seconds. It stops early while the
// queue is full.
func (x *Index) Reap(now time.Time, limit int) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := range limit {
		if len(x.expiring) == 0 || !x.expiring[0].message.Expired(now) {
			return n
		}
		if _, err := x.remove(x.expiring[0], DurabilityNone); err != nil {
			return n
		}
	}
	return max(0, limit)
}

// Len returns the number of retained messages, expired ones that were not yet
// reaped included.
func (x *Index) Len() int { return x.messages.Load().Len() }

// Bytes returns the size of all retained messages as [mqtt.Message.Size]
// counts it.
func (x *Index) Bytes() int { return int(x.bytes.Load()) }

// Revision returns the highest revision that was used: of a change, or of a copy
// made by [Index.Move].
func (x *Index) Revision() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.revision
}

// Changes returns how many changes have begun since the index was made: while it
// stays the same, every message that was found is still that of its topic, unless
// it has expired. It takes no lock.
func (x *Index) Changes() uint64 { return x.changes.Load() }

// Pending returns the number of changes that wait for the store.
func (x *Index) Pending() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.queue.load.changes + x.writing.changes
}

// quota refuses a new topic when there are enough. Messages that have expired
// make room first.
func (x *Index) quota(name string, now time.Time) error {
	limit := x.options.MaxMessages
	if limit <= 0 || x.Len() < limit {
		return nil
	}
	if _, found := x.messages.Load().Get(name); found {
		return nil
	}
	for len(x.expiring) > 0 && x.expiring[0].message.Expired(now) && x.Len() >= limit {
		if _, err := x.remove(x.expiring[0], DurabilityNone); err != nil {
			return err
		}
	}
	if x.Len() >= limit {
		return ErrQuota
	}
	return nil
}

// put makes m the message of its topic in memory.
func (x *Index) put(m *mqtt.Message, revision uint64) {
	e := &entry{message: m, revision: revision, place: -1}
	if old, existed := x.messages.Load().Set(m.Topic, e); existed {
		x.forget(old)
	}
	x.expiring.add(e)
	x.bytes.Add(int64(m.Size()))
}

// remove deletes e in memory and, by way of the queue, in the store.
func (x *Index) remove(e *entry, d Durability) (recorded bool, err error) {
	c := Change{Op: Delete, Topic: e.message.Topic, Durability: d}
	if err := x.admit(&c); err != nil {
		return false, err
	}
	recorded = x.enqueue(&c)
	x.messages.Load().Delete(e.message.Topic)
	x.forget(e)
	return recorded, nil
}

// forget takes e out of what is counted and watched.
func (x *Index) forget(e *entry) {
	x.expiring.remove(e)
	x.bytes.Add(-int64(e.message.Size()))
}

// admit says whether a change may be queued now.
func (x *Index) admit(c *Change) error {
	switch {
	case x.store == nil:
		return nil
	case x.stopped:
		return ErrStopped
	case x.records.Load() && x.recorder().Ready() == nil:
		return nil
	}
	total := x.queue.with(c)
	total.add(x.writing)
	if total.changes > x.options.QueueChanges || (total.bytes > x.options.QueueBytes && total.changes > 1) {
		return ErrQueueFull
	}
	return nil
}

// enqueue gives a change its revision and hands it to a Recorder, or to the writer.
func (x *Index) enqueue(c *Change) (recorded bool) {
	r := x.direct()
	x.changes.Add(1)
	x.revision++
	x.last = x.revision
	c.Revision = x.revision
	x.forward(c)
	switch {
	case r != nil:
		r.Record(*c)
	case x.store != nil:
		x.queue.push(c)
		x.rouse()
	}
	return r != nil
}

// rouse wakes the writer.
func (x *Index) rouse() {
	select {
	case x.wake <- struct{}{}:
	default: // the writer has not yet come for the last one
	}
}
