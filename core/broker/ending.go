package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// ending says how a connection ends; the first one counts.
type ending struct {
	kind            hook.DisconnectKind
	code            mqtt.ReasonCode
	reason          string
	serverReference string
	user            []mqtt.UserProperty
	err             error // for the log; nil if the rest says it all
	silent          bool  // send no DISCONNECT
}

// end asks the reader to end the connection. It may be called from any
// goroutine and does not wait.
func (c *conn) end(e ending) {
	c.endMu.Lock()
	if c.ended == nil {
		c.ended = &e
	}
	_ = c.nc.SetReadDeadline(past)
	endStep := c.endStep
	c.endMu.Unlock()
	c.b.lot.leave(c)
	c.cancel()
	if endStep != nil {
		endStep()
	}
}

// step returns a context for one step of the handshake, which ends with the
// connection. It is no child of the connection's: a context keeps some hundred
// bytes for ever of the first child that it had. Called by the reader.
func (c *conn) step() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	c.endMu.Lock()
	defer c.endMu.Unlock()
	c.endStep = cancel
	if c.ended != nil {
		cancel()
	}
	return ctx, func() {
		cancel()
		c.endMu.Lock()
		defer c.endMu.Unlock()
		c.endStep = nil
	}
}

// past is a deadline that unblocks a reader.
var past = time.Unix(1, 0)

// readBy sets the deadline for reading; zero means none. A connection that has
// to end keeps the one that end has set. Called by the reader.
func (c *conn) readBy(deadline time.Time) {
	c.readEnd = deadline
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.ended == nil {
		_ = c.nc.SetReadDeadline(deadline)
	}
}

func (c *conn) ending() *ending {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	return c.ended
}

func protocolError(reason string) *ending {
	return &ending{kind: hook.ByServer, code: mqtt.ProtocolError, reason: reason}
}

func (c *conn) malformed(err error) *ending {
	var pe *packet.Error
	if errors.As(err, &pe) {
		return &ending{kind: hook.ByServer, code: pe.Code, reason: pe.Detail, err: err}
	}
	return &ending{kind: hook.Lost, silent: true, err: err}
}

// readFailed turns the end of reading into the end of the connection.
func (c *conn) readFailed(err error) *ending {
	if e := c.ending(); e != nil {
		return e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &ending{kind: hook.ByServer, code: mqtt.KeepAliveTimeout, reason: "nothing was received in time"}
	}
	return &ending{kind: hook.Lost, silent: true, err: err}
}

// finish ends a connection that had a session: it says goodbye, closes, and
// hands the session over to whoever waits for it.
func (c *conn) finish(e ending) {
	c.cancel()
	c.validity.stop()
	told := !e.silent && c.version == mqtt.V5
	if told {
		c.w.sendLast(&packet.Disconnect{Code: e.code, Reason: e.reason, ServerReference: e.serverReference, User: e.user})
	} else {
		c.w.sendLast(nil)
	}
	c.w.farewell(c.b.limits().FarewellTimeout)
	// A client that sees the end can rely on the broker's having let go: a session
	// that ends with its connection takes no message any more. Whoever waits for
	// the session does not wait for the client.
	defer c.close(told)
	cl := c.client
	if cl.outlives() {
		c.keepFeed()
	}
	for _, d := range cl.sess.Detach() {
		c.b.dropped(cl, d.Message, hook.CauseOffline)
	}
	c.b.stats.connected(-1) // before the session can have another connection, which would count beside it
	cl.mu.Lock()
	cl.conn, cl.since = nil, time.Now()
	cl.mu.Unlock()
	c.b.stats.ended(e.kind)
	c.logEnd(e)
	if c.b.hooks.Observes(hook.Disconnected) {
		c.b.emit(cl, &hook.Event{Kind: hook.Disconnected, Disconnect: e.kind, Code: e.code, Reason: e.reason})
	}
	close(c.done)
	cl.wentOffline()
}

// lingerIdle is how long a client that was told why it has to go is listened to
// while it sends nothing.
const lingerIdle = 250 * time.Millisecond

// close ends the network connection. If the client was told why, what it still
// sends is read and forgotten for a moment: a socket that is closed with unread
// bytes in it is reset, and the client might lose what it was told.
func (c *conn) close(told bool) {
	if told {
		c.linger()
	}
	_ = c.nc.Close()
}

func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	end := time.Now().Add(c.b.limits().FarewellTimeout)
	waste := make([]byte, 4<<10)
	for {
		deadline := time.Now().Add(lingerIdle)
		if end.Before(deadline) {
			deadline = end
		}
		_ = c.nc.SetReadDeadline(deadline)
		if _, err := c.nc.Read(waste); err != nil {
			return
		}
	}
}

func (c *conn) logEnd(e ending) {
	attrs := []slog.Attr{
		slog.String("client", c.client.id), slog.String("peer", c.peer), slog.String("by", kindName(e.kind)),
	}
	if e.code != 0 {
		attrs = append(attrs, slog.String("code", e.code.String()))
	}
	if e.reason != "" {
		attrs = append(attrs, slog.String("reason", e.reason))
	}
	if e.err != nil && !errors.Is(e.err, io.EOF) {
		attrs = append(attrs, slog.Any("error", e.err))
	}
	c.b.log.LogAttrs(context.Background(), slog.LevelInfo, "client disconnected", attrs...)
}

func kindName(k hook.DisconnectKind) string {
	switch k {
	case hook.ByClient:
		return "client"
	case hook.Lost:
		return "network"
	case hook.TakenOver:
		return "takeover"
	default:
		return "server"
	}
}
