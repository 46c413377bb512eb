package broker

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Revalidate asks the validators again about a connected client, with what its
// CONNECT told, and waits for their decision; a cached one does not count. If
// they refuse, the connection ends and the error is a *Refusal. Otherwise the
// new decision takes the place of the old one: grants, items, the time for which
// it is valid, durability, and of the limits those that the client was not
// promised in CONNACK (session expiry, queue, rates, number of subscriptions).
// Subscriptions that are no longer granted end, queued messages that may no
// longer be received are dropped, and a will that may no longer be published is
// not. A client that came by enhanced authentication can't be asked without
// taking part: its connection ends.
//
// ctx bounds the wait; if it ends, nothing has changed and its error is
// returned. ErrUnknownClient is returned if the client is not connected, or not
// any more.
func (a Clients) Revalidate(ctx context.Context, id string) error {
	cl := a.b.clients.get(id)
	if cl == nil {
		return ErrUnknownClient
	}
	c := cl.current()
	if c == nil {
		return ErrUnknownClient
	}
	return c.revalidate(ctx)
}

func (c *conn) revalidate(ctx context.Context) error {
	if err := c.validity.begin(ctx, c.ctx); err != nil {
		return err
	}
	defer c.validity.finish()
	adm := &hook.Admission{Code: mqtt.NotAuthorized, Reason: "the client has to authenticate again"}
	if c.connect.AuthMethod == "" {
		asking, cancel := context.WithCancel(ctx)
		defer context.AfterFunc(c.ctx, cancel)()
		defer cancel()
		adm = c.b.hooks.Revalidate(asking, c.connect)
	}
	switch {
	case c.ctx.Err() != nil:
		return ErrUnknownClient
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if e := c.readmit(adm); e != nil {
		c.end(*e)
		return &Refusal{Code: adm.Code, Reason: e.reason, By: adm.By}
	}
	return nil
}

// readmit puts a new decision about a connected client into force. If it is a
// refusal, the ending is that of the connection.
func (c *conn) readmit(adm *hook.Admission) *ending {
	cl := c.client
	c.at.admit(adm)
	if adm.Code == mqtt.Success && (adm.Username != cl.principal || adm.Mountpoint != cl.mountpoint) {
		adm.Code, adm.Reason = mqtt.NotAuthorized, "the session belongs to another user"
	}
	if adm.Code != mqtt.Success {
		if adm.Err == nil {
			cl.denyWill() // it may do nothing any more
		}
		return &ending{
			kind: hook.ByServer, code: disconnectCode(adm.Code), reason: adm.Reason,
			serverReference: adm.ServerReference, err: adm.Err, silent: adm.Close,
		}
	}
	allowed, err := c.b.allowance(adm)
	if err != nil {
		return &ending{kind: hook.ByServer, code: mqtt.QuotaExceeded, reason: err.Error()}
	}
	lim := c.b.limits().with(&adm.Limits)
	lim.maxQoS = c.limits.Load().maxQoS // CONNACK told it
	sess := c.promised
	sess.QueueMessages, sess.QueueBytes = lim.queue, lim.queueBytes
	sess.Kept = c.b.limits().kept(&adm.Limits)

	cl.mu.Lock()
	if cl.conn != c {
		cl.mu.Unlock()
		return nil // it ends
	}
	c.limits.Store(lim)
	cl.expiry = min(cl.expiry, lim.sessionExpiry)
	cl.info.Store(c.info(cl.id, adm))
	cl.rights.Store(hook.NewRights(adm.Grants, cl.id, adm.Username))
	cl.allowed.Store(allowed)
	cl.mu.Unlock()

	cl.setDurability(c.b.durabilityFor(c.at, adm))
	cl.describe()
	cl.sess.SetLimits(sess)
	cl.narrow()
	c.validity.start(c, adm.ValidFor)
	return nil
}

// narrow ends what the session holds and the client's grants do not cover:
// subscriptions, and messages that are queued. The will is held against the
// grants when it is published.
func (c *client) narrow() {
	rights := c.rights.Load()
	if rights == nil {
		return
	}
	for _, sub := range c.sess.Subscriptions() {
		if c.grants(sub.Filter) || c.covered(rights, sub.Filter) {
			continue
		}
		if c.unsubscribe(sub.Filter) && c.b.hooks.Observes(hook.Unsubscribed) {
			c.b.emit(c, &hook.Event{Kind: hook.Unsubscribed, Subscription: sub, Code: mqtt.NotAuthorized})
		}
	}
	c.recheck.Store(true) // what leaves the disk meanwhile
	_, onDisk := c.sess.Filter(func(d mqtt.Delivery) bool {
		if d.Direct || c.mayReceive(d.Message) {
			return true
		}
		c.b.dropped(c, d.Message, hook.CauseNotAuthorized)
		return false
	})
	c.recheck.Store(onDisk)
}

// covered reports whether a filter, its mountpoint in front, is granted.
func (c *client) covered(rights *hook.Rights, filter string) bool {
	sh, _, err := topic.ParseShared(filter)
	if err != nil {
		return false
	}
	own, ok := strings.CutPrefix(sh.Filter, c.mountpoint)
	if !ok {
		return false
	}
	_, granted := rights.MaySubscribe(own)
	return granted
}

// validity is for how long the validators' decision about a connection holds.
// When the time is over they are asked again, in a goroutine that stop waits
// for.
type validity struct {
	mu     sync.Mutex    // guards the fields below
	turn   chan struct{} // holds a token while nobody asks the validators; nil before the first does
	timer  *time.Timer   // nil: for ever
	ended  bool
	asking sync.WaitGroup // timers that have not been stopped, until they have run
}

// begin waits until nobody else asks about this connection, so that of two
// decisions the later one counts. The error is ctx's, or ErrUnknownClient when
// the connection ends.
func (v *validity) begin(ctx, connection context.Context) error {
	select {
	case <-v.token():
		return nil
	case <-connection.Done():
		return ErrUnknownClient
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (v *validity) finish() { v.token() <- struct{}{} }

// token returns the channel of the turn. Most connections never need one.
func (v *validity) token() chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.turn == nil {
		v.turn = make(chan struct{}, 1)
		v.turn <- struct{}{}
	}
	return v.turn
}

// start begins the time anew; zero is for ever.
func (v *validity) start(c *conn, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stopTimer()
	if d <= 0 || v.ended {
		return
	}
	v.asking.Add(1)
	if c.connect.AuthMethod == "" {
		d = early(d)
	}
	v.timer = time.AfterFunc(d, func() {
		defer v.asking.Done()
		// What is to be done about a refusal is done.
		_ = c.revalidate(c.ctx)
	})
}

func (v *validity) stopTimer() {
	if v.timer != nil && v.timer.Stop() {
		v.asking.Done()
	}
	v.timer = nil
}

// stop ends the time and waits for a revalidation that it began; the
// connection's context has ended, so that this does not take long.
func (v *validity) stop() {
	v.mu.Lock()
	v.ended = true
	v.stopTimer()
	v.mu.Unlock()
	v.asking.Wait()
}

// maxEarly bounds how much too early a decision is asked for again.
const maxEarly = time.Minute

// early takes up to a tenth off d, so that clients who came together are not
// asked about together.
func early(d time.Duration) time.Duration {
	if most := min(d/10, maxEarly); most > 0 {
		d -= rand.N(most) //nolint:gosec // spreading needs no secrecy
	}
	return d
}
