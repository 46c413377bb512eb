package broker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// byRetainedStore is who refuses what can't be retained.
const byRetainedStore = "retained store"

// retain stores the retained messages of the run and waits until they are as
// durable as the store, and the publisher's durability, promise; with promise one
// that could not be stored is refused. Nobody is promised a message of QoS 0: it
// is refused only if there is no room for it. Where retained messages are changes of
// the log it is for routeRetained to do that.
func (r *run) retain(b *Broker, d session.Durability, promise bool) {
	if b.recordsRetained() {
		return
	}
	var last uint64
	for i := range r.items {
		it := &r.items[i]
		if it.call.Verdict.Action != hook.Pass || !it.call.Message.Retain {
			continue
		}
		if promise && !b.roomFor(&r.targets, it.call.Message) {
			it.call.Verdict = unqueued(errNoRoom)
			continue
		}
		revision, recorded, err := b.setRetained(it.call.Message, d, promise && it.call.Message.QoS > mqtt.AtMostOnce)
		if err != nil {
			it.call.Verdict = unretained(err)
			continue
		}
		it.retained, last = true, max(last, b.unsettled(revision, recorded))
	}
	r.settle(b, last, promise)
}

// settle waits until a revision is durable, 0 for none, and refuses the retained
// messages of the run if that does not come.
func (r *run) settle(b *Broker, revision uint64, promise bool) {
	if revision == 0 {
		return
	}
	if err := b.waitRetained(revision); err != nil && promise {
		r.unretained(b)
	}
}

// unretained is the verdict about what can't be retained. A store that has no room
// at present may have some later: that is a failure, not a decision.
func unretained(err error) hook.CallVerdict {
	return hook.CallVerdict{
		Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: err.Error(), By: byRetainedStore,
		Failed: errors.Is(err, ErrUnwritten) || errors.Is(err, retain.ErrQueueFull) || errors.Is(err, retain.ErrStopped),
	}
}

// recordsRetained reports whether retained messages are changes of the log of
// sessions.
func (b *Broker) recordsRetained() bool { return b.changes != nil && b.retained.Records() }

// retaining is how a message is to be retained and routed.
type retaining struct {
	from       *source // that it came with; nil for none
	durability session.Durability
	promise    bool // its publisher is told if it can't be stored
	refuse     bool // or if it can't be queued
	trace      Trace
}

// retained is what became of it.
type retained struct {
	receivers int
	kept      bool       // what is promised of it is in the log
	revision  uint64     // that has to be waited for instead; 0 for none
	cause     hook.Cause // of a refusal
}

// retainAndRoute retains a message and hands it to its receivers, in one group of the
// log: they are written together, or not at all. But where deliver hooks are asked
// the group would be open as long as they take, so it is retained before.
func (b *Broker) retainAndRoute(ctx context.Context, scratch *[]router.Target, m *mqtt.Message, o retaining) (out retained, v hook.CallVerdict) {
	if !b.hooks.Intercepts(hook.AfterAuthorization, hook.PointDeliver) {
		group := b.changes.Begin()
		defer b.changes.Finish(group)
	}
	if o.refuse && !b.roomFor(scratch, m) {
		return retained{cause: hook.CauseQueueFull}, unqueued(errNoRoom)
	}
	revision, recorded, err := b.setRetained(m, o.durability, o.promise && m.QoS > mqtt.AtMostOnce)
	if o.trace != nil {
		o.trace.Stored()
		o.trace.Mark()
	}
	if err != nil {
		v = unretained(err)
		return retained{cause: refusalCause(&v)}, v
	}
	refuse := refuseNothing
	if o.refuse {
		refuse = refuseNoRoom // it could be written when it was retained
	}
	out.receivers, out.kept, err = b.routeFrom(ctx, scratch, m, o.from, refuse)
	if err != nil {
		return retained{cause: unqueuedCause(err)}, unqueued(err)
	}
	if recorded && !out.kept && o.from != nil {
		o.from.sess.KeepReceived(o.from.id)
	}
	out.kept, out.revision = out.kept || recorded, b.unsettled(revision, recorded)
	return out, v
}

