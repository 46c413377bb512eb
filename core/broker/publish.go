package broker

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// add checks a PUBLISH against the protocol and puts it into the run.
func (r *run) add(c *conn, p *packet.Publish) *ending {
	name, code := c.client.sess.ResolveAlias(p.Message.Topic, p.Alias, p.HasAlias)
	if code != mqtt.Success {
		return r.stop(c, code, "topic alias is not valid")
	}
	p.Message.Topic = name
	if name != c.checked { // publishers repeat themselves
		if wrong := c.b.checkTopic(name); wrong != "" {
			return r.stop(c, mqtt.TopicNameInvalid, wrong)
		}
		c.checked = name
	}
	if wrong := checkResponseTopic(p.Message.Properties); wrong != "" {
		return r.stop(c, mqtt.TopicNameInvalid, wrong)
	}
	if p.Message.QoS > c.limits.Load().maxQoS {
		return r.stop(c, mqtt.QoSNotSupported, "QoS is above the granted maximum") // [MQTT-3.2.2-11]
	}
	receipt, code := c.client.sess.Receive(p.ID, p.Message.QoS)
	if code != mqtt.Success {
		return r.stop(c, code, "more unacknowledged messages than the receive maximum")
	}
	r.arrived.message(p.Message.QoS, len(p.Message.Payload))
	c.pace.count(len(p.Message.Payload) + len(name))
	m := &p.Message
	m.Publisher, m.Origin, m.Created = c.client.id, mqtt.FromClient, r.now
	if whole, lent := c.dec.Lent(); lent {
		return r.collect(c, m, whole)
	}
	if e := r.passOn(c); e != nil {
		return e
	}
	it := r.next()
	it.id, it.qos, it.duplicate = p.ID, m.QoS, receipt == session.Duplicate
	it.call.Client = c.client.info.Load()
	it.call.Message = m
	if it.duplicate {
		it.call.Verdict.Action = hook.Drop // handled when it first came
	}
	if c.client.mountpoint != "" {
		m.Topic = c.client.mounted(name)
	}
	if len(r.items) >= maxRun {
		return r.flush(c)
	}
	return nil
}

// stop handles what came before an illegal PUBLISH, then ends the connection.
func (r *run) stop(c *conn, code mqtt.ReasonCode, reason string) *ending {
	if e := r.flush(c); e != nil {
		return e
	}
	return &ending{kind: hook.ByServer, code: code, reason: reason}
}

// authorize checks a publish against its client's grants and quotas.
func (c *client) authorize(call *hook.Call) {
	if call.Verdict.Action != hook.Pass {
		return
	}
	m := call.Message
	switch {
	case !c.mayPublish(m):
		call.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.NotAuthorized}
	case !c.b.formatFits(m.Payload, m.Properties):
		call.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.PayloadFormatInvalid, Reason: badFormat}
	case !c.mayUse(m):
		call.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: quotaUsedUp}
	}
}

func (c *client) mayPublish(m *mqtt.Message) bool {
	name, ok := strings.CutPrefix(m.Topic, c.mountpoint)
	return ok && !reserved(name) && c.rights.Load().MayPublish(name, m.QoS, m.Retain)
}

// flush takes the run through hooks, retained store and router, and
// acknowledges it. The returned ending is that of the connection, if a hook or
// an outage demands it.
func (r *run) flush(c *conn) *ending {
	if e := r.passOn(c); e != nil || len(r.items) == 0 {
		return e
	}
	b := c.b
	ctx := c.hold()
	r.open()
	r.follow(c)
	r.intercept(ctx, c, hook.BeforeAuthorization)
	for i := range r.items {
		c.client.authorize(&r.items[i].call)
	}
	r.intercept(ctx, c, hook.AfterAuthorization)
	r.reclaim(!c.mayLend())
	r.traces(func(it *inbound) { it.trace.Mark() })
	r.retain(b, c.client.durability(), true)
	r.traces(r.stored)
	for i := 0; i < len(r.items); {
		if r.items[i].lent > 0 {
			i += r.passBorrowed(c, i)
			continue
		}
		r.conclude(ctx, c, &r.items[i])
		i++
	}
	if r.unsettled != 0 {
		r.settle(b, r.unsettled, true)
		r.unsettled = 0
	}
	var end *ending
	position := r.position(c)
	for i := range r.items {
		if end = c.acknowledge(&r.items[i], position); end != nil {
			c.noteHandled(r.items[i+1:])
			break
		}
	}
	r.endTraces()
	clear(r.items)
	r.items = r.items[:0]
	r.loan.empty()
	c.release()
	return end
}

// conclude routes a message that was let pass, and tells of one that was not.
func (r *run) conclude(ctx context.Context, c *conn, it *inbound) {
	if it.call.Verdict.Action != hook.Pass {
		if !it.duplicate {
			c.b.dropped(c.client, it.call.Message, refusalCause(&it.call.Verdict))
		}
		return
	}
	if it.trace != nil {
		it.trace.Mark()
	}
	r.route(ctx, c, it)
	if it.trace != nil {
		it.trace.Routed(it.receivers)
	}
}

// route hands one message to its receivers, or refuses it if it can't be kept for
// them.
func (r *run) route(ctx context.Context, c *conn, it *inbound) {
	m := it.call.Message
	if m.Retain && !it.retained {
		r.routeRetained(ctx, c, it)
		return
	}
	refuse := refuseNothing
	if it.qos > mqtt.AtMostOnce {
		refuse = refuseUnwritten
	}
	n, kept, err := c.b.routeFrom(ctx, &r.targets, m, c.source(it), refuse)
	if err != nil {
		it.call.Verdict = unqueued(err)
		c.b.dropped(c.client, m, unqueuedCause(err))
		return
	}
	it.receivers, it.kept = n, kept
	c.b.published(c.client, m, n)
}

