package broker

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// hookContext is the context of everything that outlives the client that
// caused it: a message read is a message handled.
func (b *Broker) hookContext() context.Context { return context.Background() }

// route hands a message to all its receivers and returns their number. Hooks are
// asked with ctx. scratch is reused for the list of receivers; nil will do.
func (b *Broker) route(ctx context.Context, scratch *[]router.Target, m *mqtt.Message) int {
	n, _, _ := b.routeFrom(ctx, scratch, m, nil, refuseNothing)
	return n
}

// errNoRoom is why a message is refused that would have to wait where there is no
// room.
var errNoRoom = errors.New("the queue of a receiver is full")

// refusing is for what a message is refused that would go into queues which outlive
// the broker.
type refusing uint8

const (
	refuseNothing   refusing = iota
	refuseNoRoom             // they have no room
	refuseUnwritten          // that, or they can't be written
)

// routeFrom is route for what came with a PUBLISH. kept says that the message was
// put into queues that outlive the broker. What is refused goes nowhere, and the
// error is ErrUnwritten or errNoRoom.
func (b *Broker) routeFrom(ctx context.Context, scratch *[]router.Target, m *mqtt.Message, from *source, refuse refusing) (n int, kept bool, err error) {
	var dst []router.Target
	if scratch != nil {
		dst = (*scratch)[:0]
	}
	targets := b.router.Route(dst, m)
	targets = within(targets)
	if refuse == refuseUnwritten && b.Ready() != nil && b.keeping(targets, m).any {
		err = ErrUnwritten
	} else if refuse != refuseNothing && !b.haveRoom(targets, m) {
		err = errNoRoom
	} else {
		kept = b.deliver(ctx, targets, m, from)
		n = len(targets)
	}
	if scratch != nil {
		clear(targets)
		*scratch = targets[:0]
	}
	return n, kept, err
}

// deliver queues a message for its targets, after the deliver hooks' word about
// those that are connected. It reports whether there is a queue among them that
// outlives the broker; from, if it is not nil, is then kept together with them.
func (b *Broker) deliver(ctx context.Context, targets []router.Target, m *mqtt.Message, from *source) (kept bool) {
	now := m.Created
	if b.hooks.Intercepts(hook.AfterAuthorization, hook.PointDeliver) {
		b.screenTargets(ctx, targets)
	}
	k := b.keeping(targets, m)
	if k.any && from != nil {
		group := b.changes.Begin()
		defer b.changes.Finish(group)
		defer from.sess.KeepReceived(from.id)
	}
	for i := range targets {
		t := &targets[i]
		if t.Delivery.Message == m {
			t.Delivery.Shared = k.shared
		}
		if t.Delivery.Message != nil {
			cl := t.Subscriber.(*client)
			if !cl.mayReceive(t.Delivery.Message) {
				b.dropped(cl, m, hook.CauseNotAuthorized)
				continue
			}
			b.enqueue(ctx, cl, t.Delivery, now)
		}
	}
	return k.any
}

// mayReceive checks a delivery against the receiver's grants.
func (c *client) mayReceive(m *mqtt.Message) bool {
	rights := c.rights.Load()
	return rights == nil || rights.MayReceive(strings.TrimPrefix(m.Topic, c.mountpoint)) || c.granted(m.Topic)
}

// enqueue puts one delivery into a session's queue and counts what became of
// it and of others that had to go.
func (b *Broker) enqueue(ctx context.Context, cl *client, d mqtt.Delivery, now time.Time) session.Outcome {
	if b.noMemory(cl, &d) {
		b.dropped(cl, d.Message, hook.CauseMemory)
		return session.DroppedNew
	}
	outcome, drops := cl.sess.Enqueue(d, now)
	if cl.sess.Spills() && (outcome == session.Overflowed || outcome == session.DroppedNew) {
		// Something that is only on disk may have expired.
		if dead := cl.sess.Expire(now); len(dead) > 0 {
			b.expired(cl, dead)
			outcome, drops = cl.sess.Enqueue(d, now)
		}
	}
	switch outcome {
	case session.Queued, session.DroppedOldest:
	case session.DroppedEnded:
		cl.rerouteOne(ctx, d, now)
	case session.Overflowed:
		b.dropped(cl, d.Message, hook.CauseQueueFull)
		cl.overflow()
		cl.rerouteOne(ctx, d, now)
	default:
		b.dropped(cl, d.Message, causeOf(outcome))
	}
	for i := range drops {
		b.dropped(cl, drops[i].Delivery.Message, causeOf(drops[i].Cause))
	}
	return outcome
}

func causeOf(o session.Outcome) hook.Cause {
	switch o {
	case session.DroppedOffline:
		return hook.CauseOffline
	case session.DroppedExpired:
		return hook.CauseExpired
	default:
		return hook.CauseQueueFull
	}
}

// screening is one delivery to show to the deliver hooks.
type screening struct {
	client   *client
	info     *hook.Client
	delivery *mqtt.Delivery
	retained bool
}

// screenTargets shows the deliveries to connected receivers to the hooks; the
// others are screened when they are sent.
func (b *Broker) screenTargets(ctx context.Context, targets []router.Target) {
	list := make([]screening, 0, len(targets))
	for i := range targets {
		cl := targets[i].Subscriber.(*client)
		if cl.Online() {
			list = append(list, screening{client: cl, info: cl.info.Load(), delivery: &targets[i].Delivery})
		}
	}
	b.screen(ctx, list)
}

