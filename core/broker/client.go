package broker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// client is a session with what the broker keeps beside the protocol state. It
// is the subscriber that the router knows.
type client struct {
	b    *Broker
	id   string
	sess *session.Session

	// principal and mountpoint own the session: nobody else may take it up.
	principal, mountpoint string
	created               time.Time

	seq atomic.Uint64 // numbers the events of this client

	receipts receipts

	overflows atomic.Bool // its queue has no room: it ends
	// recheck says that the queue may have something on disk that the grants do
	// not cover any more.
	recheck atomic.Bool

	// changing is held over every change of the subscriptions, so that the
	// session and the router's table agree. Neither calls anybody.
	changing sync.Mutex
	gone     bool // guarded by changing: no subscription is made any more
	// byServer are the filters, mountpoint included, that the server API has
	// subscribed: grants do not bind it. Replaced under changing; nil for none.
	byServer atomic.Pointer[[]string]

	// info and rights are those of the last connection; nil before the first.
	info   atomic.Pointer[hook.Client]
	rights atomic.Pointer[hook.Rights]
	// promised is a session.Durability, what was decided for the last connection.
	promised atomic.Uint32
	// allowed is what the client may use by day and by month; nil for no limit.
	allowed atomic.Pointer[allowance]

	describing sync.Mutex // held over describe, so that what is newer comes later

	mu     sync.Mutex // guards the fields below
	conn   *conn      // nil while offline
	expiry uint32     // seconds; neverExpires for ever
	doomed doom       // why the session is to end, whoever takes it up
	will   *hook.Will // of the connection, or pending after it
	since  time.Time  // when it went offline
	timer  *time.Timer
}

// ClientID implements router.Subscriber.
func (c *client) ClientID() string { return c.id }

// Online implements router.Subscriber.
func (c *client) Online() bool { return c.sess.Attached() }

// Pending implements router.Subscriber.
func (c *client) Pending() int { return c.sess.Pending() }

// mounted returns the topic or plain filter under which the broker knows what
// the client calls s.
func (c *client) mounted(s string) string { return c.mountpoint + s }

// current returns the connection, or nil.
func (c *client) current() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// registry holds the sessions by client identifier.
type registry struct {
	mu    sync.Mutex // guards the fields below
	byID  map[string]*client
	turns map[string]*turn
}

// turn lets one connection at a time take up, end or replace the session of a
// client identifier.
type turn struct {
	token chan struct{} // holds one token while nobody has the turn
	users int           // guarded by registry.mu
}

func (r *registry) init() {
	r.byID = make(map[string]*client)
	r.turns = make(map[string]*turn)
}