// sessionStore is who refuses what can't be kept for sessions.
const sessionStore = "session store"

// unqueued is the verdict about what can't be kept for sessions.
func unqueued(err error) hook.CallVerdict {
	return hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: err.Error(), By: sessionStore, Failed: true}
}

func unqueuedCause(err error) hook.Cause {
	if errors.Is(err, errNoRoom) {
		return hook.CauseQueueFull
	}
	return hook.CauseStore
}

// position returns what has to be written before the run is acknowledged; 0 for
// nothing.
func (r *run) position(c *conn) uint64 {
	if c.b.changes == nil {
		return 0
	}
	for i := range r.items {
		if it := &r.items[i]; it.kept || it.duplicate && c.client.sess.Kept() {
			c.owes = true
			return c.b.changes.End()
		}
	}
	return 0
}

// intercept asks the interceptors of a phase and checks what they changed.
func (r *run) intercept(ctx context.Context, c *conn, phase hook.Phase) {
	b := c.b
	if !b.hooks.Intercepts(phase, hook.PointPublish) {
		return
	}
	r.calls = r.calls[:0]
	for i := range r.items {
		if it := &r.items[i]; it.call.Verdict.Action == hook.Pass {
			it.asked = it.call.Message
			r.calls = append(r.calls, &it.call)
		}
	}
	if len(r.calls) == 0 {
		return
	}
	b.hooks.Intercept(ctx, phase, &hook.Batch{Point: hook.PointPublish, Calls: r.calls, Lent: len(r.loan.messages) > 0})
	for i := range r.items {
		it := &r.items[i]
		if it.asked != nil && it.call.Verdict.Action == hook.Pass && it.call.Message != it.asked {
			b.recheck(c.client, phase, &it.call)
		}
		it.asked = nil
	}
	clear(r.calls)
}

// recheck checks what interceptors changed. After the client was authorised it
// is authorised again, for a rule must not reach further than the client on
// whose behalf it acts, unless the rule is exempt. cl is nil for a message of
// the server.
func (b *Broker) recheck(cl *client, phase hook.Phase, call *hook.Call) {
	m := call.Message
	refuse := func(code mqtt.ReasonCode, reason string) {
		call.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: code, Reason: reason}
	}
	if b.checkTopic(m.Topic) != "" || checkResponseTopic(m.Properties) != "" || !m.QoS.Valid() {
		refuse(mqtt.ImplementationSpecificError, "a plugin made the message illegal")
		return
	}
	if reserved(m.Topic) {
		refuse(mqtt.NotAuthorized, "a plugin changed the topic to one of the broker's own")
		return
	}
	if phase == hook.AfterAuthorization && cl != nil && call.ToAuthorize != 0 && !cl.mayPublish(m) {
		refuse(mqtt.NotAuthorized, "a plugin changed the message to what the client may not publish")
	}
}

// acknowledge answers one PUBLISH. A message that no hook could decide about is
// not acknowledged to an MQTT 3 client: it sends it again on a new connection,
// for its protocol has no way to say no. The answer goes out when a position of the
// log is written.
func (c *conn) acknowledge(it *inbound, position uint64) *ending {
	v := &it.call.Verdict
	if v.Action == hook.Disconnect {
		return &ending{kind: hook.ByServer, code: disconnectCode(v.Code), reason: v.Reason, serverReference: v.ServerReference}
	}
	if it.qos == mqtt.AtMostOnce {
		return nil
	}
	if v.Failed && c.version != mqtt.V5 {
		return &ending{kind: hook.ByServer, code: v.Code, reason: v.Reason}
	}
	kind := packet.PUBACK
	if it.qos == mqtt.ExactlyOnce {
		kind = packet.PUBREC
	}
	code, told := mqtt.Success, false // told more than the code
	switch {
	case c.version != mqtt.V5:
	case it.duplicate:
		code = c.client.sess.ReceivedCode(it.id)
	case v.Action == hook.Refuse:
		code, told = publishCode(v.Code), v.Reason != "" || v.User != nil
	case v.Action == hook.Pass && it.receivers == 0:
		code = mqtt.NoMatchingSubscribers
	}
	if !it.duplicate {
		c.client.sess.Acknowledge(it.id, it.qos, code)
	}
	if told {
		c.w.sendAfter(position, &packet.Ack{Kind: kind, ID: it.id, Code: code, Reason: v.Reason, User: v.User})
	} else {
		c.answer(position, kind, it.id, code)
	}
	return nil
}

// noteHandled has the session know of messages that went their way and are not
// acknowledged, for the connection ends: they may come again over the next one.
func (c *conn) noteHandled(items []inbound) {
	for i := range items {
		if it := &items[i]; it.call.Verdict.Action == hook.Pass && !it.duplicate && it.qos == mqtt.ExactlyOnce {
			c.client.sess.Acknowledge(it.id, it.qos, mqtt.Success)
		}
	}
}

func refusalCause(v *hook.CallVerdict) hook.Cause {
	switch {
	case v.By == byRetainedStore, v.By == sessionStore:
		return hook.CauseStore
	case v.Failed:
		return hook.CauseFailed
	case v.By != "":
		return hook.CauseHook
	case v.Code == mqtt.PayloadFormatInvalid:
		return hook.CauseFormat
	case v.Code == mqtt.QuotaExceeded:
		return hook.CauseQuota
	default:
		return hook.CauseNotAuthorized
	}
}
