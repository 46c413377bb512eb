package broker

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/socket"
)

// conn is one network connection. Its reader goroutine runs serve; the writer
// (see writer.go) exists only while there is something to write.
type conn struct {
	b    *Broker
	nc   net.Conn
	at   *ListenerOptions // of the listener when the connection was accepted
	from *place           // the listener, among the broker's
	id   uint64
	peer string
	addr netip.Addr // of the peer; not valid for Unix sockets
	who  atomic.Pointer[identity]

	ctx    context.Context // ends with the connection; a connection is one long call
	cancel context.CancelFunc

	// The following are set by the reader before the writer first runs and
	// do not change afterwards, but for what only the reader looks at.
	version   mqtt.Version
	aliases   bool // the client accepts topic aliases
	resumed   bool // the session existed
	owes      bool // what was read last has to be written; reader only
	parks     bool // it can be waited for without a buffer; reader only
	brittle   bool // a write that a deadline ends is the last one
	enc       packet.Encoder
	decoder   packet.State // what dec needs while parked; reader only
	client    *client
	connect   *hook.Connect // what the validators were told
	promised  session.Limits
	keepAlive time.Duration

	connecting ConnectTrace // of the handshake, if it is followed; reader only

	limits   atomic.Pointer[connLimits] // replaced when the validators decide anew
	validity validity

	dec     *input    // nil while parked, if it needs no more than decoder
	pace    *pace     // of the client's publishes, nil as long as it has no rate; reader only
	run     *run      // publishes of one read, nil between reads; reader only
	checked string    // the last topic that was published to; reader only
	readEnd time.Time // the deadline of reading; reader only, and lot's while parked
	dueAt   int       // where in lot's timetable

	inHand hook.InHand // what the reader asks hooks about

	w writer

	endMu   sync.Mutex // guards the fields below
	ended   *ending
	endStep context.CancelFunc // of the step of the handshake; nil for none

	since  time.Time    // when it was accepted
	heard  atomic.Int64 // when packets came last, nanoseconds after since; 0 before the first behind CONNECT
	counts traffic

	done chan struct{} // closed when the session has no connection any more
}

// input is the reading half of a connection.
type input struct {
	*packet.Decoder
	from socket.Reader // the connection
}

// decode makes d decode what is read.
func (c *conn) decode(d *packet.Decoder) {
	c.dec = &input{Decoder: d}
	c.dec.from.Reset(c.nc)
}

// connLimits are the limits of one connection after the validators' word. They
// are immutable.
type connLimits struct {
	maxQoS        mqtt.QoS
	sessionExpiry uint32 // seconds
	subscriptions int
	queue         int // messages
	queueBytes    int
	messageRate   float64 // per second; 0 for any
	byteRate      float64 // per second; 0 for any
}

func (l *connLimits) rated() bool { return l.messageRate > 0 || l.byteRate > 0 }

