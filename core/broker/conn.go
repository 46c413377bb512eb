package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// conn is one network connection. Its reader goroutine runs serve; the writer
// (see writer.go) exists only while there is something to write.
type conn struct {
	b    *Broker
	nc   net.Conn
	l    listener.Listener
	id   uint64
	peer string

	ctx    context.Context // ends with the connection; a connection is one long call
	cancel context.CancelFunc

	// The following are set by the reader before the writer first runs and
	// do not change afterwards.
	version   mqtt.Version
	enc       packet.Encoder
	client    *client
	info      *hook.Client
	rights    *hook.Rights  // changed by the reader when the client authenticates anew
	connect   *hook.Connect // of a client with an authentication method, else nil
	limits    connLimits
	keepAlive time.Duration
	aliases   bool        // the client accepts topic aliases
	resumed   bool        // the session existed
	validity  *time.Timer // ends the connection with the validators' decision; may be nil

	dec  *packet.Decoder
	pace pace // of the client's publishes; reader only
	run  run  // publishes of one read; reader only

	w writer

	endMu sync.Mutex // guards ended
	ended *ending

	lastPacket atomic.Int64 // unix nanoseconds
	counts     traffic

	done chan struct{} // closed when the session has no connection any more
}

// connLimits are the limits of one connection after the validators' word.
type connLimits struct {
	maxQoS        mqtt.QoS
	subscriptions int
	queue         int // messages
	queueBytes    int
}

// ending says how a connection ends; the first one counts.
type ending struct {
	kind            hook.DisconnectKind
	code            mqtt.ReasonCode
	reason          string
	serverReference string
	err             error // for the log; nil if the rest says it all
	silent          bool  // send no DISCONNECT
}

func newConn(b *Broker, nc net.Conn, l listener.Listener) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{
		b: b, nc: nc, l: l, id: b.nextConnID.Add(1), peer: peerAddress(nc),
		ctx: ctx, cancel: cancel, done: make(chan struct{}),
	}
	c.w.init(c)
	return c
}

func peerAddress(nc net.Conn) string {
	if a := nc.RemoteAddr(); a != nil && a.Network() != "unix" {
		return a.String()
	}
	return "unix"
}

// end asks the reader to end the connection. It may be called from any
// goroutine and does not wait.
func (c *conn) end(e ending) {
	c.endMu.Lock()
	if c.ended == nil {
		c.ended = &e
	}
	c.endMu.Unlock()
	c.cancel()
	// Unblocks a reader; the past is a deadline that nobody misses.
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) ending() *ending {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	return c.ended
}

// serve is the life of a connection.
func (c *conn) serve() {
	defer c.cancel()
	c.b.stats.connections.Add(1)
	defer c.b.stats.connections.Add(-1)
	c.dec = packet.NewDecoder(c.b.limits.ConnectPacketSize)
	c.dec.SetLimits(&c.b.decoding)
	if !c.handshake() {
		c.w.farewell(c.b.limits.FarewellTimeout)
		_ = c.nc.Close()
		return
	}
	c.afterConnect()
	e := c.read()
	c.finish(e)
}

// read handles packets until the connection ends, and says why.
func (c *conn) read() ending {
	var partialSince time.Time
	for {
		c.dec.Release()
		if c.dec.Buffered() == 0 {
			partialSince = time.Time{}
		} else if partialSince.IsZero() {
			partialSince = time.Now()
		}
		c.setReadDeadline(partialSince)
		before := c.dec.Buffered()
		if err := c.dec.Fill(c.nc); err != nil {
			return c.readFailed(err)
		}
		c.countIn(c.dec.Buffered() - before)
		if e := c.handleBuffered(); e != nil {
			return *e
		}
		c.w.kick()
		if !c.w.waitRoom(c.ctx, c.b.limits.ControlBytes) {
			return c.readFailed(net.ErrClosed)
		}
		if !c.pace.wait(c.ctx) {
			return c.readFailed(net.ErrClosed)
		}
	}
}

// handleBuffered handles every complete packet that was read. Consecutive
// publishes are one run.
func (c *conn) handleBuffered() *ending {
	for {
		p, err := c.dec.Next()
		if err != nil {
			if e := c.run.flush(c); e != nil {
				return e
			}
			return c.malformed(err)
		}
		if p == nil {
			return c.run.flush(c)
		}
		c.counts.packetsIn.Add(1)
		c.b.stats.packetsIn.Add(1)
		c.lastPacket.Store(time.Now().UnixNano())
		if pub, ok := p.(*packet.Publish); ok {
			if e := c.run.add(c, pub); e != nil {
				return e
			}
			continue
		}
		if e := c.run.flush(c); e != nil {
			return e
		}
		if e := c.handle(p); e != nil {
			return e
		}
	}
}

