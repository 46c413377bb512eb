package conformance_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// [MQTT-3.1.0-1]: CONNECT comes first; [MQTT-3.1.0-2]: and once.
func TestConnectFirstAndOnce(t *testing.T) {
	b := start(t)
	for _, first := range []string{`c0 00`, `82 ( 0001 "a" 00 )`, `30 ( "a" 'x' )`, `62 02 0001`} {
		c := b.Dial(mqtt.V5)
		c.SendBytes(wire.Bytes(first))
		c.ExpectClosed()
	}
	every(t, func(t *testing.T, v mqtt.Version) {
		c := b.Connect("c", speaking(v))
		c.Send(&packet.Connect{Version: v, ClientID: "c", CleanStart: true})
		closes(t, c, v, mqtt.ProtocolError)
	})
}

// [MQTT-3.1.2-1] [MQTT-3.1.2-2]: other protocols are refused, in the form that
// the peer is most likely to read.
func TestUnsupportedProtocol(t *testing.T) {
	b := start(t)
	for _, tt := range []struct {
		name, connect string
		answer        string
	}{
		{"level 6", `10 ( "MQTT" 06 02 003c 00 "c" )`, `20 03 00 84 00`},
		{"level 0", `10 ( "MQTT" 00 02 003c "c" )`, `20 02 00 01`},
		{"name of another protocol", `10 ( "MQTX" 05 02 003c 00 "c" )`, `20 03 00 84 00`},
		{"name and level of different versions", `10 ( "MQIsdp" 04 02 003c "c" )`, `20 02 00 01`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := wire.Bytes(tt.answer)
			v := mqtt.V311
			if want[1] == 3 {
				v = mqtt.V5
			}
			c := b.Dial(v)
			c.SendBytes(wire.Bytes(tt.connect))
			a, ok := c.Next().(*packet.Connack)
			if !ok || a.Code != mqtt.UnsupportedProtocolVersion {
				t.Errorf("got %+v", a)
			}
			c.ExpectClosed()
		})
	}
}

// [MQTT-3.1.2-4] to [MQTT-3.1.2-6], [MQTT-3.2.2-2] [MQTT-3.2.2-3]: what a clean
// start throws away and what else is taken up.
func TestCleanStart(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		pub := b.Connect("pub")
		c, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, false)
		c.Subscribe(1, "kept")
		c.Disconnect()
		pub.Publish(say("kept", "1", 1), 0)

		c, a = b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, true)
		c.ExpectMessage("kept", "1")
		pub.Publish(say("kept", "2", 1), 0)
		c.ExpectMessage("kept", "2")
		c.Disconnect()
		pub.Publish(say("kept", "3", 1), 0)
		send(t, pub, retained("left", "r", 1))

		c, a = b.TryConnect("c", speaking(v))
		present(t, v, a, false)
		pub.Publish(say("kept", "4", 1), mqtt.NoMatchingSubscribers)
		nothing(c)
		c.Disconnect()
		c, a = b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, false)
		nothing(c)
		// MQTT-3.1.2-7 of 3.1.1: retained messages belong to no session.
		c.Subscribe(1, "left")
		c.ExpectMessage("left", "r")
	})
}

// [MQTT-3.1.2-3] and the other rules for the flags are the decoder's; here they
// meet a connection, which is closed (3.1.1) or told (MQTT 5).
func TestConnectFlags(t *testing.T) {
	b := start(t)
	for _, tt := range []struct{ name, three, five string }{
		{"reserved flag", `10 ( "MQTT" 04 03 003c "c" )`, `10 ( "MQTT" 05 03 003c 00 "c" )`},
		{"will QoS 3", `10 ( "MQTT" 04 1e 003c "c" "w" "p" )`, `10 ( "MQTT" 05 1e 003c 00 "c" 00 "w" "p" )`},
		{"will QoS without will", `10 ( "MQTT" 04 0a 003c "c" )`, `10 ( "MQTT" 05 0a 003c 00 "c" )`},
		{"will retain without will", `10 ( "MQTT" 04 22 003c "c" )`, `10 ( "MQTT" 05 22 003c 00 "c" )`},
		{"will topic missing", `10 ( "MQTT" 04 06 003c "c" )`, `10 ( "MQTT" 05 06 003c 00 "c" 00 )`},
		{"user name missing", `10 ( "MQTT" 04 82 003c "c" )`, `10 ( "MQTT" 05 82 003c 00 "c" )`},
		{"user name without its flag", `10 ( "MQTT" 04 02 003c "c" "u" )`, `10 ( "MQTT" 05 02 003c 00 "c" "u" )`},
		{"password missing", `10 ( "MQTT" 04 c2 003c "c" "u" )`, `10 ( "MQTT" 05 42 003c 00 "c" )`},
		{"client identifier missing", `10 ( "MQTT" 04 02 003c )`, `10 ( "MQTT" 05 02 003c 00 )`},
		{"user name is not UTF-8", `10 ( "MQTT" 04 82 003c "c" [ c328 ] )`, `10 ( "MQTT" 05 82 003c 00 "c" [ c328 ] )`},
		{
			"will topic is not UTF-8", `10 ( "MQTT" 04 06 003c "c" [ c328 ] "p" )`,
			`10 ( "MQTT" 05 06 003c 00 "c" 00 [ c328 ] "p" )`,
		},
		{"client identifier is not UTF-8", `10 ( "MQTT" 04 02 003c [ c328 ] )`, `10 ( "MQTT" 05 02 003c 00 [ c328 ] )`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Dial(mqtt.V311)
			c.SendBytes(wire.Bytes(tt.three))
			c.ExpectClosed() // without CONNACK: MQTT-3.1.4-1 of 3.1.1
			c = b.Dial(mqtt.V5)
			c.SendBytes(wire.Bytes(tt.five))
			if a, ok := c.Next().(*packet.Connack); !ok || a.Code != mqtt.MalformedPacket || a.SessionPresent {
				t.Errorf("got %+v", a)
			}
			c.ExpectClosed()
		})
	}
	t.Run("password without user name", func(t *testing.T) {
		c := b.Dial(mqtt.V311)
		c.SendBytes(wire.Bytes(`10 ( "MQTT" 04 42 003c "c" "p" )`))
		c.ExpectClosed() // MQTT-3.1.2-22 of 3.1.1
		b.Connect("c", func(p *packet.Connect) { p.Password, p.HasPassword = []byte("p"), true }).Disconnect()
	})
}

