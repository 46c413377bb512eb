//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
)

// crowd is many clients that publish, each the next message once the one before
// has come back to a subscriber, which checks that nothing is lost, doubled or
// out of order, and that every message was decided once.
type crowd struct {
	t      *testing.T
	sub    *paho5.Client
	echoes []chan int // of each publisher: its messages as they arrive
	stop   chan struct{}
	done   sync.WaitGroup
	sent   atomic.Int64
	lost   atomic.Int64 // connections that ended

	mu       sync.Mutex // guards the fields below
	versions map[string]int
	wrong    []string
}

// newCrowd connects a subscriber and n publishers, half of them of MQTT 5.
func newCrowd(t *testing.T, p *proc, n int) *crowd {
	t.Helper()
	c := &crowd{t: t, echoes: make([]chan int, n), stop: make(chan struct{}), versions: make(map[string]int)}
	for i := range c.echoes {
		c.echoes[i] = make(chan int, 16)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	c.sub = paho5.NewClient(paho5.ClientConfig{
		Conn:               nc,
		OnServerDisconnect: func(*paho5.Disconnect) { c.lost.Add(1) },
		OnClientError:      func(error) { c.lost.Add(1) },
		OnPublishReceived: []func(paho5.PublishReceived) (bool, error){func(r paho5.PublishReceived) (bool, error) {
			c.arrived(r.Packet)
			return true, nil
		}},
	})
	if _, err := c.sub.Connect(ctx, &paho5.Connect{ClientID: "crowd", KeepAlive: 300, CleanStart: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.sub.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: "crowd/#", QoS: 2}}}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		c.join(p, i)
	}
	return c
}

// join connects a publisher and lets it begin.
func (c *crowd) join(p *proc, i int) {
	c.t.Helper()
	topic := fmt.Sprintf("crowd/%d", i)
	var publish func(qos byte, payload string) error
	if i%2 == 0 {
		pub := p.connect5(fmt.Sprintf("five-%d", i))
		publish = func(qos byte, payload string) error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, err := pub.Publish(ctx, &paho5.Publish{Topic: topic, QoS: qos, Payload: []byte(payload)})
			return err
		}
	} else {
		pub := p.connect3(fmt.Sprintf("three-%d", i))
		publish = func(qos byte, payload string) error {
			tk := pub.Publish(topic, qos, false, payload)
			if !tk.WaitTimeout(patience) {
				return errors.New("not acknowledged")
			}
			return tk.Error()
		}
	}
	c.done.Go(func() { c.publish(i, publish) })
}

func (c *crowd) publish(i int, publish func(qos byte, payload string) error) {
	for n := 0; ; n++ {
		select {
		case <-c.stop:
			return
		default:
		}
		if err := publish(byte(1+n%2), fmt.Sprintf("%d %d", i, n)); err != nil {
			c.lost.Add(1)
			c.complain("publisher %d, message %d: %v", i, n, err)
			return
		}
		c.sent.Add(1)
		select {
		case got := <-c.echoes[i]:
			if got != n {
				c.complain("publisher %d: message %d came where %d was due", i, got, n)
			}
		case <-time.After(patience):
			c.complain("publisher %d: message %d was lost", i, n)
			return
		}
	}
}

func (c *crowd) arrived(m *paho5.Publish) {
	var i, n int
	if _, err := fmt.Sscanf(string(m.Payload), "%d %d", &i, &n); err != nil {
		c.complain("payload %q", m.Payload)
		return
	}
	var by []string
	for _, u := range m.Properties.User {
		by = append(by, u.Value)
	}
	c.mu.Lock()
	c.versions[strings.Join(by, "+")]++
	c.mu.Unlock()
	select {
	case c.echoes[i] <- n:
	default:
		c.complain("publisher %d: message %d came again", i, n)
	}
}

func (c *crowd) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) < 20 {
		c.wrong = append(c.wrong, fmt.Sprintf(format, args...))
	}
}

// progress waits until some messages have gone through.
func (c *crowd) progress() {
	c.t.Helper()
	want := c.sent.Load() + int64(len(c.echoes))
	for end := time.Now().Add(patience); c.sent.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatal("no message goes through")
		}
	}
}

// finish ends the crowd: nobody was disconnected, and every message was decided
// by one version. It returns how many there were.
func (c *crowd) finish() int {
	c.t.Helper()
	close(c.stop)
	c.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.wrong {
		c.t.Error(w)
	}
	for i, echo := range c.echoes {
		if len(echo) > 0 {
			c.t.Errorf("publisher %d: %d messages came again", i, len(echo))
		}
	}
	if n := c.lost.Load(); n > 0 {
		c.t.Errorf("%d connections were lost", n)
	}
	sum := 0
	for by, n := range c.versions {
		sum += n
		if by == "" || strings.Contains(by, "+") {
			c.t.Errorf("%d messages were decided by %q", n, by)
		}
	}
	if sent := int(c.sent.Load()); sum != sent {
		c.t.Errorf("%d messages were sent and %d arrived", sent, sum)
	}
	c.t.Logf("%d messages, decided by %d versions", sum, len(c.versions))
	return sum
}
