package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// queuedMessages is how many messages tests of full queues send: 5,000, or what
// GATEHOUSE_TEST_QUEUED says, 100000 for example.
func queuedMessages(t *testing.T) int {
	text := os.Getenv("GATEHOUSE_TEST_QUEUED")
	if text == "" {
		return 5000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const wideQueues = "limits: {queue_messages: 1000000, queue_bytes: 1GiB, in_flight: 10000}\n"

// keepingSite is a site without plugins.
func keepingSite(t *testing.T, cfg string) *site {
	s := newSite(t, cfg)
	s.write("plugins/.keep", "")
	return s
}

// What was acknowledged to the publisher is there after kill -9, complete and in
// order.
func TestQueueSurvivesKill(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{"sync", "interval", "none"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			n := queuedMessages(t)
			s := keepingSite(t, wideQueues+"sessions: {durability: "+durability+"}\n")
			p := s.start()
			b := brokertest.At(t, p.addr)
			sub := b.Connect("sub", brokertest.Resume)
			sub.Subscribe(1, "q/#")
			sub.Send(&packet.Disconnect{})
			sub.ExpectClosed()
			began := time.Now()
			fillQueue(b, n)
			filled := time.Since(began)
			p.kill()

			began = time.Now()
			p = s.start()
			started := time.Since(began)
			began = time.Now()
			drainQueue(t, brokertest.At(t, p.addr), n)
			t.Logf("%d messages with durability %s: filled at %.0f/s, started in %v, drained at %.0f/s",
				n, durability, float64(n)/filled.Seconds(), started, float64(n)/time.Since(began).Seconds())
			p.stop()
			var out, errs strings.Builder
			run([]string{"store", "check", "--data-dir", s.path("data")}, nil, &out, &errs)
			if !strings.Contains(out.String(), "is good: 1 sessions, 1 subscriptions, 0 messages") {
				t.Errorf("store check: %s%s", &out, &errs)
			}
			p = s.start()
			again, _ := brokertest.At(t, p.addr).TryConnect("sub", brokertest.Resume)
			again.ExpectNothing()
		})
	}
}

// numbered is the payload of a message, of at least a size.
func numbered(i, size int) []byte { return fmt.Appendf(nil, "%0*d", size, i) }

// fillQueue publishes n messages with QoS 1 and returns when all are acknowledged.
func fillQueue(b *brokertest.Broker, n int) { fillQueueWith(b, n, 0) }

func fillQueueWith(b *brokertest.Broker, n, size int) {
	const window = 1000
	pub := b.Connect("pub")
	sent := 0
	send := func(most int) {
		var ps []packet.Packet
		for ; sent < n && most > 0; most-- {
			id := uint16(sent%window + 1)
			ps = append(ps, &packet.Publish{ID: id, Message: mqtt.Message{Topic: "q/t", Payload: numbered(sent, size), QoS: 1}})
			sent++
		}
		if ps != nil {
			pub.Send(ps...)
		}
	}
	send(window)
	for acked := 1; acked <= n; acked++ {
		pub.Next()
		if acked%100 == 0 {
			send(100)
		}
	}
}

// drainQueue takes up the session and expects the messages of fillQueue.
func drainQueue(t *testing.T, b *brokertest.Broker, n int) {
	t.Helper()
	drainQueueWith(t, b, n, 0)
}

func drainQueueWith(t *testing.T, b *brokertest.Broker, n, size int) {
	t.Helper()
	sub, ack := b.TryConnect("sub", brokertest.Resume)
	if !ack.SessionPresent {
		t.Fatal("the session is gone")
	}
	var acks []packet.Packet
	for i := range n {
		p, ok := sub.Next().(*packet.Publish)
		if !ok || !bytes.Equal(p.Message.Payload, numbered(i, size)) {
			t.Fatalf("message %d is another: %T", i, p)
		}
		acks = append(acks, &packet.Ack{Kind: packet.PUBACK, ID: p.ID})
		if len(acks) == 100 || i == n-1 {
			sub.Send(acks...)
			acks = acks[:0]
		}
	}
	sub.ExpectNothing()
	sub.Send(&packet.Disconnect{})
	sub.ExpectClosed()
}

