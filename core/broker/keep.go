package broker

import (
	"context"
	"iter"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// SessionStore keeps sessions beyond the life of the broker. Whoever makes one
// also sees to it that what its log gathers is written.
type SessionStore interface {
	// Log returns the log that sessions append their changes to, always the same.
	Log() *session.Log
	// Load yields the sessions that were kept, once. It is called by
	// [Broker.Restore].
	Load(ctx context.Context) iter.Seq2[*session.State, error]
}

// Restore takes up the sessions that the store has kept: their subscriptions,
// queues, wills and the rest of their time. A client that was connected when the
// broker ended counts as gone since now. It has to be called before Serve, once;
// without Options.Sessions it does nothing. The error is the store's, or ctx's.
func (b *Broker) Restore(ctx context.Context) error {
	if b.kept == nil {
		return nil
	}
	var restored []*client
	for st, err := range b.kept.Load(ctx) {
		if err != nil {
			return err
		}
		restored = append(restored, b.restore(st))
	}
	for _, c := range restored {
		c.resume()
	}
	return nil
}

// restore makes the session of a state, and its subscriptions.
func (b *Broker) restore(st *session.State) *client {
	p := &st.Profile
	lim := b.limits().session(b.limits().with(new(hook.Limits)), new(hook.Limits))
	lim.Waiting = b.queued.Used()
	c := &client{
		b: b, id: p.ClientID, principal: p.Principal, mountpoint: p.Mountpoint, created: p.Created,
		sess: session.Restore(st, lim, b.changes),
	}
	c.promised.Store(uint32(p.Durability))
	c.expiry, c.since = p.Expiry, time.Now()
	if !p.Since.IsZero() {
		// From here on by a clock that nobody sets.
		c.since = c.since.Add(-max(0, time.Since(p.Since)))
	}
	if p.Will != nil {
		c.will = &hook.Will{Message: p.Will, Delay: p.WillDelay}
	}
	if len(p.ByServer) > 0 {
		c.byServer.Store(&p.ByServer)
	}
	c.info.Store(&hook.Client{ID: c.id, Username: p.Principal, Mountpoint: p.Mountpoint, Items: p.Items})
	b.clients.restore(c)
	for _, sub := range st.Subscriptions {
		// It was valid when it was made.
		_, _ = b.router.Subscribe(c, sub)
	}
	return c
}

// resume lets the time of a restored session go on.
func (c *client) resume() {
	c.mu.Lock()
	ends := c.expiry == 0
	if due, ok := c.dueLocked(); ok && !ends {
		c.timer = time.AfterFunc(max(0, due-time.Since(c.since)), c.timeUp)
	}
	c.mu.Unlock()
	if ends {
		c.finish()
		return
	}
	c.describe()
}

// keep lets the store know of the session, if it is to outlive the broker. Called
// before others know the session.
func (c *client) keep(d session.Durability, expiry uint32) {
	c.promised.Store(uint32(d))
	if c.b.changes != nil && expiry > 0 {
		c.sess.Keep(c.b.changes, d)
	}
}

// setDurability replaces that of a session that others know.
func (c *client) setDurability(d session.Durability) {
	c.promised.Store(uint32(d))
	c.sess.SetDurability(d)
}

// durability is what holds for what the session is promised, and for what its
// client has retained.
func (c *client) durability() session.Durability { return session.Durability(c.promised.Load()) } //nolint:gosec // it was one

// durabilityFor returns what holds for a client that is let in by a listener: the
// validators' word, or else the listener's, or else the broker's.
func (b *Broker) durabilityFor(at *ListenerOptions, adm *hook.Admission) session.Durability {
	switch {
	case adm.Durability != hook.DurabilityUnstated:
		return session.Durability(adm.Durability - hook.DurabilitySync)
	case at.Durability != nil:
		return *at.Durability
	}
	return b.force.Load().durability
}

// durabilityOf returns what holds for what a client left behind, a will, and for
// the server API, whose client is nil.
func (b *Broker) durabilityOf(c *client) session.Durability {
	if c != nil {
		return c.durability()
	}
	return b.force.Load().durability
}

// describe lets the store know what has changed of the session beside the state
// of the protocol. The caller holds no lock of the client.
func (c *client) describe() {
	if !c.sess.Kept() {
		return
	}
	c.describing.Lock()
	defer c.describing.Unlock()
	c.sess.Describe(c.profile())
}

func (c *client) profile() *session.Profile {
	p := &session.Profile{ClientID: c.id, Principal: c.principal, Mountpoint: c.mountpoint, Created: c.created}
	if filters := c.byServer.Load(); filters != nil {
		p.ByServer = *filters
	}
	if info := c.info.Load(); info != nil {
		p.Items = info.Items
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Expiry = c.expiry
	if c.conn == nil {
		p.Since = c.since
	}
	if c.will != nil {
		p.Will, p.WillDelay = c.will.Message, c.will.Delay
	}
	return p
}

// position is that of what the session has last let the store know, to be written
// before the client is told; 0 if it is not kept.
func (c *conn) position() uint64 {
	if !c.client.sess.Kept() {
		return 0
	}
	return c.client.sess.Position()
}

// Ready returns why something that clients need can't be had at present: what
// they are promised can't be written. Nil is all well.
func (b *Broker) Ready() error {
	if b.changes == nil {
		return nil
	}
	return b.changes.Failure()
}

// keeping is what deliver finds out about the receivers of a message.
type keeping struct {
	any    bool   // one of them outlives the broker
	shared uint64 // the number under which several of them share the message
}

// keeping looks for receivers that outlive the broker.
func (b *Broker) keeping(targets []router.Target, m *mqtt.Message) (k keeping) {
	if b.changes == nil || m.QoS == mqtt.AtMostOnce {
		return k
	}
	for i := range targets {
		t := &targets[i]
		if t.Delivery.Message == nil || t.Delivery.QoS == mqtt.AtMostOnce || !t.Subscriber.(*client).sess.Kept() {
			continue
		}
		if k.any {
			k.shared = b.changes.Number()
			return k
		}
		k.any = true
	}
	return k
}

// source is the PUBLISH that a message came with, if it has to be known after a
// restart that it was handled.
type source struct {
	sess *session.Session
	id   uint16
}

// source returns that of an item, nil for one that may be handled again.
func (c *conn) source(it *inbound) *source {
	if it.qos != mqtt.ExactlyOnce || !c.client.sess.Kept() {
		return nil
	}
	return &source{c.client.sess, it.id}
}