func newConn(b *Broker, nc net.Conn, from *place) *conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &conn{
		b: b, nc: nc, at: from.options.Load(), from: from, id: b.nextConnID.Add(1), peer: peerAddress(nc),
		addr: listener.PeerIP(nc),
		ctx:  ctx, cancel: cancel, since: time.Now(), done: make(chan struct{}),
	}
	if d := listener.Describe(nc); d != nil {
		c.brittle = d.TLS != nil
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

// serve is the life of a connection that a listener accepted, up to the moment when it is idle for the
// first time; see park.
func (c *conn) serve(l listener.Listener) {
	c.b.stats.connections.Add(1)
	c.decode(packet.NewDecoder(c.b.limits().ConnectPacketSize))
	c.dec.SetLimits(&c.b.force.Load().decoding)
	if !c.handshake(l) {
		told := c.w.pending()
		c.w.farewell(c.b.limits().FarewellTimeout)
		c.close(told)
		c.cancel()
		c.b.forget(c)
		return
	}
	c.parks = canPark(c.nc)
	c.afterConnect()
	c.serveOn()
}

// serveOn handles packets until the connection is idle or ends.
func (c *conn) serveOn() {
	e, until := c.read()
	if e == nil {
		c.park(until)
		return
	}
	c.finish(*e)
	c.b.forget(c)
}

// read handles packets until the connection ends, and says why; nil means that
// it is idle, and until when it may be.
func (c *conn) read() (e *ending, until time.Time) {
	var begun time.Time // when the packet began of which a part is here
	decided := false    // interceptors were asked about what was read last
	for {
		c.dec.Release()
		if c.dec.Buffered() == 0 {
			begun = time.Time{}
		} else if begun.IsZero() {
			begun = time.Now()
		}
		c.awaitPacket(begun)
		if decided {
			// Whose answers came in the same frame go on first. What arrives meanwhile
			// is read, asked about and written together.
			runtime.Gosched()
		}
		if err := c.fill(); err != nil {
			if until, idle := c.isIdle(err); idle && begun.IsZero() {
				return nil, until
			}
			return c.readFailed(err), until
		}
		packets, e := c.handleBuffered()
		decided = packets > 0 && c.b.asksAboutPublish()
		if e != nil {
			return e, until
		}
		if packets > 0 {
			begun = time.Time{} // what is left belongs to another packet
		}
		c.w.flush()
		if !c.w.waitRoom(c.ctx, c.b.limits().ControlBytes) {
			return c.readFailed(net.ErrClosed), until
		}
		if c.owes && c.b.changes.WaitRoom(c.ctx) != nil {
			return c.readFailed(net.ErrClosed), until
		}
		c.owes = false
		if e := c.keepPace(); e != nil {
			return e, until
		}
	}
}

// handleBuffered handles every complete packet that was read and returns their
// number.
func (c *conn) handleBuffered() (packets uint64, e *ending) {
	r := runs.Get().(*run)
	c.run, r.now = r, time.Now()
	c.dec.Lend(c.mayLend())
	e = c.handleAll()
	if packets = r.arrived.packets; packets > 0 {
		c.heard.Store(int64(r.now.Sub(c.since)))
		c.countArrived(r.arrived)
		r.arrived = tally{}
	}
	c.run = nil
	r.giveBack()
	return packets, e
}

// handleAll handles every complete packet that was read. Consecutive publishes
// are one run.
func (c *conn) handleAll() *ending {
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
		c.run.arrived.packets++
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
	if p.HasSessionExpiry {
		// The decoder has refused to raise it from zero.
		c.client.mu.Lock()
		if c.client.doomed == notDoomed {
			c.client.expiry = min(p.SessionExpiry, c.limits.Load().sessionExpiry)
		}
		c.client.mu.Unlock()
	}
	if p.Code == mqtt.Success {
		c.client.keepWill(nil) // [MQTT-3.14.4-3]
	}
	return &ending{kind: hook.ByClient, code: p.Code, reason: p.Reason, silent: true}
}

// silence is how long the client may say nothing [MQTT-3.1.2-22]; 0 is for ever.
func (c *conn) silence() time.Duration {
	if c.keepAlive > 0 {
		return c.keepAlive + c.keepAlive/2
	}
	return c.b.limits().IdleTimeout
}

// awaitPacket gives the client one and a half times its keep-alive
// [MQTT-3.1.2-22], and up to a sixteenth more: to move a deadline costs as much
// as to read a message, and that way it is moved now and then only. A packet
// that has begun may take longer as long as bytes come, but not for ever.
func (c *conn) awaitPacket(begun time.Time) {
	limit := c.silence()
	var earliest, latest time.Time // none
	if limit > 0 {
		earliest = time.Now().Add(limit)
		latest = earliest.Add(limit / 16)
	}
	if idle := c.b.limits().IdleAfter; begun.IsZero() && c.parks && (limit == 0 || limit > idle) {
		earliest = time.Now().Add(idle)
		latest = earliest.Add(idle / 16)
	}
	if !begun.IsZero() {
		last := begun.Add(max(limit, c.b.limits().PacketTimeout))
		if earliest.IsZero() || last.Before(earliest) {
			earliest = last
		}
		if latest.IsZero() || last.Before(latest) {
			latest = last
		}
	}
	if c.readEnd.Before(earliest) || c.readEnd.After(latest) {
		c.readBy(latest)
	}
}

// handleEarly handles what the client sent behind its CONNECT without waiting
// for the answer [MQTT-3.1.4-5].
func (c *conn) handleEarly() {
	if c.dec.Buffered() == 0 {
		return
	}
	if _, e := c.handleBuffered(); e != nil {
		c.end(*e)
	}
	c.w.kick()
}