// [MQTT-3.1.3-1], [MQTT-3.1.2-9], [MQTT-3.1.2-17], [MQTT-3.1.2-19]: the fields
// of the payload, all of them, arrive where they belong.
func TestConnectPayload(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		got := make(chan hook.Connect, 1)
		b := startAsking(t, hook.ValidatorFunc(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
			got <- *c
			return &hook.Decision{Verdict: hook.Allow}, nil
		}))
		b.Connect("id", speaking(v), leaving(packet.Will{Topic: "wt", Payload: []byte("wp"), QoS: 2, Retain: true}),
			func(p *packet.Connect) {
				p.Username, p.HasUsername, p.Password, p.HasPassword, p.KeepAlive = "user", true, []byte("pass"), true, 77
			}).Disconnect()
		c := <-got
		if c.ClientID != "id" || c.Username != "user" || string(c.Password) != "pass" || c.KeepAlive.Seconds() != 77 || c.Version != v {
			t.Errorf("got %+v", c)
		}
		if w := c.Will; w == nil || w.Message.Topic != "wt" || string(w.Message.Payload) != "wp" || w.Message.QoS != 2 || !w.Message.Retain {
			t.Errorf("got will %+v", w)
		}
		b.Connect("id", speaking(v)).Disconnect()
		if c = <-got; c.HasUsername || c.HasPassword || c.Will != nil {
			t.Errorf("got %+v", c)
		}
	})
}

// [MQTT-3.1.3-5]: identifiers that every server has to take, and others that
// this one does.
func TestClientIdentifiers(t *testing.T) {
	b := startLimited(t, broker.Limits{ClientIDLength: 40})
	every(t, func(t *testing.T, v mqtt.Version) {
		for _, id := range []string{
			"0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ0123456",
			"longer-than-23-bytes-and-with/+#", "größer ℃",
		} {
			b.Connect(id, speaking(v)).Disconnect()
		}
		// [MQTT-3.1.3-8], MQTT-3.1.3-9 of 3.1.1: rejected.
		c, a := b.TryConnect(strings.Repeat("x", 41), speaking(v))
		if a.Code != mqtt.ClientIdentifierNotValid || a.SessionPresent {
			t.Errorf("got %+v", a)
		}
		c.ExpectClosed()
	})
	t.Run("empty and to be kept", func(t *testing.T) { // MQTT-3.1.3-8 of 3.1.1
		c, a := b.TryConnect("", brokertest.V311, keeping(0))
		if a.Code != mqtt.ClientIdentifierNotValid {
			t.Errorf("got %+v", a)
		}
		c.ExpectClosed()
	})
	t.Run("the same means the same session", func(t *testing.T) { // [MQTT-3.1.3-2]
		one := b.Connect("one", keeping(60))
		one.Subscribe(1, "t")
		one.Disconnect()
		_, a := b.TryConnect("ONE", keeping(60))
		present(t, mqtt.V5, a, false)
		_, a = b.TryConnect("one", keeping(60))
		present(t, mqtt.V5, a, true)
	})
}

// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]: a client without an identifier
// is given one that nobody has.
func TestAssignedClientIdentifier(t *testing.T) {
	b := start(t)
	seen := make(map[string]bool)
	for range 10 {
		c, a := b.TryConnect("", keeping(60))
		if a.AssignedClientID == "" || seen[a.AssignedClientID] || a.SessionPresent {
			t.Fatalf("got %+v", a)
		}
		seen[a.AssignedClientID] = true
		c.Disconnect()
		_, again := b.TryConnect(a.AssignedClientID, keeping(60))
		present(t, mqtt.V5, again, true)
		if again.AssignedClientID != "" {
			t.Errorf("assigned %q to a client that has one", again.AssignedClientID)
		}
	}
	// MQTT-3.1.3-6 of 3.1.1.
	one, two := b.Connect("", brokertest.V311), b.Connect("", brokertest.V311)
	nothing(one, two)
}
