//go:build unix

package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// The bounds of queues that are kept change by SIGHUP while messages flow: what
// all queues share, and what a full one does to a message, at once; what one queue
// may hold with the next connection of its client. What waits already stays, in
// order.
func TestReloadQueues(t *testing.T) {
	t.Parallel()
	s := keepingSite(t, "sessions: {queue_full: refuse, queue_messages: 10}\n")
	const first = "queue_full: refuse, queue_messages: 10}"
	before := string(s.read("gatehouse.yaml"))
	p := s.start()
	b := brokertest.At(t, p.addr)
	ended := make(chan struct{})
	var stop atomic.Bool
	var flowed atomic.Int64
	live := b.Connect("live")
	live.Subscribe(1, "live")
	sender := b.Connect("sender")
	go func() {
		defer close(ended)
		for n := 0; !stop.Load(); n++ {
			if code := acknowledged(sender, mqtt.Message{Topic: "live", Payload: fmt.Append(nil, n), QoS: 1}); code.Failed() {
				t.Errorf("message %d of the traffic: %v", n, code)
				return
			}
			m, ok := live.Next().(*packet.Publish)
			if !ok || string(m.Message.Payload) != fmt.Sprint(n) {
				t.Errorf("the traffic stops at %d: %+v", n, m)
				return
			}
			live.Send(&packet.Ack{Kind: packet.PUBACK, ID: m.ID})
			flowed.Add(1)
		}
	}()
	come := func() *brokertest.Client {
		return b.Connect("sub", brokertest.Resume, func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	}
	c := come()
	c.Subscribe(1, "q")
	c.Disconnect()
	pub := b.Connect("pub")
	next := 0
	fill := func(most int) (n int) {
		t.Helper()
		for ; n < most; n++ {
			switch code := acknowledged(pub, mqtt.Message{Topic: "q", Payload: fmt.Appendf(nil, "%06d", next), QoS: 1}); code {
			case mqtt.Success:
				next++
			case mqtt.QuotaExceeded:
				return n
			default:
				t.Fatalf("message %d: %v", next, code)
			}
		}
		return n
	}
	reloads := 0
	reload := func(sessions string) {
		t.Helper()
		s.write("gatehouse.yaml", strings.Replace(before, first, sessions+"}", 1))
		p.signal(syscall.SIGHUP)
		reloads++
		n := flowed.Load()
		for late := time.Now().Add(patience); strings.Count(p.log(), "configuration reloaded") < reloads || flowed.Load() < n+5; {
			if code := acknowledged(pub, mqtt.Message{Topic: "nobody", QoS: 1}); code.Failed() || time.Now().After(late) {
				t.Fatalf("%v, and no reload in time, or no traffic", code)
			}
		}
		if strings.Contains(p.log(), "next start") {
			t.Error("something waits for the next start")
		}
	}
	if n := fill(100); n != 10 {
		t.Errorf("%d messages fit in a queue of 10", n)
	}
	reload("queue_full: refuse, queue_messages: 30, queue_memory: 1KiB")
	if n := fill(100); n != 0 {
		t.Errorf("%d messages more fit before the client was back", n)
	}
	c = come()
	c.Drop()
	if n := fill(100); n != 20 && n != 21 { // one may have been sent
		t.Errorf("%d messages more fit in a queue of 30", n)
	}
	reload("queue_full: refuse, queue_messages: 1000, queue_bytes: 1KiB, queue_memory: 1KiB")
	c = come()
	c.Drop()
	n := fill(1000)
	if n == 0 || n > 170 {
		t.Errorf("%d messages more fit in 1 KiB", n)
	}
	reload("queue_full: drop-newest, queue_messages: 1000, queue_bytes: 1KiB, queue_memory: 1KiB")
	c = come()
	c.Drop()
	kept := next
	if n := fill(20); n != 20 {
		t.Errorf("%d of 20 messages were taken to be dropped", n)
	}
	reload("queue_full: refuse, queue_messages: 1000, queue_bytes: 1MiB, queue_memory: 1KiB, queue_bytes_total: 1B")
	stop.Store(true)
	<-ended
	c = come()
	for n := range kept {
		c.ExpectMessage("q", fmt.Sprintf("%06d", n))
	}
	c.ExpectNothing()
	p.stop()
}

// acknowledged publishes one message and returns how it was answered.
func acknowledged(c *brokertest.Client, m mqtt.Message) mqtt.ReasonCode {
	c.Send(&packet.Publish{ID: 1, Message: m})
	a, ok := c.Next().(*packet.Ack)
	if !ok {
		return mqtt.UnspecifiedError
	}
	if a.Kind == packet.PUBREC && !a.Code.Failed() {
		c.Send(&packet.Ack{Kind: packet.PUBREL, ID: 1})
		_ = c.Next()
	}
	return a.Code
}