// routeRetained is route for a message that is to be retained on the way.
func (r *run) routeRetained(ctx context.Context, c *conn, it *inbound) {
	m := it.call.Message
	out, v := c.b.retainAndRoute(ctx, &r.targets, m, retaining{
		from: c.source(it), durability: c.client.durability(), promise: true, refuse: it.qos > mqtt.AtMostOnce, trace: it.trace,
	})
	c.owes = true
	if v.Action != hook.Pass {
		it.call.Verdict = v
		c.b.dropped(c.client, m, out.cause)
		return
	}
	it.receivers, it.retained = out.receivers, true
	it.kept = out.kept && it.qos > mqtt.AtMostOnce
	r.unsettled = max(r.unsettled, out.revision)
	c.b.published(c.client, m, out.receivers)
}

// unretained refuses the retained messages of the run, for the store does not
// have them.
func (r *run) unretained(b *Broker) {
	v := b.unstored()
	for i := range r.items {
		call := &r.items[i].call
		if call.Verdict.Action == hook.Pass && call.Message.Retain && call.Message.QoS > mqtt.AtMostOnce {
			call.Verdict = v
		}
	}
}

// unstored is the verdict about what the store does not have in time.
func (b *Broker) unstored() hook.CallVerdict {
	code := mqtt.ImplementationSpecificError
	if b.retained.Ready() != nil {
		code = mqtt.QuotaExceeded
	}
	return hook.CallVerdict{Action: hook.Refuse, Code: code, Reason: "the retained message could not be stored", By: byRetainedStore, Failed: true}
}

// setRetained retains a message for a publisher with a durability, who is promised
// that, or is not. What is returned is as of [retain.Index.SetFor], and the error
// the index's, or ErrUnwritten.
func (b *Broker) setRetained(m *mqtt.Message, d session.Durability, promise bool) (revision uint64, recorded bool, err error) {
	if !b.mayRetain(m) {
		return 0, false, retain.ErrQuota
	}
	if promise && b.retained.Ready() != nil {
		return 0, false, ErrUnwritten
	}
	if !promise {
		d = max(d, session.DurabilityInterval)
	}
	kept := m
	if m.Hops != 0 {
		// Whoever gets it later gets it on account of his subscription.
		kept = m.Clone()
		kept.Hops = 0
	}
	revision, recorded, err = b.retained.SetFor(kept, m.Created, retain.Durability(d))
	if err != nil {
		return 0, false, err
	}
	kind := hook.RetainedChanged
	if len(m.Payload) == 0 {
		kind = hook.RetainedCleared
	}
	if b.hooks.Observes(kind) {
		b.emit(nil, &hook.Event{Kind: kind, Message: m, ClientID: m.Publisher})
	}
	return revision, recorded, nil
}

// unsettled is the revision that has to be waited for after setRetained; 0 if it is
// none, for the log has the change, or nothing can be written.
func (b *Broker) unsettled(revision uint64, recorded bool) uint64 {
	if recorded || b.retained.Ready() != nil {
		return 0
	}
	return revision
}

// mayRetain holds a retained message against the limits. What removes or
// shrinks one always may.
func (b *Broker) mayRetain(m *mqtt.Message) bool {
	count, bytes := b.retained.Len(), b.retained.Bytes()+m.Size()
	if len(m.Payload) == 0 || count < b.limits().RetainedMessages && bytes <= b.limits().RetainedBytes {
		return true
	}
	old, replaces := b.retained.Get(m.Topic, m.Created)
	return replaces && (bytes-old.Size() <= b.limits().RetainedBytes || m.Size() <= old.Size())
}

// waitRetained waits until a revision is durable, as long as there is patience.
func (b *Broker) waitRetained(revision uint64) error {
	ctx, cancel := context.WithTimeout(b.hookContext(), b.limits().StoreTimeout)
	defer cancel()
	return b.retained.Wait(ctx, revision)
}

// retainedMessage looks in both trees.
func (b *Broker) retainedMessage(name string, now time.Time) (*mqtt.Message, bool) {
	if strings.HasPrefix(name, sysPrefix) {
		return b.sys.Get(name, now)
	}
	return b.retained.Get(name, now)
}
