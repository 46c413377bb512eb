package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Sessions is the part of the server API that is about sessions, connected or
// not.
type Sessions struct{ b *Broker }

// Sessions returns the API of sessions.
func (b *Broker) Sessions() Sessions { return Sessions{b} }

// SessionStatus describes a session.
type SessionStatus struct {
	ClientID      string
	Username      string
	Mountpoint    string
	Connected     bool
	Created       time.Time
	Disconnected  time.Time     // zero if it is connected
	Expiry        time.Duration // after the connection; negative for never
	Pending       int           // messages queued or in flight
	Subscriptions []mqtt.Subscription
	Items         map[string][]byte // must not be changed
	Durability    hook.Durability   // unstated for one that the store does not keep
}

// List returns up to limit sessions (at least 1) whose client identifier is
// above after, in order of identifier.
func (a Sessions) List(after string, limit int) []SessionStatus {
	return page(a.b.clients.all(), after, limit, func(cl *client) (SessionStatus, bool) { return cl.session(), true })
}

// Get describes one session; false if there is none. The empty identifier is the
// server's own, which has nothing but Items.
func (a Sessions) Get(id string) (SessionStatus, bool) {
	if id == "" {
		return SessionStatus{Items: a.b.serverItems.get()}, true
	}
	cl := a.b.clients.get(id)
	if cl == nil {
		return SessionStatus{}, false
	}
	return cl.session(), true
}

// Delete ends a session and, before that, its connection. A hook that calls with
// the context that it got is not waited for by the connection's end: Delete then
// returns at once, and the session ends when the connection does. The error is
// ErrUnknownClient, or ctx's if the connection does not end in time.
func (a Sessions) Delete(ctx context.Context, id string) error {
	if hook.InHandOf(ctx).IsOpen() {
		return a.deleteSoon(id)
	}
	unlock, err := a.b.clients.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	cl := a.b.clients.get(id)
	if cl == nil {
		return ErrUnknownClient
	}
	if c := cl.current(); c != nil {
		c.end(deleted)
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("the connection of %s does not end: %w", id, ctx.Err())
		}
	}
	cl.endSession(false)
	return nil
}

var deleted = ending{kind: hook.ByServer, code: mqtt.AdministrativeAction, reason: "the session was deleted"}

// deleteSoon ends a session without waiting for anything.
func (a Sessions) deleteSoon(id string) error {
	cl := a.b.clients.get(id)
	if cl == nil {
		return ErrUnknownClient
	}
	cl.endSoon(doomedDeleted)
	return nil
}

// doom is why a session is to end.
type doom uint8

const (
	notDoomed doom = iota
	doomedDeleted
	doomedOverflowed
)

// ending is how a connection of the session ends.
func (d doom) ending() ending {
	if d == doomedOverflowed {
		return overflowed
	}
	return deleted
}

// endSoon ends the session and its connection.
func (c *client) endSoon(why doom) {
	c.mu.Lock()
	conn := c.conn
	c.expiry, c.doomed = 0, why
	if conn == nil {
		if c.timer != nil {
			c.timer.Stop()
		}
		c.timer = time.AfterFunc(0, c.timeUp)
	}
	c.mu.Unlock()
	c.describe()
	if conn != nil {
		conn.end(why.ending())
	}
}

// ClearQueue drops what is queued for a session, what is in flight apart, and
// returns how many messages those were. The error is ErrUnknownClient.
func (a Sessions) ClearQueue(id string) (dropped int, err error) {
	cl := a.b.clients.get(id)
	if cl == nil {
		return 0, ErrUnknownClient
	}
	all, more := cl.sess.Clear()
	for _, d := range all {
		a.b.dropped(cl, d.Message, hook.CauseSession)
	}
	a.b.stats.dropped(hook.CauseSession, max(0, more))
	return len(all) + more, nil
}

func (c *client) session() SessionStatus {
	s := SessionStatus{
		ClientID: c.id, Username: c.principal, Mountpoint: c.mountpoint, Created: c.created,
		Pending: c.sess.Pending(), Subscriptions: c.sess.Subscriptions(),
	}
	if info := c.info.Load(); info != nil {
		s.Items = info.Items
	}
	if c.sess.Kept() {
		s.Durability = hook.DurabilitySync + hook.Durability(c.durability())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Connected = c.conn != nil
	if !s.Connected {
		s.Disconnected = c.since
	}
	s.Expiry = seconds(c.expiry)
	if c.expiry == neverExpires {
		s.Expiry = -1
	}
	return s
}
