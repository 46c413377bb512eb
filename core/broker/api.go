package broker

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Errors of the server API; what a call returns may wrap one of them.
var (
	// ErrUnknownClient: the client identifier has not the connection or session
	// that the call needs.
	ErrUnknownClient = errors.New("there is no such client")
	// ErrInvalid: what was handed over is not legal.
	ErrInvalid = errors.New("not valid")
	// ErrQuota: it would exceed a bound of the broker's.
	ErrQuota = errors.New("quota exceeded")
	// ErrUnwritten: what has to be kept can't be written at present, or was not
	// written in time.
	ErrUnwritten = errors.New("what has to be kept can't be written")
)

// Clients is the part of the server API that is about connections.
type Clients struct{ b *Broker }

// Clients returns the API of connections.
func (b *Broker) Clients() Clients { return Clients{b} }

// Pause lets no new connections in until Resume; those that exist go on. A
// connection that is made meanwhile is closed without a word.
func (a Clients) Pause() { a.b.pause(true) }

// Resume ends Pause.
func (a Clients) Resume() { a.b.pause(false) }

func (b *Broker) pause(paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = paused
}

// ClientStatus describes a connected client. What it counts begins with the
// connection, or with [Clients.ResetStatistics].
type ClientStatus struct {
	*hook.Client
	Connected        time.Time
	LastReceived     time.Time
	PacketsReceived  uint64
	PacketsSent      uint64
	MessagesReceived uint64
	MessagesSent     uint64
	BytesReceived    uint64
	BytesSent        uint64
}

// List returns up to limit connected clients (at least 1) whose identifier is
// above after, in order of identifier.
func (a Clients) List(after string, limit int) []ClientStatus {
	return page(a.b.clients.all(), after, limit, func(cl *client) (ClientStatus, bool) { return cl.status() })
}

// Get describes one connected client; false if there is none.
func (a Clients) Get(id string) (ClientStatus, bool) {
	if cl := a.b.clients.get(id); cl != nil {
		return cl.status()
	}
	return ClientStatus{}, false
}

// ResetStatistics has the counters of a client's connection begin at 0 again;
// those of the whole broker go on. The error is ErrUnknownClient.
func (a Clients) ResetStatistics(id string) error {
	if cl := a.b.clients.get(id); cl != nil {
		if c := cl.current(); c != nil {
			c.counts.reset()
			return nil
		}
	}
	return ErrUnknownClient
}

// Disconnection says how [Clients.Disconnect] ends a connection.
type Disconnection struct {
	Code            mqtt.ReasonCode // zero means AdministrativeAction
	Reason          string
	ServerReference string
	User            []mqtt.UserProperty
	// ConnectionID, if not zero, restricts it to one connection of the client.
	ConnectionID uint64
	// DiscardWill keeps the will from being published.
	DiscardWill bool
}

// Disconnect ends a client's connection; it does not wait for the end. The
// error is ErrUnknownClient.
func (a Clients) Disconnect(id string, d Disconnection) error {
	cl := a.b.clients.get(id)
	if cl == nil {
		return ErrUnknownClient
	}
	c := cl.current()
	if c == nil || d.ConnectionID != 0 && d.ConnectionID != c.id {
		return ErrUnknownClient
	}
	if d.DiscardWill {
		cl.keepWill(nil)
	}
	c.end(ending{
		kind: hook.ByServer, code: disconnectCode(d.Code), reason: d.Reason, serverReference: d.ServerReference, user: d.User,
	})
	return nil
}

// status describes the client's connection; false if there is none.
func (c *client) status() (ClientStatus, bool) {
	nc := c.current()
	if nc == nil {
		return ClientStatus{}, false
	}
	n := nc.counts.read()
	s := ClientStatus{
		Client: c.info.Load(), Connected: nc.since, LastReceived: nc.since.Add(time.Duration(nc.heard.Load())),
		PacketsReceived: n.packetsIn, PacketsSent: n.packetsOut,
		MessagesReceived: n.messagesIn, MessagesSent: n.messagesOut,
		BytesReceived: n.bytesIn, BytesSent: n.bytesOut,
	}
	return s, true
}

// page returns what describe makes of the clients above a cursor, in order.
func page[T any](all []*client, after string, limit int, describe func(*client) (T, bool)) []T {
	all = slices.DeleteFunc(all, func(cl *client) bool { return cl.id <= after && after != "" })
	slices.SortFunc(all, func(x, y *client) int { return cmp.Compare(x.id, y.id) })
	var out []T
	for _, cl := range all {
		if len(out) == max(1, limit) {
			break
		}
		if s, ok := describe(cl); ok {
			out = append(out, s)
		}
	}
	return out
}
