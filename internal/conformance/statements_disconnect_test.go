package conformance_test

import (
	"context"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
	"github.com/gatehouse-mqtt/gatehouse/internal/wire"
)

// Section 3.14.2.1: the reasons that a client may give all end its connection,
// without a word from the server; a reason that it may not is a protocol error.
func TestDisconnectReasons(t *testing.T) {
	ended := make(chan hook.Event, 100)
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetObservers([]hook.ObserverEntry{{Observer: watcher(ended), Interests: []hook.Interest{{Point: hook.PointEvent}}}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	for _, code := range []mqtt.ReasonCode{
		0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
	} {
		c := b.Connect("c")
		c.Send(&packet.Disconnect{Code: code, Reason: "mine"}, &packet.Pingreq{}, &packet.Publish{Message: say("t", "", 0)})
		c.ExpectClosed()
		for e := range ended {
			if e.Kind == hook.Published {
				t.Errorf("%v: handled what came behind DISCONNECT", code)
			}
			if e.Kind == hook.Disconnected {
				if e.Disconnect != hook.ByClient || e.Code != code || e.Reason != "mine" {
					t.Errorf("%v: got %+v", code, e)
				}
				break
			}
		}
	}
	for _, code := range []mqtt.ReasonCode{0x01, 0x87, 0x8B, 0x8E, 0xFF} {
		c := b.Connect("c")
		c.SendBytes(append(wire.Bytes(`e0 01`), byte(code)))
		closes(t, c, mqtt.V5, mqtt.ProtocolError)
	}
}

// watcher keeps events.
type watcher chan hook.Event

func (w watcher) Observe(_ context.Context, events []hook.Event, _ uint64) {
	for _, e := range events {
		w <- e
	}
}

// [MQTT-3.14.1-1], MQTT-3.14.1-1 of 3.1.1.
func TestDisconnectFlags(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		c := b.Connect("c", speaking(v))
		c.SendBytes(wire.Bytes(`e1 00`))
		closes(t, c, v, mqtt.MalformedPacket)
	})
}

// [MQTT-3.14.4-1] [MQTT-3.14.4-2] [MQTT-3.14.2-2]: DISCONNECT is the server's
// last packet, without a Session Expiry Interval, which the test's decoder
// refuses, however much there is to send.
func TestDisconnectIsLast(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	c := b.Connect("c", keeping(60))
	c.Subscribe(0, "t")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				pub.Send(&packet.Publish{Message: say("t", "flood", 0)})
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	next(t, c)
	b.Connect("c", keeping(60)) // takes over
	for {
		if d, ok := c.Next().(*packet.Disconnect); ok {
			if d.Code != mqtt.SessionTakenOver {
				t.Errorf("got %+v", d)
			}
			break
		}
	}
	c.ExpectClosed()
}

