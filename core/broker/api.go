package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// ErrUnknownClient is returned for a client identifier without the connection
// or session that a call needs.
var ErrUnknownClient = errors.New("there is no such client")

// Refusal is why a message of the server API went nowhere: an interceptor, or
// the retained store, did not let it pass.
type Refusal struct {
	Code   mqtt.ReasonCode
	Reason string
	By     string // the interceptor's name
}

// Error tells the code and the reason.
func (r *Refusal) Error() string {
	s := "refused: " + r.Code.String()
	if r.By != "" {
		s = r.By + " " + s
	}
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// Publish takes a message through the interceptors, the retained store and to
// the subscribers, as if a client had published it, and returns the number of
// sessions that it was queued for. Topic is the broker's own, mountpoints
// included. Origin and Created are filled if they are zero; m must not be
// changed afterwards. The error says what is wrong with m, or is a *Refusal.
func (b *Broker) Publish(m *mqtt.Message) (receivers int, err error) {
	if err := checkMessage(m); err != nil {
		return 0, err
	}
	c := m.Clone()
	if c.Created.IsZero() {
		c.Created = time.Now()
	}
	if c.Origin == mqtt.FromClient {
		c.Origin = mqtt.FromServer
	}
	n, v := b.publishInternal(nil, c)
	switch v.Action {
	case hook.Refuse, hook.Disconnect:
		return 0, &Refusal{Code: v.Code, Reason: v.Reason, By: v.By}
	default:
		return n, nil
	}
}

func checkMessage(m *mqtt.Message) error {
	if err := topic.ValidateName(m.Topic); err != nil {
		return fmt.Errorf("topic %q: %w", m.Topic, err)
	}
	if strings.HasPrefix(m.Topic, sysPrefix) {
		return fmt.Errorf("topic %q: the broker alone publishes there", m.Topic)
	}
	if !m.QoS.Valid() {
		return fmt.Errorf("QoS %d: it is 0, 1 or 2", m.QoS)
	}
	return nil
}

// Clients is the part of the server API that is about connections.
type Clients struct{ b *Broker }

// Clients returns the API of connections.
func (b *Broker) Clients() Clients { return Clients{b} }

// ClientStatus describes a connected client.
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

// Disconnection says how [Clients.Disconnect] ends a connection.
type Disconnection struct {
	Code            mqtt.ReasonCode // zero means AdministrativeAction
	Reason          string
	ServerReference string
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
		kind: hook.ByServer, code: disconnectCode(d.Code), reason: d.Reason, serverReference: d.ServerReference,
	})
	return nil
}

// status describes the client's connection; false if there is none.
func (c *client) status() (ClientStatus, bool) {
	nc := c.current()
	if nc == nil {
		return ClientStatus{}, false
	}
	s := ClientStatus{
		Client: c.info.Load(), Connected: nc.since, LastReceived: time.Unix(0, nc.lastPacket.Load()),
		PacketsReceived: nc.counts.packetsIn.Load(), PacketsSent: nc.counts.packetsOut.Load(),
		MessagesReceived: nc.counts.messagesIn.Load(), MessagesSent: nc.counts.messagesOut.Load(),
		BytesReceived: nc.counts.bytesIn.Load(), BytesSent: nc.counts.bytesOut.Load(),
	}
	if nc.lastPacket.Load() == 0 {
		s.LastReceived = nc.since
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
