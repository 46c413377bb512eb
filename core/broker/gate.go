package broker

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
)

// gate is what a listener asks about connections before anything is read of
// them; see [listener.Gate].
type gate struct {
	b    *Broker
	name string
}

var errTurnedAway = errors.New("turned away")

// Enter implements listener.Gate.
func (g gate) Enter(from netip.Addr) error {
	why, err := g.b.mayEnter(g.name, from)
	if why == "" {
		return nil
	}
	peer := "unix"
	if from.IsValid() {
		peer = from.String()
	}
	g.b.turnedAway(why, g.name, peer, err)
	return err
}

// Abandon implements listener.Gate.
func (g gate) Abandon(from netip.Addr, reason error) {
	g.b.door.Leave(from)
	if !errors.Is(reason, net.ErrClosed) {
		g.b.stats.refused(RefusedHandshake, 1)
	}
}

// mayEnter decides about a connection; if it may enter, the door knows of it.
func (b *Broker) mayEnter(listener string, from netip.Addr) (RefusalCause, error) {
	if entry, ok := b.bans.Address(from); ok {
		return RefusedBanned, banError(entry)
	}
	b.mu.Lock()
	at := b.placeLocked(listener)
	why := b.noRoom(at)
	b.mu.Unlock()
	if why != "" {
		return why, errTurnedAway
	}
	now := time.Now()
	if at.door.Enter(netip.Addr{}, now) != admission.Welcome {
		return RefusedListenerRate, errTurnedAway
	}
	switch b.door.Enter(from, now) {
	case admission.TooFast:
		return RefusedRate, errTurnedAway
	case admission.AddressTooFast:
		return RefusedAddressRate, errTurnedAway
	case admission.AddressTooMany:
		return RefusedAddressConnections, errTurnedAway
	default:
		return "", nil
	}
}

// noRoom says why no further connection is taken, "" if one is. The caller holds
// mu.
func (b *Broker) noRoom(at *place) RefusalCause {
	most := b.limits().Connections
	switch {
	case b.closed, b.paused:
		return RefusedPaused
	case most > 0 && len(b.conns) >= most:
		return RefusedConnections
	case at.full():
		return RefusedListenerConnections
	default:
		return ""
	}
}

// accept starts the goroutine of a connection that has entered, or closes it:
// others may have taken the room meanwhile.
func (b *Broker) accept(nc net.Conn, l listener.Listener) {
	b.stats.sockets.Add(1)
	at := b.place(l.Name())
	c := newConn(b, nc, at)
	b.mu.Lock()
	why := b.noRoom(at)
	if why == "" {
		at.connections.Add(1)
		b.conns[c] = struct{}{}
		b.wg.Add(1)
	}
	b.mu.Unlock()
	if why != "" {
		_ = nc.Close()
		b.door.Leave(c.addr)
		b.turnedAway(why, l.Name(), c.peer, errTurnedAway)
		return
	}
	go c.serve(l)
}

// forget ends what accept began.
func (b *Broker) forget(c *conn) {
	b.stats.connections.Add(-1)
	b.door.Leave(c.addr)
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	c.from.connections.Add(-1)
	b.wg.Done()
}

const (
	acceptPause     = 5 * time.Millisecond // after the first failure; each further one doubles it
	mostAcceptPause = 250 * time.Millisecond
	acceptLogEvery  = time.Minute
)

// trouble is a listener's trouble with accepting. It belongs to the goroutine
// that accepts.
type trouble struct {
	b          *Broker
	listener   string
	pause      time.Duration // zero: there is none
	logged     time.Time
	turnedAway int // since it was logged
}

// over notes that a connection was accepted.
func (t *trouble) over() {
	if t.pause == 0 {
		return
	}
	t.pause = 0
	if !t.logged.IsZero() && time.Since(t.logged) >= acceptLogEvery {
		t.b.log.Info("connections are accepted again", "listener", t.listener)
		t.logged = time.Time{}
	}
}

// failed counts and logs a failure and returns how long to wait.
func (t *trouble) failed(err error) time.Duration {
	t.pause = min(max(2*t.pause, acceptPause), mostAcceptPause)
	message, advice := "cannot accept connections", ""
	var out *listener.ExhaustedError
	if errors.As(err, &out) {
		if out.TurnedAway > 0 {
			t.b.stats.refused(RefusedDescriptors, out.TurnedAway)
		}
		t.turnedAway += out.TurnedAway
		err = out.Err
		message = "no file descriptors left: connections are turned away"
		advice = "raise the hard limit of open files (LimitNOFILE= of the systemd unit, ulimit -Hn, --ulimit nofile= of a container), or set limits.connections below it"
	}
	if now := time.Now(); t.logged.IsZero() || now.Sub(t.logged) >= acceptLogEvery {
		t.logged = now
		attrs := []any{slog.String("listener", t.listener), slog.Any("error", err)}
		if out != nil {
			attrs = append(attrs, slog.Int("turned_away", t.turnedAway), slog.String("advice", advice))
		}
		t.turnedAway = 0
		t.b.log.Error(message, attrs...) //nolint:sloglint // one of two constants
	}
	return t.pause
}