// screen asks the deliver hooks. A delivery that they stop is left with a nil
// message.
func (b *Broker) screen(ctx context.Context, list []screening) {
	calls := make([]hook.Call, len(list))
	refs := make([]*hook.Call, len(list))
	for i, s := range list {
		calls[i] = hook.Call{Client: s.info, Message: deliveryOf(*s.delivery), Receiver: s.client.id, Retained: s.retained}
		refs[i] = &calls[i]
	}
	if len(refs) > 0 {
		b.hooks.Intercept(ctx, hook.AfterAuthorization, &hook.Batch{Point: hook.PointDeliver, Calls: refs})
	}
	for i, s := range list {
		call := &calls[i]
		d := s.delivery
		d.Screened = true
		if call.Verdict.Action == hook.Pass {
			if call.Message != d.Message {
				d.QoS = min(d.QoS, call.Message.QoS) // never above what was granted
				d.Retain = call.Message.Retain
				s.client.receipts.replaced(d.Message, call.Message)
				d.Message, d.Shared = call.Message, 0
			}
			continue
		}
		b.dropped(s.client, d.Message, refusalCause(&call.Verdict))
		d.Message = nil
		if call.Verdict.Action == hook.Disconnect {
			if c := s.client.current(); c != nil {
				c.end(ending{kind: hook.ByServer, code: disconnectCode(call.Verdict.Code), reason: call.Verdict.Reason, serverReference: call.Verdict.ServerReference})
			}
		}
	}
}

// unmount returns the message under the topic that the client knows it by.
func (c *client) unmount(m *mqtt.Message) *mqtt.Message {
	if c.mountpoint == "" {
		return m
	}
	name, ok := strings.CutPrefix(m.Topic, c.mountpoint)
	if !ok {
		return m
	}
	cp := *m
	cp.Topic = name
	return &cp
}

// publishInternal takes a message that no connection brought (a will, the
// server API) through hooks, retained store and router. cl is the client on
// whose behalf it is, or nil.
// position is what has to be written before anybody is told of it; 0 for nothing.
func (b *Broker) publishInternal(cl *client, m *mqtt.Message) (receivers int, position uint64, v hook.CallVerdict) {
	b.inHand(m.Hops, func(ctx context.Context) { receivers, position, v = b.publishOne(ctx, cl, m) })
	return receivers, position, v
}

// publishOne is publishInternal but for the messages that hooks publish
// meanwhile. Hooks are asked with ctx. A will has nobody to be refused to: while
// nothing can be written it waits for that, in the log, and so do its retained
// message and the record that the client had a will.
func (b *Broker) publishOne(ctx context.Context, cl *client, m *mqtt.Message) (receivers int, position uint64, v hook.CallVerdict) {
	call := hook.Call{Message: m}
	b.interceptOne(ctx, cl, hook.BeforeAuthorization, &call)
	if cl != nil {
		cl.authorize(&call)
	}
	b.interceptOne(ctx, cl, hook.AfterAuthorization, &call)
	one := run{items: []inbound{{call: call}}}
	will := cl != nil
	one.retain(b, b.durabilityOf(cl), !will)
	it := &one.items[0]
	v = it.call.Verdict
	cause, kept := refusalCause(&v), false
	if v.Action == hook.Pass {
		receivers, kept, cause, v = b.routeOne(ctx, cl, it)
	}
	if v.Action != hook.Pass {
		b.dropped(cl, m, cause)
		return 0, 0, v
	}
	b.published(cl, it.call.Message, receivers)
	if kept {
		position = b.changes.End()
	}
	return receivers, position, v
}

// routeOne hands the message of publishOne to its receivers, and retains it if that
// was not done. The cause is that of a refusal.
func (b *Broker) routeOne(ctx context.Context, cl *client, it *inbound) (receivers int, kept bool, cause hook.Cause, v hook.CallVerdict) {
	will := cl != nil
	if m := it.call.Message; !m.Retain || it.retained {
		refuse := refuseUnwritten
		if will {
			refuse = refuseNothing
		}
		receivers, kept, err := b.routeFrom(ctx, nil, m, nil, refuse)
		if err != nil {
			v = unqueued(err)
		}
		return receivers, kept, unqueuedCause(err), v
	}
	out, v := b.retainAndRoute(ctx, nil, it.call.Message, retaining{durability: b.durabilityOf(cl), promise: !will, refuse: !will})
	if out.revision != 0 && v.Action == hook.Pass && b.waitRetained(out.revision) != nil && !will && it.call.Message.QoS > mqtt.AtMostOnce {
		return 0, false, hook.CauseStore, b.unstored()
	}
	return out.receivers, out.kept, out.cause, v
}

// interceptOne asks the interceptors of a phase about one message.
func (b *Broker) interceptOne(ctx context.Context, cl *client, phase hook.Phase, call *hook.Call) {
	if call.Verdict.Action != hook.Pass || !b.hooks.Intercepts(phase, hook.PointPublish) {
		return
	}
	before := call.Message
	b.hooks.Intercept(ctx, phase, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{call}})
	if call.Verdict.Action == hook.Pass && call.Message != before {
		b.recheck(cl, phase, call)
	}
}
