package broker_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/listener"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// startIdle runs a broker whose clients are idle at once.
func startIdle(t *testing.T) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, broker.Options{Limits: broker.Limits{IdleAfter: time.Millisecond}})
}

// waitIdle waits until n connections are idle.
func waitIdle(t *testing.T, b *brokertest.Broker, n int) {
	t.Helper()
	for end := time.Now().Add(brokertest.Patience); b.Stats().Idle != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are idle, want %d", b.Stats().Idle, n)
		}
	}
}

// An idle client is there as any other: it is sent to, and heard when it speaks
// again, as often as it likes.
func TestIdleClientSpeaksAgain(t *testing.T) {
	b := startIdle(t)
	c, other := b.Connect("c"), b.Connect("other")
	for range 3 {
		c.Subscribe(1, "t")
		waitIdle(t, b, 2)
		other.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}})
		other.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 1})
		waitIdle(t, b, 2) // the publisher again, and the receiver, which only listens
		p, ok := c.Next().(*packet.Publish)
		if !ok || string(p.Message.Payload) != "x" {
			t.Fatalf("got %+v", p)
		}
		c.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
		c.Send(&packet.Pingreq{})
		c.Expect(&packet.Pingresp{})
	}
}

// A packet that has begun is waited for by its reader.
func TestPartOfAPacketIsNotIdle(t *testing.T) {
	b := startIdle(t)
	c := b.Connect("c")
	waitIdle(t, b, 1)
	c.SendBytes([]byte{0xc0})
	waitIdle(t, b, 0)
	c.ExpectSilence()
	waitIdle(t, b, 0)
	c.SendBytes([]byte{0})
	c.Expect(&packet.Pingresp{})
	waitIdle(t, b, 1)
}

// The keep-alive of a client goes on from its last packet.
func TestIdleClientTimesOut(t *testing.T) {
	b := startIdle(t)
	c := b.Connect("c", func(p *packet.Connect) { p.KeepAlive = 1 })
	begun := time.Now()
	waitIdle(t, b, 1)
	if p, ok := c.Next().(*packet.Disconnect); !ok || p.Code != mqtt.KeepAliveTimeout {
		t.Errorf("got %+v", p)
	}
	if took := time.Since(begun); took < time.Second {
		t.Errorf("the keep-alive of one second was over after %v", took)
	}
	c.ExpectClosed()
}

// An idle client is told that its session was taken over, and the broker's end;
// one that hangs up is noticed, and its will published.
func TestIdleClientsEnd(t *testing.T) {
	b := startIdle(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "gone")
	will := func(p *packet.Connect) { p.Will = &packet.Will{Topic: "gone", Payload: []byte("x")} }

	lost := b.Connect("lost", will)
	waitIdle(t, b, 2)
	lost.Drop()
	watcher.ExpectMessage("gone", "x")

	first := b.Connect("same")
	waitIdle(t, b, 2)
	second := b.Connect("same")
	if p, ok := first.Next().(*packet.Disconnect); !ok || p.Code != mqtt.SessionTakenOver {
		t.Errorf("got %+v", p)
	}
	first.ExpectClosed()

	waitIdle(t, b, 2)
	b.Stop()
	if p, ok := second.Next().(*packet.Disconnect); !ok || p.Code != mqtt.ServerShuttingDown {
		t.Errorf("got %+v", p)
	}
}

// hesitant writes everything in two pieces, with a pause in between.
type hesitant struct{ net.Conn }

func (h hesitant) Write(b []byte) (int, error) {
	n, err := h.Conn.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	time.Sleep(brokertest.Quiet) // long enough for the broker to find it idle, which it must not show
	m, err := h.Conn.Write(b[n:])
	return n + m, err
}

// A client over TLS or a WebSocket is idle and speaks again as others do, also
// when a record or a frame comes in pieces.
func TestIdleClientsOfAllTransports(t *testing.T) {
	q := question(t)
	b := startIdle(t)
	for _, url := range []string{"tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0/mqtt", "wss://127.0.0.1:0/mqtt"} {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			l := b.Listen(url, listener.Options{TLS: q.store.Config()})
			var nc net.Conn
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			nc = hesitant{nc}
			if strings.HasPrefix(url, "tls") || strings.HasPrefix(url, "wss") {
				nc = tls.Client(nc, q.trusting(nil))
			}
			if strings.HasPrefix(url, "ws") {
				client := &http.Client{Transport: &http.Transport{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
				}}
				wc, _, err := websocket.Dial(t.Context(), "ws://broker.example/mqtt", &websocket.DialOptions{ //nolint:bodyclose // there is none
					HTTPClient: client, Subprotocols: []string{"mqtt"},
				})
				if err != nil {
					t.Fatal(err)
				}
				nc = websocket.NetConn(t.Context(), wc, websocket.MessageBinary)
			}
			c := b.Over(nc, mqtt.V5)
			c.Send(&packet.Connect{Version: mqtt.V5, CleanStart: true, ClientID: t.Name(), KeepAlive: 60})
			if ack, ok := c.Next().(*packet.Connack); !ok || ack.Code != mqtt.Success {
				t.Fatalf("got %+v", ack)
			}
			for range 3 {
				waitIdle(t, b, 1)
				c.Send(&packet.Pingreq{})
				c.Expect(&packet.Pingresp{})
			}
			waitIdle(t, b, 1)
			_ = nc.Close()
			waitIdle(t, b, 0)
		})
	}
}

// Many connections are parked with different keep-alives: each is overdue in its
// own time, and one that spoke in between is not.
func TestIdleClientsTimeOutInTurn(t *testing.T) {
	b := startIdle(t)
	clients := make(map[string]*brokertest.Client)
	for i, keepAlive := range []uint16{3, 1, 0, 2, 1} {
		id := fmt.Sprintf("%d after %d", i, keepAlive)
		clients[id] = b.Connect(id, func(p *packet.Connect) { p.KeepAlive = keepAlive })
	}
	waitIdle(t, b, 5)
	clients["4 after 1"].Send(&packet.Pingreq{})
	clients["4 after 1"].Expect(&packet.Pingresp{})
	for _, id := range []string{"1 after 1", "4 after 1", "3 after 2", "0 after 3"} {
		if p, ok := clients[id].Next().(*packet.Disconnect); !ok || p.Code != mqtt.KeepAliveTimeout {
			t.Errorf("%s: got %+v", id, p)
		}
	}
	waitIdle(t, b, 1)
	clients["2 after 0"].Send(&packet.Pingreq{})
	clients["2 after 0"].Expect(&packet.Pingresp{})
}
