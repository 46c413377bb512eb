// Package brokertest starts a broker inside a test and talks to it in packets.
//
// A test reads as a dialogue:
//
//	b := brokertest.Start(t, broker.Options{})
//	c := b.Connect("alice")
//	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a/#"}}})
//	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}})
package brokertest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// Patience bounds every wait of a test for something that has to happen.
const Patience = 30 * time.Second

// Quiet is how long a test listens to make sure that nothing comes.
const Quiet = 50 * time.Millisecond

// Broker is a broker that runs for the length of a test.
type Broker struct {
	*broker.Broker
	// Addr is its TCP address on loopback.
	Addr string
	t    testing.TB
	stop func()
}

// Start runs a broker on a free loopback port until the test ends.
func Start(t testing.TB, o broker.Options) *Broker {
	t.Helper()
	if o.SysInterval == 0 {
		o.SysInterval = -1
	}
	b := broker.New(o)
	l, err := listener.Open(context.Background(), "tcp://127.0.0.1:0", listener.Options{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 2)
	go func() { served <- b.Serve(ctx, l) }()
	go func() { served <- b.Run(ctx) }()
	tb := &Broker{Broker: b, Addr: l.Addr().String(), t: t}
	stopped := false
	tb.stop = func() {
		if stopped {
			return
		}
		stopped = true
		sctx, done := context.WithTimeout(context.Background(), Patience)
		defer done()
		if err := b.Shutdown(sctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		cancel()
		for range 2 {
			if err := <-served; err != nil && !errors.Is(err, broker.ErrClosed) {
				t.Errorf("serve: %v", err)
			}
		}
	}
	t.Cleanup(tb.stop)
	return tb
}

// Stop shuts the broker down before the test ends.
func (b *Broker) Stop() { b.stop() }

// At is a broker that runs already, at a TCP address and perhaps in another
// process; there is no *broker.Broker in it, and nothing to stop.
func At(t testing.TB, addr string) *Broker {
	t.Helper()
	return &Broker{Addr: addr, t: t, stop: func() {}}
}

// In is the same broker for a subtest: connections made by way of it end with
// that test, which their failures belong to.
func (b *Broker) In(t testing.TB) *Broker {
	t.Helper()
	in := *b
	in.t = t
	return &in
}

// Client is one connection to a broker.
type Client struct {
	t    testing.TB
	nc   net.Conn
	dec  *packet.Decoder
	enc  packet.Encoder
	name string
}

// Listen opens another address of the broker, until it stops.
func (b *Broker) Listen(url string, o listener.Options) listener.Listener {
	b.t.Helper()
	l, err := listener.Open(context.Background(), url, o)
	if err != nil {
		b.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- b.Serve(context.Background(), l) }()
	b.t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; !errors.Is(err, broker.ErrClosed) {
			b.t.Errorf("serve: %v", err)
		}
	})
	return l
}

// Over is a client that speaks a version over a connection that the test made.
func (b *Broker) Over(nc net.Conn, v mqtt.Version) *Client {
	b.t.Cleanup(func() { _ = nc.Close() })
	return &Client{t: b.t, nc: nc, dec: packet.NewClientDecoder(v, 0), enc: packet.Encoder{Version: v}}
}

// Dial opens a connection that speaks a version and sends nothing.
func (b *Broker) Dial(v mqtt.Version) *Client {
	b.t.Helper()
	nc, err := net.Dial("tcp", b.Addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = nc.Close() })
	return &Client{t: b.t, nc: nc, dec: packet.NewClientDecoder(v, 0), enc: packet.Encoder{Version: v}}
}

// Connect opens an MQTT 5 connection with clean start; mod may change the
// CONNECT. It expects to be accepted.
func (b *Broker) Connect(id string, mod ...func(*packet.Connect)) *Client {
	b.t.Helper()
	c, ack := b.TryConnect(id, mod...)
	if ack.Code != mqtt.Success {
		b.t.Fatalf("%s: connection refused: %v %q", id, ack.Code, ack.Reason)
	}
	return c
}

// TryConnect is Connect without the expectation.
func (b *Broker) TryConnect(id string, mod ...func(*packet.Connect)) (*Client, *packet.Connack) {
	b.t.Helper()
	p := &packet.Connect{Version: mqtt.V5, CleanStart: true, ClientID: id, ReceiveMaximum: 65535, RequestProblemInfo: true}
	for _, f := range mod {
		f(p)
	}
	c := b.Dial(p.Version)
	c.name = id
	c.Send(p)
	ack, ok := c.Next().(*packet.Connack)
	if !ok {
		b.t.Fatalf("%s: expected CONNACK", id)
	}
	return c, ack
}

// V311 makes Connect speak MQTT 3.1.1.
func V311(p *packet.Connect) { p.Version = mqtt.V311 }

// Resume makes Connect take up a session that stays for an hour.
func Resume(p *packet.Connect) {
	p.CleanStart = false
	if p.Version == mqtt.V5 {
		p.SessionExpiry, p.HasSessionExpiry = 3600, true
	}
}

// In is the same client for a subtest, which its failures then belong to.
func (c *Client) In(t testing.TB) *Client {
	t.Helper()
	in := *c
	in.t = t
	return &in
}

