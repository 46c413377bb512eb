package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// holdingAt is hooks that keep a publish to a topic waiting: inside is closed when
// one waits, and it goes on when goOn is.
func holdingAt(t *testing.T, topic string) (h *hook.Hooks, inside, goOn chan struct{}) {
	t.Helper()
	h, inside, goOn = hook.NewHooks(nil), make(chan struct{}), make(chan struct{})
	t.Cleanup(h.Close)
	h.SetInterceptors([]hook.InterceptorEntry{rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish && c.Message.Topic == topic {
			close(inside)
			<-goOn
		}
	}).entry()})
	return h, inside, goOn
}

// overflowing publishes more than the queue of a session takes.
func overflowing(b *brokertest.Broker) {
	pub := b.Connect("pub")
	for i := range 10 {
		pub.Publish(mqtt.Message{Topic: "t", QoS: 1, Payload: fmt.Append(nil, i)}, mqtt.Success)
	}
}

func waitGone(t *testing.T, b *brokertest.Broker, id string) {
	t.Helper()
	for end := time.Now().Add(brokertest.Patience); ; time.Sleep(time.Millisecond) {
		if _, known := b.Sessions().Get(id); !known {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the session of %s is still there", id)
		}
	}
}

// A session that ends because its queue is full ends, whatever expiry its client
// says goodbye with: others were told that what is missing is kept.
func TestOverflowBeforeGoodbye(t *testing.T) {
	h, inside, goOn := holdingAt(t, "slow")
	b := narrowWith(t, 5, session.EndSession, h)
	s := b.Connect("s", brokertest.Resume, func(p *packet.Connect) { p.ReceiveMaximum = 1 })
	s.Subscribe(1, "t")
	s.Send(
		&packet.Publish{Message: mqtt.Message{Topic: "slow", Payload: []byte("x")}},
		&packet.Disconnect{SessionExpiry: 1000, HasSessionExpiry: true},
	)
	<-inside
	overflowing(b)
	close(goOn)
	waitGone(t, b, "s")
	if _, ack := b.TryConnect("s", brokertest.Resume); ack.SessionPresent {
		t.Error("the session is there")
	}
}

// The same while another connection takes it up.
func TestOverflowDuringTakeover(t *testing.T) {
	h, inside, goOn := holdingAt(t, "will")
	b := narrowWith(t, 5, session.EndSession, h)
	s := b.Connect("s", brokertest.Resume, func(p *packet.Connect) {
		p.ReceiveMaximum = 1
		p.Will = &packet.Will{Topic: "will", Payload: []byte("x")}
	})
	s.Subscribe(1, "t")
	type taken struct {
		c   *brokertest.Client
		ack *packet.Connack
	}
	done := make(chan taken)
	go func() {
		c, ack := b.TryConnect("s", brokertest.Resume)
		done <- taken{c, ack}
	}()
	<-inside
	overflowing(b)
	close(goOn)
	if got := <-done; got.ack.SessionPresent {
		for p := got.c.Next(); ; p = got.c.Next() {
			if d, ok := p.(*packet.Disconnect); ok {
				if d.Code != mqtt.QuotaExceeded {
					t.Errorf("it ended with %v", d.Code)
				}
				break
			}
		}
	}
	waitGone(t, b, "s")
}

// What is behind a message that ends the connection in the same read was handled,
// and is not handled again.
func TestHandledBehindRefused(t *testing.T) {
	b := narrow(t, 5, session.RefuseMessage)
	away := b.Connect("away", brokertest.Resume)
	away.Subscribe(1, "full")
	away.Disconnect()
	fill := b.Connect("fill")
	for range 5 {
		fill.Publish(mqtt.Message{Topic: "full", QoS: 1}, mqtt.Success)
	}
	here := b.Connect("here")
	here.Subscribe(2, "here")
	pub := b.Connect("pub", brokertest.V311, brokertest.Resume)
	pub.Send(
		&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "full", QoS: 2, Payload: []byte("a")}},
		&packet.Publish{ID: 2, Message: mqtt.Message{Topic: "here", QoS: 2, Payload: []byte("b")}},
	)
	pub.ExpectClosed()
	m := here.Next().(*packet.Publish)
	here.Send(&packet.Ack{Kind: packet.PUBREC, ID: m.ID})
	here.Next()
	here.Send(&packet.Ack{Kind: packet.PUBCOMP, ID: m.ID})
	pub, ack := b.TryConnect("pub", brokertest.V311, brokertest.Resume)
	if !ack.SessionPresent {
		t.Fatal("the publisher's session is gone")
	}
	pub.Send(&packet.Publish{ID: 2, Dup: true, Message: mqtt.Message{Topic: "here", QoS: 2, Payload: []byte("b")}})
	pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 2})
	here.ExpectNothing()
}

// A message that is refused for want of room is not retained either.
func TestRefusedIsNotRetained(t *testing.T) {
	b := narrow(t, 1, session.RefuseMessage)
	away := b.Connect("away", brokertest.Resume)
	away.Subscribe(1, "t")
	away.Disconnect()
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1, Retain: true, Payload: []byte("first")}, mqtt.Success)
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1, Retain: true, Payload: []byte("second")}, mqtt.QuotaExceeded)
	late := b.Connect("late")
	late.Subscribe(0, "t")
	late.ExpectMessage("t", "first")
	late.ExpectNothing()
}
