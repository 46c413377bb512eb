package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
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
}

// List returns up to limit sessions (at least 1) whose client identifier is
// above after, in order of identifier.
func (a Sessions) List(after string, limit int) []SessionStatus {
	return page(a.b.clients.all(), after, limit, func(cl *client) (SessionStatus, bool) { return cl.session(), true })
}

// Get describes one session; false if there is none.
func (a Sessions) Get(id string) (SessionStatus, bool) {
	cl := a.b.clients.get(id)
	if cl == nil {
		return SessionStatus{}, false
	}
	return cl.session(), true
}

// Delete ends a session and, before that, its connection. The error is
// ErrUnknownClient, or ctx's if the connection does not end in time.
func (a Sessions) Delete(ctx context.Context, id string) error {
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
		c.end(ending{kind: hook.ByServer, code: mqtt.AdministrativeAction, reason: "the session was deleted"})
		select {
		case <-c.done:
		case <-ctx.Done():
			return fmt.Errorf("the connection of %s does not end: %w", id, ctx.Err())
		}
	}
	cl.endSession(false)
	return nil
}

// ClearQueue drops what is queued for a session, what is in flight apart, and
// returns how many messages those were. The error is ErrUnknownClient.
func (a Sessions) ClearQueue(id string) (dropped int, err error) {
	cl := a.b.clients.get(id)
	if cl == nil {
		return 0, ErrUnknownClient
	}
	n := cl.sess.Clear()
	a.b.stats.dropped(hook.CauseSession, n)
	return n, nil
}

// Enqueue puts a message into one session's queue, past subscriptions and
// publish hooks; deliver hooks have their say. Topic is the broker's own,
// mountpoint included. It reports whether the message was queued. The error is
// ErrUnknownClient or says what is wrong with m.
func (a Sessions) Enqueue(id string, m *mqtt.Message) (queued bool, err error) {
	if err := checkMessage(m); err != nil {
		return false, err
	}
	cl := a.b.clients.get(id)
	if cl == nil {
		return false, ErrUnknownClient
	}
	c := m.Clone()
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	if c.Origin == mqtt.FromClient {
		c.Origin = mqtt.FromServer
	}
	d := mqtt.Delivery{Message: c, QoS: c.QoS}
	if cl.Online() && a.b.hooks.Intercepts(hook.AfterAuthorization, hook.PointDeliver) {
		a.b.screen([]screening{{client: cl, info: cl.info.Load(), delivery: &d}})
		if d.Message == nil {
			return false, nil
		}
	}
	outcome, drops := cl.sess.Enqueue(d, c.Created)
	for i := range drops {
		a.b.dropped(cl, drops[i].Delivery.Message, causeOf(drops[i].Cause))
	}
	queued = outcome == session.Queued || outcome == session.DroppedOldest
	if !queued {
		a.b.dropped(cl, c, causeOf(outcome))
	}
	return queued, nil
}

func (c *client) session() SessionStatus {
	s := SessionStatus{
		ClientID: c.id, Username: c.principal, Mountpoint: c.mountpoint, Created: c.created,
		Pending: c.sess.Pending(), Subscriptions: c.sess.Subscriptions(),
	}
	if info := c.info.Load(); info != nil {
		s.Items = info.Items
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