// lock waits for the turn of a client identifier; unlock must follow unless it
// returns an error, which is ctx's.
func (r *registry) lock(ctx context.Context, id string) (unlock func(), err error) {
	r.mu.Lock()
	t := r.turns[id]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		t.token <- struct{}{}
		r.turns[id] = t
	}
	t.users++
	r.mu.Unlock()
	leave := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(r.turns, id)
		}
	}
	select {
	case <-t.token:
		return func() { t.token <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

func (r *registry) get(id string) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// put adds c, whose client identifier has no session, unless there are limit
// sessions already.
func (r *registry) put(c *client, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byID) >= limit {
		return false
	}
	r.byID[c.id] = c
	return true
}

// restore adds c, whatever the limit.
func (r *registry) restore(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[c.id] = c
}

// remove forgets c unless another session took its place.
func (r *registry) remove(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[c.id] == c {
		delete(r.byID, c.id)
	}
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

func (r *registry) all() []*client {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*client, 0, len(r.byID))
	for _, c := range r.byID {
		out = append(out, c)
	}
	return out
}

func (r *registry) offline() []*client {
	out := r.all()
	n := 0
	for _, c := range out {
		if !c.Online() {
			out[n] = c
			n++
		}
	}
	return out[:n]
}

// closeAll ends all sessions, with their wills, but for those that are kept.
func (r *registry) closeAll(ctx context.Context) {
	for _, c := range r.all() {
		unlock, err := r.lock(ctx, c.id)
		if err != nil {
			return
		}
		if c.sess.Kept() && c.outlives() {
			c.rest()
		} else {
			c.endSession(false)
		}
		unlock()
	}
}

// rest stops the time of a session that outlives the broker.
func (c *client) rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// endSession removes the session with its subscriptions and publishes a will
// that still waits [MQTT-3.1.2-8]. expired says that its time was up. The
// caller has the turn and the session has no connection.
func (c *client) endSession(expired bool) {
	c.mu.Lock()
	will := c.will
	c.will = nil
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.mu.Unlock()
	if will != nil {
		c.b.publishWill(c, will)
	}
	c.changing.Lock()
	c.gone = true
	c.changing.Unlock()
	c.b.router.Remove(c, func(yield func(string) bool) {
		for _, s := range c.sess.Subscriptions() {
			if !yield(s.Filter) {
				return
			}
		}
	})
	err := c.sess.Drain(func(drained []mqtt.Delivery) {
		c.b.inHand(0, func(ctx context.Context) { c.reroute(ctx, drained) })
	})
	if err != nil {
		c.b.log.Error("what share groups had chosen a session for is lost with it", slog.String("client", c.id), slog.Any("error", err))
	}
	c.sess.End()
	e := hook.Event{Kind: hook.SessionExpired}
	switch {
	case c.overflows.Load():
		c.b.stats.overflowedSessions.Add(1)
		e.Code, e.Reason, e.Cause = overflowed.code, overflowed.reason, hook.CauseQueueFull
	case expired:
		c.b.stats.expiredSessions.Add(1)
	}
	c.b.clients.remove(c) // whoever sees it gone finds no trace of it
	c.receipts.sessionEnded()
	if c.b.hooks.Observes(hook.SessionExpired) {
		c.b.emit(c, &e)
	}
}

// reroute gives what a share group chose this session for, and what was not
// acknowledged, to other members [MQTT-4.8.2-4] [MQTT-4.8.2-5].
func (c *client) reroute(ctx context.Context, drained []mqtt.Delivery) {
	now := time.Now()
	for _, d := range drained {
		c.rerouteOne(ctx, d, now)
	}
}

// rerouteOne gives one delivery that the ended session does not take any more
// to another member of its share group. It ends, although it may meet further
// ended sessions: they have left the group before.
func (c *client) rerouteOne(ctx context.Context, d mqtt.Delivery, now time.Time) {
	if d.Group() == "" || d.Message.Expired(now) {
		return
	}
	targets := c.b.router.Reroute(nil, d.Group(), d.Message, c)
	c.b.deliver(ctx, within(targets), d.Message, nil)
}

// wentOffline decides what happens to a session without connection: it ends
// now, or later, and its will is published now, later, or never. The caller
// does not hold the turn.
func (c *client) wentOffline() {
	c.mu.Lock()
	if c.conn != nil {
		c.mu.Unlock()
		return
	}
	c.since = time.Now()
	if c.expiry == 0 {
		c.mu.Unlock()
		c.finish()
		return
	}
	due, ok := c.dueLocked()
	if ok && due > 0 {
		c.timer = time.AfterFunc(due, c.timeUp)
	}
	c.mu.Unlock()
	c.describe()
	if ok && due <= 0 {
		c.timeUp()
	}
}

// dueLocked returns when, after the client has gone, something is to be done
// next; false for never.
func (c *client) dueLocked() (time.Duration, bool) {
	switch {
	case c.will != nil && (c.expiry == neverExpires || c.will.Delay < seconds(c.expiry)):
		return c.will.Delay, true
	case c.expiry != neverExpires:
		return seconds(c.expiry), true
	default:
		return 0, false
	}
}

// timeUp publishes a will whose delay has passed and ends a session whose time
// is up.
func (c *client) timeUp() {
	unlock, err := c.b.clients.lock(context.Background(), c.id)
	if err != nil {
		return
	}
	defer unlock()
	c.mu.Lock()
	if c.conn != nil || c.b.clients.get(c.id) != c {
		c.mu.Unlock()
		return
	}
	offline := time.Since(c.since)
	will := c.will
	if will != nil && offline >= will.Delay {
		c.will = nil
	} else {
		will = nil
	}
	ends := c.expiry != neverExpires && offline >= seconds(c.expiry)
	if due, ok := c.dueLocked(); ok && !ends {
		c.timer = time.AfterFunc(max(0, due-offline), c.timeUp)
	}
	c.mu.Unlock()
	if will != nil {
		c.b.publishWill(c, will)
	}
	if ends {
		c.endSession(true)
	} else if will != nil {
		c.describe()
	}
}

// finish ends a session that does not outlive its connection.
func (c *client) finish() {
	unlock, err := c.b.clients.lock(context.Background(), c.id)
	if err != nil {
		return
	}
	defer unlock()
	if c.current() == nil && c.b.clients.get(c.id) == c {
		c.endSession(false)
	}
}

// doomedBy returns why the session is to end.
func (c *client) doomedBy() doom {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.doomed
}

// outlives reports whether the session goes on without its connection.
func (c *client) outlives() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expiry > 0
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// deliveryOf is what a message looks like to one of the client's deliveries.
func deliveryOf(d mqtt.Delivery) *mqtt.Message {
	if d.Message.QoS == d.QoS && d.Message.Retain == d.Retain {
		return d.Message
	}
	m := *d.Message
	m.QoS, m.Retain = d.QoS, d.Retain
	return &m
}