// [MQTT-4.13.1-1] [MQTT-4.13.2-1], MQTT-4.8.0-1 of 3.1.1: an error ends the
// connection, with a reason where there is a place for it, and no other.
func TestErrorsCloseTheConnection(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		other := b.Connect("other", speaking(v))
		for _, tt := range []struct {
			wire string
			code mqtt.ReasonCode
		}{
			{`00 00`, mqtt.MalformedPacket},                // reserved type
			{`36 ( "a" 0001 00 )`, mqtt.MalformedPacket},   // [MQTT-3.3.1-4]
			{`60 02 0001`, mqtt.MalformedPacket},           // [MQTT-3.6.1-1]
			{`32 ( "a" 0000 00 )`, mqtt.ProtocolError},     // MQTT-2.3.1-1 of 3.1.1
			{`20 02 0000`, mqtt.ProtocolError},             // a server's packet
			{`30 ( [ eda080 ] 00 )`, mqtt.MalformedPacket}, // [MQTT-1.5.4-1]
			{`30 ( [ 610062 ] 00 )`, mqtt.MalformedPacket}, // [MQTT-1.5.4-2]
			{`30 8080808001`, mqtt.MalformedPacket},        // a length of five bytes
			{`c0 01 00`, mqtt.MalformedPacket},             // what PINGREQ has not
			{`30 ( 00ff 'abc' )`, mqtt.MalformedPacket},    // ends early
		} {
			c := b.Connect("c", speaking(v))
			c.SendBytes(wire.Bytes(tt.wire))
			closes(t, c, v, tt.code)
			other.ExpectNothing()
		}
	})
	t.Run("MQTT 5 only", func(t *testing.T) {
		b := start(t)
		for _, tt := range []struct {
			wire string
			code mqtt.ReasonCode
		}{
			{`38 ( "a" 00 )`, mqtt.MalformedPacket},                  // [MQTT-3.3.1-2]
			{`c0 8000`, mqtt.MalformedPacket},                        // [MQTT-1.5.5-1]
			{`30 ( "a" ( 26 [ c328 ] "v" ) )`, mqtt.MalformedPacket}, // [MQTT-1.5.7-1]
			{`30 ( "a" ( 26 "k" [ c328 ] ) )`, mqtt.MalformedPacket}, // [MQTT-1.5.7-1]
			{`30 ( "a" ( 03 [ c328 ] ) )`, mqtt.MalformedPacket},     // [MQTT-3.3.2-19]
			{`30 ( "a" ( 08 [ c328 ] ) )`, mqtt.MalformedPacket},     // [MQTT-3.3.2-13]
			{`30 ( "a" )`, mqtt.MalformedPacket},                     // [MQTT-2.2.2-1]
			{`30 ( "a" ( 0b 01 ) )`, mqtt.ProtocolError},             // [MQTT-3.3.4-6]
			{`30 ( "a" ( 23 0000 ) )`, mqtt.TopicAliasInvalid},       // [MQTT-3.3.2-8]
			{`40 03 0001 02`, mqtt.ProtocolError},                    // [MQTT-3.4.2-1]
			{`50 03 0001 02`, mqtt.ProtocolError},                    // [MQTT-3.5.2-1]
			{`62 03 0001 10`, mqtt.ProtocolError},                    // [MQTT-3.6.2-1]
			{`70 03 0001 10`, mqtt.ProtocolError},                    // [MQTT-3.7.2-1]
			{`f1 ( 18 ( 15 "m" ) )`, mqtt.MalformedPacket},           // [MQTT-3.15.1-1]
			{`f0 ( 18 ( 15 "m" ) )`, mqtt.ProtocolError},             // [MQTT-4.12.0-7]
			{`82 ( 0001 00 "$share/g/a" 04 )`, mqtt.ProtocolError},   // [MQTT-3.8.3-4]
			{`30 ( "a" ( 11 00000001 ) )`, mqtt.MalformedPacket},     // section 2.2.2.2
			{`30 ( "a" ( 01 00 01 00 ) )`, mqtt.ProtocolError},       // section 2.2.2.2
		} {
			c := b.Connect("c")
			c.SendBytes(wire.Bytes(tt.wire))
			closes(t, c, mqtt.V5, tt.code)
		}
	})
}

// [MQTT-3.12.4-1]: and from nothing else does PINGRESP come.
func TestPing(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		c := b.Connect("c", speaking(v))
		c.Send(&packet.Pingreq{}, &packet.Pingreq{}, &packet.Publish{Message: say("t", "", 0)}, &packet.Pingreq{})
		c.Expect(&packet.Pingresp{}, &packet.Pingresp{}, &packet.Pingresp{})
		nothing(c)
	})
}

// [MQTT-3.14.0-1]: a server that stops says so to who is connected, and nothing
// to who is not yet.
func TestShutdown(t *testing.T) {
	asked := make(chan struct{})
	b := startAsking(t, hook.ValidatorFunc(func(ctx context.Context, c *hook.Connect) (*hook.Decision, error) {
		if c.ClientID == "waits" {
			close(asked)
			<-ctx.Done()
		}
		return &hook.Decision{Verdict: hook.Allow}, nil
	}))
	c, old := b.Connect("c"), b.Connect("old", brokertest.V311)
	waits := b.Dial(mqtt.V5)
	waits.Send(&packet.Connect{Version: mqtt.V5, ClientID: "waits", RequestProblemInfo: true})
	<-asked
	b.Stop()
	closes(t, c, mqtt.V5, mqtt.ServerShuttingDown)
	old.ExpectClosed()
	waits.ExpectClosed()
}