// handle dispatches a packet that is no PUBLISH.
func (c *conn) handle(p packet.Packet) *ending {
	switch p := p.(type) {
	case *packet.Ack:
		return c.acknowledged(p)
	case *packet.Subscribe:
		return c.subscribe(p)
	case *packet.Unsubscribe:
		return c.unsubscribe(p)
	case *packet.Pingreq:
		c.w.send(&packet.Pingresp{})
		return nil
	case *packet.Disconnect:
		return c.disconnected(p)
	case *packet.Auth:
		return c.reauthenticate(p)
	default:
		return protocolError("packet is not allowed from a client")
	}
}

// disconnected handles DISCONNECT.
func (c *conn) disconnected(p *packet.Disconnect) *ending {
	c.client.mu.Lock()
	expiry := c.client.expiry
	c.client.mu.Unlock()
	if p.HasSessionExpiry {
		if expiry == 0 && p.SessionExpiry != 0 {
			return protocolError("session expiry cannot be raised from zero") // [MQTT-3.14.2-2]
		}
		c.client.mu.Lock()
		c.client.expiry = min(p.SessionExpiry, c.b.limits.SessionExpiry)
		c.client.mu.Unlock()
	}
	if p.Code == mqtt.Success {
		c.client.keepWill(nil) // [MQTT-3.14.4-3]
	}
	return &ending{kind: hook.ByClient, code: p.Code, reason: p.Reason, silent: true}
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
func (c *conn) readFailed(err error) ending {
	if e := c.ending(); e != nil {
		return *e
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ending{kind: hook.ByServer, code: mqtt.KeepAliveTimeout, reason: "nothing was received in time"}
	}
	return ending{kind: hook.Lost, silent: true, err: err}
}

// setReadDeadline gives the client one and a half times its keep-alive
// [MQTT-3.1.2-22]. A packet that has begun may take longer as long as bytes
// come, up to a minute.
func (c *conn) setReadDeadline(partialSince time.Time) {
	if c.ending() != nil {
		return // end has set one that must hold
	}
	if c.keepAlive == 0 {
		_ = c.nc.SetReadDeadline(time.Time{})
	} else {
		limit := c.keepAlive + c.keepAlive/2
		deadline := time.Now().Add(limit)
		if !partialSince.IsZero() {
			if last := partialSince.Add(max(limit, time.Minute)); last.Before(deadline) {
				deadline = last
			}
		}
		_ = c.nc.SetReadDeadline(deadline)
	}
	if c.ending() != nil {
		_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// finish ends a connection that had a session: it says goodbye, closes, and
// hands the session over to whoever waits for it.
func (c *conn) finish(e ending) {
	c.cancel()
	if c.validity != nil {
		c.validity.Stop()
	}
	if !e.silent && c.version == mqtt.V5 {
		c.w.sendLast(&packet.Disconnect{Code: e.code, Reason: e.reason, ServerReference: e.serverReference})
	} else {
		c.w.sendLast(nil)
	}
	c.w.farewell(c.b.limits.FarewellTimeout)
	_ = c.nc.Close()
	cl := c.client
	if cl.outlives() {
		c.keepFeed()
	}
	c.b.stats.dropped(hook.CauseOffline, cl.sess.Detach())
	cl.mu.Lock()
	cl.conn, cl.since = nil, time.Now()
	cl.mu.Unlock()
	c.b.stats.clients.Add(-1)
	c.logEnd(e)
	if c.b.hooks.Observes(hook.Disconnected) {
		c.b.emit(cl, &hook.Event{Kind: hook.Disconnected, Disconnect: e.kind, Code: e.code, Reason: e.reason})
	}
	close(c.done)
	cl.wentOffline()
}

func (c *conn) countIn(n int) {
	c.counts.bytesIn.Add(uint64(n))
	c.b.stats.bytesIn.Add(uint64(n))
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

// handleEarly handles what the client sent behind its CONNECT without waiting
// for the answer [MQTT-3.1.4-5].
func (c *conn) handleEarly() {
	if c.dec.Buffered() == 0 {
		return
	}
	if e := c.handleBuffered(); e != nil {
		c.end(*e)
	}
	c.w.kick()
}