// Send writes packets in one segment.
func (c *Client) Send(ps ...packet.Packet) {
	c.t.Helper()
	var buf []byte
	for _, p := range ps {
		var err error
		if buf, err = c.enc.Append(buf, p); err != nil {
			c.t.Fatalf("%s: %v", c.name, err)
		}
	}
	c.SendBytes(buf)
}

// SendBytes writes bytes as they are. A broker that closes the connection
// meanwhile is no error here: what the test reads next tells.
func (c *Client) SendBytes(b []byte) {
	c.t.Helper()
	_ = c.nc.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.nc.Write(b); err != nil && !isReset(err) {
		c.t.Fatalf("%s: %v", c.name, err)
	}
}

// Next returns the next packet.
func (c *Client) Next() packet.Packet {
	c.t.Helper()
	p, err := c.next(Patience)
	if err != nil {
		c.t.Fatalf("%s: waiting for a packet: %v", c.name, err)
	}
	return p
}

func (c *Client) next(patience time.Duration) (packet.Packet, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		p, err := c.dec.Next()
		if p != nil || err != nil {
			return p, err
		}
		if err := c.dec.Fill(c.nc); err != nil {
			return nil, err
		}
	}
}

// compare ignores what a receiver cannot see of a message.
var compare = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.IgnoreFields(mqtt.Message{}, "Publisher", "Origin", "Created"),
}

// Expect reads one packet for each of ps and compares it.
func (c *Client) Expect(ps ...packet.Packet) {
	c.t.Helper()
	for _, want := range ps {
		got := c.Next()
		if d := cmp.Diff(want, got, compare); d != "" {
			c.t.Fatalf("%s: unexpected packet (-want +got):\n%s", c.name, d)
		}
	}
}

// ExpectClosed expects the broker to close the connection, without a packet
// before that.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	p, err := c.next(Patience)
	if p != nil {
		c.t.Fatalf("%s: expected the end of the connection, got %v", c.name, p)
	}
	if !errors.Is(err, io.EOF) && !isReset(err) {
		c.t.Fatalf("%s: expected the end of the connection, got %v", c.name, err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}

// ExpectNothing expects that the broker answers a PINGREQ and sends nothing
// before: everything that it did before the PINGREQ came would be there.
func (c *Client) ExpectNothing() {
	c.t.Helper()
	c.Send(&packet.Pingreq{})
	c.Expect(&packet.Pingresp{})
}

// ExpectSilence expects that nothing comes for a short while.
func (c *Client) ExpectSilence() {
	c.t.Helper()
	p, err := c.next(Quiet)
	if p != nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("%s: expected silence, got %v, %v", c.name, p, err)
	}
}

// Subscribe subscribes with one QoS and expects to be granted it.
func (c *Client) Subscribe(q mqtt.QoS, filters ...string) {
	c.t.Helper()
	p := &packet.Subscribe{ID: 1}
	ack := &packet.Suback{ID: 1}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, mqtt.Subscription{Filter: f, QoS: q})
		ack.Codes = append(ack.Codes, mqtt.ReasonCode(q))
	}
	c.Send(p)
	c.Expect(ack)
}

// Publish sends a message; with QoS 1 and 2 it expects to be acknowledged with
// the code, whatever the reason.
func (c *Client) Publish(m mqtt.Message, want mqtt.ReasonCode) {
	c.t.Helper()
	p := &packet.Publish{Message: m}
	if m.QoS > 0 {
		p.ID = 77
	}
	c.Send(p)
	if m.QoS == 0 {
		return
	}
	ack, ok := c.Next().(*packet.Ack)
	if !ok || ack.ID != p.ID || ack.Code != want {
		c.t.Fatalf("%s: publish to %s: got %+v, want code %v", c.name, m.Topic, ack, want)
	}
	if m.QoS == 2 && !ack.Code.Failed() {
		c.Send(&packet.Ack{Kind: packet.PUBREL, ID: p.ID})
		c.Expect(&packet.Ack{Kind: packet.PUBCOMP, ID: p.ID})
	}
}

// ExpectMessage reads a PUBLISH, acknowledges it, and returns its message.
func (c *Client) ExpectMessage(topic, payload string) *packet.Publish {
	c.t.Helper()
	p, ok := c.Next().(*packet.Publish)
	if !ok {
		c.t.Fatalf("%s: expected a PUBLISH", c.name)
	}
	if p.Message.Topic != topic || string(p.Message.Payload) != payload {
		c.t.Fatalf("%s: got %s %q, want %s %q", c.name, p.Message.Topic, p.Message.Payload, topic, payload)
	}
	switch p.Message.QoS {
	case mqtt.AtLeastOnce:
		c.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
	case mqtt.ExactlyOnce:
		c.Send(&packet.Ack{Kind: packet.PUBREC, ID: p.ID})
		c.Expect(&packet.Ack{Kind: packet.PUBREL, ID: p.ID})
		c.Send(&packet.Ack{Kind: packet.PUBCOMP, ID: p.ID})
	}
	return p
}

// Disconnect ends the connection as a client should and waits for the broker
// to close it.
func (c *Client) Disconnect() {
	c.t.Helper()
	c.Send(&packet.Disconnect{})
	c.ExpectClosed()
}

// Drop breaks the connection without a word.
func (c *Client) Drop() {
	if tc, ok := c.nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
	}
	_ = c.nc.Close()
}