// enduring is a client whose state of QoS 2 outlives its connections and those
// who it is connected to.
type enduring struct {
	t  *testing.T
	id string

	nc  net.Conn
	dec *packet.Decoder
	enc packet.Encoder
}

// connect tries until it has a connection, or stop is closed.
func (c *enduring) connect(addr func() string, stop <-chan struct{}) bool {
	for {
		select {
		case <-stop:
			return false
		default:
		}
		nc, err := net.Dial("tcp", addr())
		if err != nil {
			time.Sleep(time.Millisecond) // it is being started
			continue
		}
		c.nc, c.dec, c.enc = nc, packet.NewClientDecoder(mqtt.V5, 0), packet.Encoder{Version: mqtt.V5}
		c.send(&packet.Connect{Version: mqtt.V5, ClientID: c.id, SessionExpiry: 3600, HasSessionExpiry: true, ReceiveMaximum: 100})
		if ack, ok := c.next().(*packet.Connack); ok && ack.Code == mqtt.Success {
			return true
		}
		_ = nc.Close()
	}
}

func (c *enduring) send(ps ...packet.Packet) {
	var buf []byte
	for _, p := range ps {
		buf, _ = c.enc.Append(buf, p)
	}
	_, _ = c.nc.Write(buf) // what is read next tells of failures
}

// next returns nil when the connection is over.
func (c *enduring) next() packet.Packet {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		p, err := c.dec.Next()
		if p != nil {
			return p
		}
		if err == nil {
			err = c.dec.Fill(c.nc)
		}
		if err != nil {
			return nil
		}
	}
}

// publishExactly sends n messages with QoS 2, each until it is complete.
func (c *enduring) publishExactly(n int, addr func() string) {
	const window = 20
	released := make(map[uint16]bool) // identifiers in use
	content := make(map[uint16]int)
	var order []uint16
	sent := 0
	publish := func(id uint16, dup bool) packet.Packet {
		return &packet.Publish{ID: id, Dup: dup, Message: mqtt.Message{Topic: "x/t", Payload: []byte(strconv.Itoa(content[id])), QoS: 2}}
	}
	for len(order) > 0 || sent < n {
		c.connect(addr, nil)
		for _, id := range order {
			if released[id] {
				c.send(&packet.Ack{Kind: packet.PUBREL, ID: id})
			} else {
				c.send(publish(id, true))
			}
		}
		for len(order) > 0 || sent < n {
			for len(order) < window && sent < n {
				id := uint16(1)
				for _, used := content[id]; used; _, used = content[id] {
					id++
				}
				content[id] = sent
				order = append(order, id)
				sent++
				c.send(publish(id, false))
			}
			ack, ok := c.next().(*packet.Ack)
			if !ok {
				break
			}
			switch ack.Kind {
			case packet.PUBREC:
				released[ack.ID] = true
				c.send(&packet.Ack{Kind: packet.PUBREL, ID: ack.ID})
			case packet.PUBCOMP:
				delete(released, ack.ID)
				delete(content, ack.ID)
				for i, id := range order {
					if id == ack.ID {
						order = append(order[:i], order[i+1:]...)
						break
					}
				}
			}
		}
		_ = c.nc.Close()
	}
}

// receiveExactly returns what it was sent until it has n messages.
func (c *enduring) receiveExactly(n int, addr func() string, stop <-chan struct{}) (got []int) {
	held := make(map[uint16]bool)
	for len(got) < n && c.connect(addr, stop) {
		for len(got) < n {
			p := c.next()
			if p == nil {
				break
			}
			switch p := p.(type) {
			case *packet.Publish:
				if !held[p.ID] {
					held[p.ID] = true
					v, _ := strconv.Atoi(string(p.Message.Payload))
					got = append(got, v)
				}
				c.send(&packet.Ack{Kind: packet.PUBREC, ID: p.ID})
			case *packet.Ack:
				if p.Kind == packet.PUBREL {
					delete(held, p.ID)
					c.send(&packet.Ack{Kind: packet.PUBCOMP, ID: p.ID})
				}
			}
		}
		_ = c.nc.Close()
	}
	return got
}

