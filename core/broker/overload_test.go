package broker_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// A client without keep-alive may be silent for the idle timeout, whether it is
// waited for by a goroutine or is parked; one with a keep-alive for longer.
func TestIdleTimeout(t *testing.T) {
	for name, after := range map[string]time.Duration{"reader": time.Hour, "parked": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			b := brokertest.Start(t, broker.Options{Limits: broker.Limits{IdleTimeout: 100 * time.Millisecond, IdleAfter: after}})
			other := b.Connect("other", func(p *packet.Connect) { p.KeepAlive = 600 })
			silent := b.Connect("silent", func(p *packet.Connect) { p.KeepAlive = 0 })
			d, ok := silent.Next().(*packet.Disconnect)
			if !ok || d.Code != mqtt.KeepAliveTimeout {
				t.Errorf("%+v", d)
			}
			silent.ExpectClosed()
			other.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
		})
	}
	t.Run("changed", func(t *testing.T) {
		b := brokertest.Start(t, broker.Options{})
		silent := b.Connect("silent", func(p *packet.Connect) { p.KeepAlive = 0 })
		b.Reconfigure(broker.Options{SysInterval: -1, Limits: broker.Limits{IdleTimeout: 10 * time.Millisecond}})
		silent.Send(&packet.Pingreq{})
		silent.Expect(&packet.Pingresp{}, &packet.Disconnect{Code: mqtt.KeepAliveTimeout, Reason: "nothing was received in time"})
	})
}

// exchange publishes n numbered messages of QoS 1, one after the other, and
// expects each at the subscriber. It returns how long each took.
func exchange(pub, sub *brokertest.Client, topic string, n int) (took []time.Duration, err error) {
	for i := range n {
		begun := time.Now()
		text := strconv.Itoa(i)
		pub.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: topic, Payload: []byte(text), QoS: 1}})
		p, ok := sub.Next().(*packet.Publish)
		if !ok || string(p.Message.Payload) != text {
			return took, fmt.Errorf("message %d: got %+v", i, p)
		}
		took = append(took, time.Since(begun))
		sub.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
		if a, ok := pub.Next().(*packet.Ack); !ok || a.Code.Failed() {
			return took, fmt.Errorf("message %d: answered %+v", i, a)
		}
	}
	return took, nil
}

// When thousands connect at once, no more get in than the rate allows, those who
// are in notice nothing, and afterwards the door is open.
func TestReconnectStorm(t *testing.T) {
	const storm, together = 3000, 64
	rate := admission.Rate{PerSecond: 50, Burst: 100}
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{ConnectRate: rate}})
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(1, "t")
	begun := time.Now()
	var comings sync.WaitGroup
	for range together {
		comings.Go(func() {
			for range storm / together {
				nc, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", b.Addr)
				if err != nil {
					continue
				}
				_ = nc.SetDeadline(time.Now().Add(brokertest.Patience))
				_, _ = nc.Write([]byte("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"))
				_, _ = nc.Read(make([]byte, 4)) // CONNACK, or the end
				_ = nc.Close()
			}
		})
	}
	if _, err := exchange(pub, sub, "t", 300); err != nil {
		t.Error(err)
	}
	comings.Wait()
	most := rate.Burst + int(rate.PerSecond*time.Since(begun).Seconds()) + 1
	s := b.Stats()
	came, refused := int(s.Connects)-2, int(s.Refusals[broker.RefusedRate]) //nolint:gosec // few
	if came > most || refused < storm-together-most {
		t.Errorf("%d got in, %d were allowed, and %d refused", came, most, refused)
	}
	b.Reconfigure(broker.Options{SysInterval: -1})
	b.Connect("later")
}

// reading is a client that takes so many bytes of what is sent to it at a time.
func reading(t testing.TB, b *brokertest.Broker, filter string, size int, every time.Duration) {
	t.Helper()
	nc, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	c := b.In(t).Over(nc, mqtt.V5)
	c.Send(&packet.Connect{Version: mqtt.V5, ClientID: "reader", CleanStart: true},
		&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: filter, QoS: 0}}})
	for range 2 {
		c.Next()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, size)
		for ctx.Err() == nil {
			_ = nc.SetReadDeadline(time.Time{})
			if _, err := nc.Read(buf); err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(every):
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = nc.Close()
		<-ended
	})
}

// flood publishes to "flood" until the returned function is called, which says how
// much it was.
func flood(b *brokertest.Broker) (stop func() int) {
	c := b.Connect("flood")
	ctx, cancel := context.WithCancel(context.Background())
	sent := make(chan int)
	go func() {
		n := 0
		load := make([]byte, 1024)
		every := time.NewTicker(5 * time.Millisecond) // 10,000 messages a second
		defer every.Stop()
		for ctx.Err() == nil {
			ps := make([]packet.Packet, 50)
			for i := range ps {
				ps[i] = &packet.Publish{Message: mqtt.Message{Topic: "flood", Payload: load}}
			}
			c.Send(ps...)
			n += len(ps)
			<-every.C
		}
		sent <- n
	}()
	return func() int {
		cancel()
		return <-sent
	}
}

// A client that takes a byte a second of a flood keeps nobody else from anything,
// and what waits for it stays within its queue.
func TestSlowReader(t *testing.T) {
	const queue = 256 << 10
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{QueueBytes: queue}})
	reading(t, b, "flood", 1, time.Second)
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(1, "t")
	stop := flood(b)
	defer stop()
	for end := time.Now().Add(brokertest.Patience); b.Stats().Drops[hook.CauseQueueFull] == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the slow reader is not slow")
		}
	}
	if _, err := exchange(pub, sub, "t", 500); err != nil {
		t.Error(err)
	}
	if n := b.Stats().QueuedBytes; n > queue+4096 {
		t.Errorf("%d bytes wait in all queues", n)
	}
}

// BenchmarkSlowReader tells how long others' messages take, with a flood of 10,000
// messages a second, whose receiver takes all of it or a byte a second.
func BenchmarkSlowReader(b *testing.B) {
	for _, slow := range []bool{false, true} {
		b.Run(fmt.Sprintf("slow=%v", slow), func(b *testing.B) {
			at := brokertest.Start(b, broker.Options{})
			if slow {
				reading(b, at, "flood", 1, time.Second)
			} else {
				reading(b, at, "flood", 256<<10, 0)
			}
			sub, pub := at.Connect("sub"), at.Connect("pub")
			sub.Subscribe(1, "t")
			stop := flood(at)
			defer stop()
			b.ResetTimer()
			took, err := exchange(pub, sub, "t", max(b.N, 100))
			if err != nil {
				b.Fatal(err)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
		})
	}
}
