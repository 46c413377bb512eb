package broker

import (
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Bans returns the list of who may not connect. Whoever changes it calls
// EndBanned to disconnect those who are here already.
func (b *Broker) Bans() *ban.List { return b.bans }

// EndBanned disconnects every client that is under a ban, with 0x98 for MQTT 5,
// and returns their number. It does not wait for the connections to end.
// Sessions stay. It may be called from any goroutine.
func (b *Broker) EndBanned() int {
	b.mu.Lock()
	conns := make([]*conn, 0, len(b.conns))
	for c := range b.conns {
		conns = append(conns, c)
	}
	b.mu.Unlock()
	n := 0
	for _, c := range conns {
		if entry, ok := c.ban(); ok && c.ctx.Err() == nil {
			c.end(ending{kind: hook.ByServer, code: mqtt.AdministrativeAction, reason: "the client is banned", err: banError(entry)})
			n++
		}
	}
	return n
}

// ban returns the ban that a connection is under, as far as is known who it is.
func (c *conn) ban() (ban.Ban, bool) {
	if entry, ok := c.b.bans.Address(c.addr); ok {
		return entry, true
	}
	who := c.who.Load()
	if who == nil {
		return ban.Ban{}, false
	}
	if entry, ok := c.b.bans.Name(ban.ClientID, who.id); ok {
		return entry, true
	}
	return c.b.bans.Name(ban.Username, who.user)
}

// identity is who a connection says it is, and later who it was found to be.
type identity struct{ id, user string }

// banned is what a client is told that is under a ban, nil for any other.
func (c *conn) banned(id, user string) *hook.Admission {
	c.who.Store(&identity{id, user})
	entry, ok := c.ban()
	if !ok {
		return nil
	}
	return &hook.Admission{Code: mqtt.Banned, Reason: "the client is banned", Err: banError(entry)}
}

// banError tells a ban in the log.
func banError(b ban.Ban) error {
	until := "for ever"
	if !b.Until.IsZero() {
		until = "until " + b.Until.UTC().Format(time.RFC3339)
	}
	reason := b.Reason
	or(&reason, "no reason given")
	return fmt.Errorf("%s %q is banned %s: %s", b.Kind, b.Value, until, reason)
}
