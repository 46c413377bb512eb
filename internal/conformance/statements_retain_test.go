package conformance_test

import (
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// expectRetained subscribes anew and expects these messages, by topic, and no
// other.
func expectRetained(t *testing.T, b *brokertest.Broker, v mqtt.Version, filter string, want map[string]mqtt.Message) {
	t.Helper()
	c := b.Connect("late", speaking(v))
	c.Subscribe(2, filter)
	for _, p := range receive(t, c, len(want)) {
		m, ok := want[p.Message.Topic]
		if !ok || string(p.Message.Payload) != string(m.Payload) || p.Message.QoS != m.QoS || !p.Message.Retain || p.Dup {
			t.Errorf("got %+v, want %+v", p, m)
		}
	}
	nothing(c)
	c.Disconnect()
}

// [MQTT-3.3.1-5] to [MQTT-3.3.1-8], MQTT-3.3.1-5, -7, -10 to -12 of 3.1.1: what
// is kept for a topic.
func TestRetained(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		pub, sub := b.Connect("pub", speaking(v)), b.Connect("sub", speaking(v))
		sub.Subscribe(2, "r/#")
		publish := func(m mqtt.Message) {
			send(t, pub, m)
			if got := receive(t, sub, 1)[0].Message; got.Topic != m.Topic || string(got.Payload) != string(m.Payload) || got.Retain {
				t.Errorf("got %+v", got)
			}
		}
		state := make(map[string]mqtt.Message)
		expect := func() { expectRetained(t, b, v, "r/#", state) }
		for q := range mqtt.QoS(3) {
			m := retained("r/"+number(int(q)), "first", q)
			publish(m)
			state[m.Topic] = m
		}
		expect()
		for q := range mqtt.QoS(3) { // replaced, by any QoS
			m := retained("r/"+number(int(q)), "second", 2-q)
			publish(m)
			state[m.Topic] = m
		}
		expect()
		publish(say("r/0", "not retained", 1))
		publish(say("r/0", "", 1)) // an empty payload alone removes nothing
		expect()
		publish(retained("r/0", "", 0))
		delete(state, "r/0")
		expect()
		publish(retained("r/never", "", 1))
		expect()
		publish(retained("r/1", "", 2))
		publish(retained("r/2", "", 1))
		clear(state)
		expect()
	})
}

// [MQTT-3.3.1-9] to [MQTT-3.3.1-11] [MQTT-3.8.4-4]: Retain Handling.
func TestRetainHandling(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	send(t, pub, retained("r", "x", 1))
	for _, tt := range []struct {
		name          string
		handling      mqtt.RetainHandling
		first, second bool
	}{
		{"send", mqtt.RetainSend, true, true},
		{"send if new", mqtt.RetainSendIfNew, true, false},
		{"do not send", mqtt.RetainDoNotSend, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Connect("c")
			for n, sent := range []bool{tt.first, tt.second, tt.second} {
				subscribe(t, c, mqtt.Subscription{Filter: "r", QoS: 1, RetainHandling: tt.handling})
				if sent {
					c.ExpectMessage("r", "x")
				}
				c.ExpectNothing()
				nothing(c)
				if n == 1 { // another filter is another subscription
					subscribe(t, c, mqtt.Subscription{Filter: "+", QoS: 1, RetainHandling: tt.handling})
					if tt.first {
						c.ExpectMessage("r", "x")
					}
					nothing(c)
				}
			}
			unsubscribe(t, c, "r")
			subscribe(t, c, mqtt.Subscription{Filter: "r", QoS: 1, RetainHandling: tt.handling})
			if tt.first {
				c.ExpectMessage("r", "x")
			}
			nothing(c)
		})
	}
	t.Run("subscription of a session", func(t *testing.T) { // exists, wherever the client was
		c := b.Connect("kept", keeping(60))
		c.Subscribe(0, "r")
		c.ExpectMessage("r", "x")
		c.Disconnect()
		c = b.Connect("kept", keeping(60))
		subscribe(t, c, mqtt.Subscription{Filter: "r", RetainHandling: mqtt.RetainSendIfNew})
		nothing(c)
		subscribe(t, c, mqtt.Subscription{Filter: "r", RetainHandling: mqtt.RetainSend})
		c.ExpectMessage("r", "x")
	})
	t.Run("shared", func(t *testing.T) { // section 3.8.4: none for shared subscriptions
		c := b.Connect("shared")
		subscribe(t, c, mqtt.Subscription{Filter: "$share/g/r", QoS: 1})
		nothing(c)
	})
}

// [MQTT-3.3.1-12] [MQTT-3.3.1-13], MQTT-3.3.1-8 and -9 of 3.1.1: the RETAIN flag
// of what is forwarded.
func TestRetainFlag(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		pub, sub := b.Connect("pub"), b.Connect("sub", speaking(v))
		sub.Subscribe(1, "r")
		for _, retain := range []bool{true, false} {
			m := say("r", "x", 1)
			m.Retain = retain
			send(t, pub, m)
			if sub.ExpectMessage("r", "x").Message.Retain {
				t.Error("RETAIN for an established subscription")
			}
		}
		sub.Subscribe(1, "r") // again
		if !sub.ExpectMessage("r", "x").Message.Retain {
			t.Error("no RETAIN for a new subscription")
		}
	})
	t.Run("as published", func(t *testing.T) {
		b := start(t)
		pub, sub := b.Connect("pub"), b.Connect("sub")
		subscribe(t, sub, mqtt.Subscription{Filter: "r", QoS: 1, RetainAsPublished: true})
		for _, retain := range []bool{true, false} {
			m := say("r", "x", 1)
			m.Retain = retain
			send(t, pub, m)
			if got := sub.ExpectMessage("r", "x").Message.Retain; got != retain {
				t.Errorf("published with RETAIN %v, got %v", retain, got)
			}
		}
		subscribe(t, sub, mqtt.Subscription{Filter: "r", QoS: 1})
		if !sub.ExpectMessage("r", "x").Message.Retain {
			t.Error("no RETAIN for a new subscription")
		}
	})
	t.Run("as published, queued", func(t *testing.T) {
		b := start(t)
		c := b.Connect("c", keeping(60))
		subscribe(t, c, mqtt.Subscription{Filter: "r", QoS: 1, RetainAsPublished: true})
		c.Disconnect()
		send(t, b.Connect("pub"), retained("r", "x", 1))
		if c = b.Connect("c", keeping(60)); !c.ExpectMessage("r", "x").Message.Retain {
			t.Error("no RETAIN")
		}
	})
}

// MQTT-3.3.1-6 of 3.1.1: the last message of each matching topic, once for each
// of the subscription's filters, with the lower QoS [MQTT-3.8.4-8].
func TestRetainedPerFilter(t *testing.T) {
	b := start(t)
	pub, c := b.Connect("pub"), b.Connect("c")
	for _, m := range []mqtt.Message{retained("a/1", "x", 2), retained("a/2", "y", 0), retained("b", "z", 1)} {
		send(t, pub, m)
	}
	c.Send(subscribeTo(7, "a/1", "a/#", "c"))
	c.Next()
	got := make(map[string]int)
	for _, p := range receive(t, c, 3) {
		got[p.Message.Topic]++
		if p.Message.QoS > 1 || len(p.SubscriptionIDs) != 1 || p.SubscriptionIDs[0] != 7 {
			t.Errorf("got %+v", p)
		}
	}
	nothing(c)
	if got["a/1"] != 2 || got["a/2"] != 1 {
		t.Errorf("got %v", got)
	}
}
