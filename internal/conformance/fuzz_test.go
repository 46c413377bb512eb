package conformance_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// FuzzConnection plays what a script says: a few clients that connect, speak
// good packets and bad ones, take each other's sessions and go. The broker must
// not panic, say nothing that is malformed, serve a witness to the end, and end
// with no goroutine left.
func FuzzConnection(f *testing.F) {
	for i, d := range dialogues {
		said := wire.Bytes(d)
		f.Add(append([]byte{byte(i), opConnect, opRaw, byte(len(said) >> 8), byte(len(said))}, said...))
	}
	for _, seed := range scripts {
		f.Add(wire.Bytes(seed))
	}
	f.Fuzz(playScript)
}

func playScript(t *testing.T, text []byte) {
	if len(text) > 4<<10 {
		return
	}
	s := &script{text: text}
	st := openStage(t, s)
	w := st.connect(mqtt.V5, &packet.Connect{Version: mqtt.V5, ClientID: witnessID, CleanStart: true, RequestProblemInfo: true})
	w.verbatim = true
	st.send(w, &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: witnessID, QoS: 1}}})
	s.play(st)
	st.send(w, &packet.Publish{ID: 9, Message: say(witnessID, "served", 1)})
	select {
	case <-w.served:
	case <-w.gone:
		t.Error("the witness was disconnected")
	case <-time.After(stuck):
		t.Error("the witness is not served")
	}
}

// witnessID is a client identifier and topic that no script comes upon.
const witnessID = "witness-5f0c7a3e9b1d4826"

// stage is a broker in this process and the clients that are connected to it.
type stage struct {
	t        *testing.T
	b        *broker.Broker
	pipes    pipeListener
	parties  []*party
	current  *party
	served   chan error
	lastSaid []byte
}

func openStage(t *testing.T, s *script) *stage {
	t.Helper()
	options := s.byte()
	o := broker.Options{SysInterval: -1, CheckPayloadFormat: options&1 != 0, ResponseInformation: "answers/%c"}
	o.Limits = broker.Limits{
		PacketSize: 4 << 10, ConnectPacketSize: 512, ConnectWillSize: 64, ControlBytes: 512,
		ReceiveMaximum: 4, InFlight: 4, TopicAliases: 3, SubscriptionsPerClient: 4, FiltersPerPacket: 6,
		QueueMessages: 6, QueueBytes: 600, RetainedMessages: 4, Sessions: 5, UserProperties: 3, ClientIDLength: 40,
		QueueQoS0Offline: options&2 != 0,
	}
	if options&4 != 0 {
		o.Limits.Overflow = session.DropNewest
	}
	if options&8 != 0 {
		o.Hooks = meddlingHooks(t)
	}
	st := &stage{t: t, b: broker.New(o), served: make(chan error, 1)}
	st.pipes = pipeListener{conns: make(chan net.Conn), closed: make(chan struct{}), once: new(sync.Once)}
	go func() { st.served <- st.b.Serve(context.Background(), st.pipes) }()
	t.Cleanup(st.close)
	return st
}

// close ends the broker while the clients still listen.
func (st *stage) close() {
	st.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stuck)
	defer cancel()
	if err := st.b.Shutdown(ctx); err != nil {
		st.t.Errorf("shutdown: %v", err)
	}
	if err := <-st.served; !errors.Is(err, broker.ErrClosed) {
		st.t.Errorf("serve: %v", err)
	}
	for _, p := range st.parties {
		_ = p.nc.Close()
		<-p.gone
		if p.verbatim && p.bad != nil {
			st.t.Errorf("the broker said something malformed: %v", p.bad)
		}
	}
}

// stuck is when something that should have happened is given up.
const stuck = 10 * time.Second

// party is a client.
type party struct {
	nc       net.Conn
	enc      packet.Encoder
	verbatim bool // its CONNECT was good, so that its version is known
	once     sync.Once
	served   chan struct{} // closed when the message for the witness came
	gone     chan struct{} // closed when the broker says nothing more
	bad      error         // what it said was malformed; read after gone
}

// connect opens a connection. The first packet is p, unless it is nil.
func (st *stage) connect(v mqtt.Version, p *packet.Connect) *party {
	here, there := net.Pipe()
	c := &party{nc: here, enc: packet.Encoder{Version: v}, served: make(chan struct{}), gone: make(chan struct{})}
	st.parties = append(st.parties, c)
	st.current = c
	select {
	case st.pipes.conns <- there:
	case <-time.After(stuck):
		st.t.Fatal("the broker does not accept")
	}
	go c.listen(v)
	if p != nil {
		st.send(c, p)
	}
	return c
}

// listen reads everything.
func (c *party) listen(v mqtt.Version) {
	defer close(c.gone)
	d := packet.NewClientDecoder(v, 0)
	for {
		p, err := d.Next()
		if p != nil {
			if p, ok := p.(*packet.Publish); ok && p.Message.Topic == witnessID {
				c.once.Do(func() { close(c.served) })
			}
			continue
		}
		if err != nil {
			c.bad = err
			_ = c.nc.Close()
			return
		}
		if d.Fill(c.nc) != nil {
			return
		}
	}
}

// send says p, if it can be said at all.
func (st *stage) send(c *party, p packet.Packet) {
	if b, err := c.enc.Append(nil, p); err == nil {
		st.say(c, b)
	}
}

// say writes bytes. The broker may have closed, but must not leave them lying.
func (st *stage) say(c *party, b []byte) {
	st.lastSaid = b
	_ = c.nc.SetWriteDeadline(time.Now().Add(stuck))
	if _, err := c.nc.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
		st.t.Fatal("the broker stopped reading")
	}
}

// pipeListener gives the broker one end of a pipe for each connection.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   *sync.Once
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l pipeListener) Addr() net.Addr    { return pipeAddr{} }
func (l pipeListener) Name() string      { return "pipe" }
func (l pipeListener) URL() string       { return "pipe:" }
func (l pipeListener) Transport() string { return "tcp" }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
