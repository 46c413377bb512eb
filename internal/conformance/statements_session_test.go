package conformance_test

import (
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// [MQTT-3.1.2-23] [MQTT-4.1.0-1] [MQTT-4.1.0-2], MQTT-4.1.0-1 and -2 of 3.1.1:
// how long a session outlives its connection.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := start(t)
	end := func(seconds uint32) *packet.Disconnect {
		return &packet.Disconnect{SessionExpiry: seconds, HasSessionExpiry: true}
	}
	cases := []struct {
		name    string
		connect uint32
		bye     *packet.Disconnect // nil: the network fails
		atOnce  bool               // the session is there right afterwards
		later   bool               // and two seconds later
	}{
		{"zero", 0, &packet.Disconnect{}, false, false},
		{"zero, network fails", 0, nil, false, false},
		{"one second", 1, &packet.Disconnect{}, true, false},
		{"one second, network fails", 1, nil, true, false},
		{"never", 0xFFFFFFFF, &packet.Disconnect{}, true, true},
		{"changed to zero", 3600, end(0), false, false},
		{"changed to one second", 3600, end(1), true, false},
		{"changed to an hour", 1, end(3600), true, true},
		{"changed to never", 1, end(0xFFFFFFFF), true, true},
	}
	leave := func(c *brokertest.Client, bye *packet.Disconnect) {
		if bye == nil {
			c.Drop()
			return
		}
		c.Send(bye)
		c.ExpectClosed()
	}
	for _, tt := range cases {
		leave(b.Connect(tt.name, keeping(tt.connect)), tt.bye)
	}
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311} {
		b.Connect(v.String(), speaking(v), keeping(0)).Disconnect() // for ever
		b.Connect(v.String()+" clean", speaking(v)).Disconnect()
	}
	deadline := time.Now().Add(2 * time.Second)
	for _, tt := range cases { // another identifier, so that the first ones stay as they are
		c := b.Connect(tt.name+"!", keeping(tt.connect))
		c.Subscribe(0, "x")
		leave(c, tt.bye)
		if tt.bye == nil {
			continue // the broker may not know yet
		}
		_, a := b.TryConnect(tt.name+"!", keeping(0))
		t.Run(tt.name+" at once", func(t *testing.T) { present(t, mqtt.V5, a, tt.atOnce) })
	}
	time.Sleep(time.Until(deadline)) // for the sessions' clock, whose unit is a second
	for _, tt := range cases {
		_, a := b.TryConnect(tt.name, keeping(0))
		t.Run(tt.name, func(t *testing.T) { present(t, mqtt.V5, a, tt.later) })
	}
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311} {
		_, a := b.TryConnect(v.String(), brokertest.V311, keeping(0))
		present(t, v, a, true)
		_, a = b.TryConnect(v.String()+" clean", brokertest.V311, keeping(0))
		present(t, mqtt.V311, a, false)
	}
}

// A session that ends takes its subscriptions along; one that is connected
// never ends, however short its expiry.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	b := start(t)
	c := b.Connect("c", keeping(1))
	c.Subscribe(1, "t")
	time.Sleep(1500 * time.Millisecond)
	pub := b.Connect("pub")
	pub.Publish(say("t", "x", 1), mqtt.Success)
	c.ExpectMessage("t", "x")
	c.Disconnect()
	pub.Publish(say("t", "y", 1), mqtt.Success)
	gone(t, b, 1)
	pub.Publish(say("t", "z", 1), mqtt.NoMatchingSubscribers)
	if n := b.Stats().ExpiredSessions; n != 1 {
		t.Errorf("%d expired sessions", n)
	}
}