// Messages of QoS 2 arrive once each and in order, however often the broker is
// killed between any two packets.
func TestExactlyOnceAcrossKills(t *testing.T) {
	t.Parallel()
	const messages, kills = 1500, 8
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := keepingSite(t, "sessions: {durability: interval}\n")
	p := s.start()
	var mu sync.Mutex
	addr := func() string {
		mu.Lock()
		defer mu.Unlock()
		return p.addr
	}
	sub := brokertest.At(t, p.addr).Connect("sub", brokertest.Resume)
	sub.Subscribe(2, "x/#")
	sub.Send(&packet.Disconnect{})
	sub.ExpectClosed()

	stop := make(chan struct{})
	published := make(chan struct{})
	received := make(chan []int, 1)
	go func() {
		defer close(published)
		(&enduring{t: t, id: "pub"}).publishExactly(messages, addr)
	}()
	go func() { received <- (&enduring{t: t, id: "sub"}).receiveExactly(messages, addr, stop) }()
	done := false
	for range kills {
		select {
		case <-published:
			done = true
		case <-time.After(time.Duration(random.IntN(60)) * time.Millisecond):
		}
		if done {
			break
		}
		p.kill()
		next := s.start()
		mu.Lock()
		p = next
		mu.Unlock()
	}
	<-published
	select {
	case got := <-received:
		for i, v := range got {
			if i != v {
				t.Fatalf("seed %d: message %d came as number %d: %s", seed, v, i, fmt.Sprint(got[max(0, i-5):min(len(got), i+5)]))
			}
		}
	case <-time.After(patience):
		close(stop)
		t.Fatalf("seed %d: not everything arrives", seed)
	}
}

// Subscriptions and wills, also those that are delayed, outlive the broker.
func TestSessionsSurviveKill(t *testing.T) {
	t.Parallel()
	s := keepingSite(t, "")
	p := s.start()
	b := brokertest.At(t, p.addr)
	watch := b.Connect("watch", brokertest.Resume)
	watch.Subscribe(1, "will/#", "a/+")
	will := func(topic string, delay uint32) func(*packet.Connect) {
		return func(c *packet.Connect) {
			c.Will = &packet.Will{Topic: topic, Payload: []byte("gone"), QoS: 1, Delay: delay}
		}
	}
	b.Connect("now", brokertest.Resume, will("will/now", 0))
	later := b.Connect("later", brokertest.Resume, will("will/later", 3600))
	clean := b.Connect("clean")
	for _, c := range []*brokertest.Client{later, clean} {
		c.Subscribe(0, "b") // and so what the broker knows of them is written
	}
	p.kill()

	p = s.start()
	b = brokertest.At(t, p.addr)
	watch, ack := b.TryConnect("watch", brokertest.Resume)
	if !ack.SessionPresent {
		t.Fatal("the session is gone")
	}
	watch.ExpectMessage("will/now", "gone")
	b.Connect("pub").Publish(mqtt.Message{Topic: "a/b", Payload: []byte("1"), QoS: 1}, mqtt.Success)
	watch.ExpectMessage("a/b", "1")
	if _, ack := b.TryConnect("clean", func(c *packet.Connect) { c.CleanStart = false }); ack.SessionPresent {
		t.Error("a session without expiry is there")
	}
	if _, ack := b.TryConnect("later", brokertest.Resume); !ack.SessionPresent {
		t.Error("a session that has time left is gone")
	}
	watch.ExpectNothing() // the delayed will waits
}