// The server caps the Session Expiry Interval and says so; DISCONNECT cannot
// get around the cap.
func TestSessionExpiryCapped(t *testing.T) {
	t.Parallel()
	most := uint32(1)
	for name, b := range map[string]*brokertest.Broker{
		"by the configuration": startLimited(t, broker.Limits{SessionExpiry: most}),
		"by a validator": startAsking(t, deciding(hook.Decision{
			Verdict: hook.Allow, Limits: hook.Limits{SessionExpiry: &most},
		})),
	} {
		t.Run(name, func(t *testing.T) {
			for _, asked := range []uint32{2, 0xFFFFFFFF} {
				_, a := b.TryConnect("c", keeping(asked))
				if !a.HasSessionExpiry || a.SessionExpiry != 1 {
					t.Errorf("asked for %d: got %+v", asked, a)
				}
			}
			c, a := b.TryConnect("c", keeping(1))
			if a.HasSessionExpiry {
				t.Errorf("within the cap: got %+v", a)
			}
			c.Send(&packet.Disconnect{SessionExpiry: 3600, HasSessionExpiry: true})
			c.ExpectClosed()
			gone(t, b, 0)
		})
	}
}

// Section 3.14.2.2.2: a session that was to end with its connection cannot be
// kept by DISCONNECT.
func TestSessionExpiryRaisedFromZero(t *testing.T) {
	b := start(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "will")
	c := b.Connect("c", leaving(packet.Will{Topic: "will"}))
	c.Send(&packet.Disconnect{SessionExpiry: 1, HasSessionExpiry: true})
	closes(t, c, mqtt.V5, mqtt.ProtocolError)
	watcher.ExpectMessage("will", "")
}

// [MQTT-3.1.4-3], MQTT-3.1.4-2 of 3.1.1: the older connection goes.
func TestTakeover(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		pub := b.Connect("pub")
		first := b.Connect("c", speaking(v), keeping(60))
		first.Subscribe(2, "t")
		pub.Publish(say("t", "1", 1), 0)
		got := next(t, first)
		second, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, true)
		closes(t, first, v, mqtt.SessionTakenOver)
		// [MQTT-3.1.2-5]: what the first had not acknowledged goes to the second.
		again := next(t, second)
		if again.ID != got.ID || !again.Dup {
			t.Errorf("got %+v, then %+v", got, again)
		}
		second.Send(ack(packet.PUBACK, again.ID))
		third, a := b.TryConnect("c", speaking(v))
		present(t, v, a, false)
		closes(t, second, v, mqtt.SessionTakenOver)
		pub.Publish(say("t", "2", 1), mqtt.NoMatchingSubscribers)
		nothing(third)
		// A session that is to end with its connection ends by the takeover.
		fourth, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, false)
		nothing(fourth)
	})
}

// MQTT-3.1.2-5 of 3.1.1, [MQTT-4.5.0-1]: QoS 1 and 2 messages are kept for who
// is away, with their own QoS, in order.
func TestQueuedWhileAway(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		c := b.Connect("c", speaking(v), keeping(60))
		c.Subscribe(2, "t/#")
		c.Disconnect()
		pub := b.Connect("pub")
		for i := range 10 {
			send(t, pub, say("t/"+number(i%3), number(i), mqtt.QoS(i%3)))
		}
		c = b.Connect("c", speaking(v), keeping(60))
		for n, p := range receive(t, c, 6) {
			i := n/2*3 + n%2 + 1 // all but those of QoS 0
			if m := p.Message; m.Topic != "t/"+number(i%3) || string(m.Payload) != number(i) || m.QoS != mqtt.QoS(i%3) || p.Dup {
				t.Errorf("message %d: got %+v", n, p)
			}
		}
		nothing(c)
	})
}

// Clients of one version may take up what another version left.
func TestSessionAcrossVersions(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	for i, v := range []mqtt.Version{mqtt.V31, mqtt.V5, mqtt.V311, mqtt.V5, mqtt.V31} {
		c, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, i > 0)
		if i == 0 {
			c.Subscribe(2, "t")
		}
		for n, p := range receive(t, c, i) {
			if m := p.Message; string(m.Payload) != number(n) || (m.Properties != nil) != (v == mqtt.V5) {
				t.Errorf("message %d: got %+v", n, p)
			}
		}
		c.Disconnect()
		for n := range i + 1 {
			m := say("t", number(n), mqtt.QoS(1+n%2))
			m.Properties = &mqtt.Properties{ContentType: "c"}
			send(t, pub, m)
		}
	}
}
