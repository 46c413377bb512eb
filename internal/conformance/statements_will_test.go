package conformance_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-10] [MQTT-3.14.4-3]: how a
// connection has to end for its will to be published.
func TestWillPublished(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		watcher := b.Connect("watcher")
		watcher.Subscribe(1, "will")
		for _, tt := range []struct {
			name      string
			only      mqtt.Version // 0: all
			end       func(*brokertest.Client)
			published bool
		}{
			{"network fails", 0, func(c *brokertest.Client) { c.Drop() }, true},
			{"protocol error", 0, func(c *brokertest.Client) { c.SendBytes([]byte{0xC1, 0}) }, true},
			{"DISCONNECT", 0, func(c *brokertest.Client) { c.Disconnect() }, false},
			{"DISCONNECT with will", 5, func(c *brokertest.Client) { c.Send(&packet.Disconnect{Code: mqtt.DisconnectWithWill}) }, true},
			{"DISCONNECT with an error", 5, func(c *brokertest.Client) { c.Send(&packet.Disconnect{Code: mqtt.UnspecifiedError}) }, true},
			{"taken over", 0, func(*brokertest.Client) { b.Connect("c", speaking(v)).Disconnect() }, true},
		} {
			if tt.only != 0 && tt.only != v {
				continue
			}
			t.Run(tt.name, func(t *testing.T) {
				c := b.Connect("c", speaking(v), leaving(packet.Will{Topic: "will", Payload: []byte(tt.name), QoS: 1}))
				nothing(watcher)
				tt.end(c)
				if tt.published {
					watcher.ExpectMessage("will", tt.name)
				}
				gone(t, b, 1)
				// [MQTT-3.1.2-10]: once, and never for a later connection without
				// a will (MQTT-3.1.2-12 of 3.1.1).
				b.Connect("c", speaking(v)).Drop()
				gone(t, b, 1)
				nothing(watcher)
			})
		}
	})
}

// [MQTT-3.1.2-14] [MQTT-3.1.2-15], MQTT-3.1.2-16 and -17 of 3.1.1, and the
// QoS: a will is a message as others are.
func TestWillQoSAndRetain(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		watcher := b.Connect("watcher")
		watcher.Subscribe(2, "will/#")
		for q := range mqtt.QoS(3) {
			for _, retain := range []bool{false, true} {
				topic := "will/" + number(int(q))
				b.Connect("c", speaking(v), leaving(packet.Will{Topic: topic, Payload: []byte("w"), QoS: q, Retain: retain})).Drop()
				if got := watcher.ExpectMessage(topic, "w"); got.Message.QoS != q || got.Message.Retain {
					t.Errorf("got %+v", got)
				}
				late := b.Connect("late")
				late.Subscribe(2, topic)
				if retain {
					if got := late.ExpectMessage(topic, "w"); got.Message.QoS != q || !got.Message.Retain {
						t.Errorf("got %+v", got)
					}
				}
				nothing(late)
			}
		}
	})
}

// [MQTT-3.1.3-10] and section 3.1.3.2: the properties of a will.
func TestWillProperties(t *testing.T) {
	b := start(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "will")
	want := &mqtt.Properties{
		HasPayloadFormat: true, PayloadIsUTF8: true, HasExpiry: true, Expiry: 500, ContentType: "text/plain",
		ResponseTopic: "answer", CorrelationData: []byte{0, 1, 255},
		User: []mqtt.UserProperty{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b", Value: "1"}},
	}
	b.Connect("c", leaving(packet.Will{Topic: "will", Properties: want})).Drop()
	if d := cmp.Diff(want, watcher.ExpectMessage("will", "").Message.Properties); d != "" {
		t.Error(d)
	}
}

// [MQTT-3.1.2-8] [MQTT-3.1.3-9] and section 3.1.3.2.2: the Will Delay Interval.
func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := start(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "will/#")
	will := func(topic string, delay uint32) func(*packet.Connect) {
		return leaving(packet.Will{Topic: "will/" + topic, Delay: delay})
	}
	began := time.Now()
	late := map[string]bool{"will/delay": true, "will/session": true, "will/asked": true} // to come after a second
	b.Connect("delay", will("delay", 1), keeping(3600)).Drop()
	b.Connect("session", will("session", 3600), keeping(1)).Drop()
	b.Connect("asked", will("asked", 1), keeping(0xFFFFFFFF)).Send(&packet.Disconnect{Code: mqtt.DisconnectWithWill})
	comes := func(topic string) {
		if waited := time.Since(began); !late[topic] || waited < time.Second {
			t.Errorf("got %s after %v", topic, waited)
		}
		delete(late, topic)
	}
	atOnce := func(topic string) {
		t.Helper()
		for {
			got := next(t, watcher).Message.Topic
			if got == topic {
				return
			}
			comes(got)
		}
	}

	// Silent is the will of who comes back in time, without a will or with
	// another one, or while the first connection is there.
	b.Connect("back", will("back", 1), keeping(60)).Drop()
	back := b.Connect("back", keeping(60))
	b.Connect("again", will("again", 1), keeping(60)).Drop()
	again := b.Connect("again", will("again", 1), keeping(60))
	taken := b.Connect("taken", will("taken", 1), keeping(60))
	takes := b.Connect("taken", keeping(60))
	closes(t, taken, mqtt.V5, mqtt.SessionTakenOver)

	// The end of the session does not wait for the delay.
	b.Connect("ends", will("ends", 3600), keeping(60)).Drop()
	b.Connect("ends").Disconnect() // clean start
	atOnce("will/ends")
	b.Connect("none", will("none", 3600)).Drop() // no session to wait for
	atOnce("will/none")
	c := b.Connect("zero", will("zero", 3600), keeping(60))
	c.Send(&packet.Disconnect{Code: mqtt.DisconnectWithWill, HasSessionExpiry: true})
	atOnce("will/zero")

	nothing(back, again, takes)
	again.Disconnect()                  // removes its second will
	time.Sleep(1200 * time.Millisecond) // longer than any of those delays
	for len(late) > 0 {
		comes(next(t, watcher).Message.Topic)
	}
	nothing(watcher)
}

// Section 3.1.3.2.4: the expiry of a will counts from its publication.
func TestWillExpiry(t *testing.T) {
	t.Parallel()
	b := start(t)
	watcher, away := b.Connect("watcher"), b.Connect("away", keeping(60))
	watcher.Subscribe(1, "will")
	away.Subscribe(1, "will")
	away.Disconnect()
	b.Connect("c", keeping(60), leaving(packet.Will{
		Topic: "will", QoS: 1, Delay: 1, Properties: &mqtt.Properties{HasExpiry: true, Expiry: 1},
	})).Drop()
	if got := watcher.ExpectMessage("will", ""); got.Message.Properties.Expiry != 1 {
		t.Errorf("got %+v", got.Message.Properties)
	}
	time.Sleep(1100 * time.Millisecond)
	nothing(b.Connect("away", keeping(60)))
}

// [MQTT-3.2.2-12], [MQTT-3.1.3-11] and section 3.1.3.2.6: wills that are
// refused with their CONNECT.
func TestWillRefused(t *testing.T) {
	one := mqtt.AtLeastOnce
	limited := startLimited(t, broker.Limits{LimitQoS: true, MaxQoS: 1})
	validated := startAsking(t, deciding(hook.Decision{Verdict: hook.Allow, Limits: hook.Limits{MaximumQoS: &one}}))
	plain := start(t)
	checked := brokertest.Start(t, broker.Options{CheckPayloadFormat: true})
	for _, tt := range []struct {
		name string
		b    *brokertest.Broker
		will packet.Will
		code mqtt.ReasonCode
	}{
		{"QoS above the maximum", limited, packet.Will{Topic: "w", QoS: 2}, mqtt.QoSNotSupported},
		{"QoS above the validator's maximum", validated, packet.Will{Topic: "w", QoS: 2}, mqtt.QoSNotSupported},
		{"QoS of the maximum", limited, packet.Will{Topic: "w", QoS: 1}, mqtt.Success},
		{"wildcard in the topic", plain, packet.Will{Topic: "w/#"}, mqtt.TopicNameInvalid},
		{"topic of the server", plain, packet.Will{Topic: "$SYS/w"}, mqtt.TopicNameInvalid},
		{"too many levels", plain, packet.Will{Topic: strings.Repeat("/", 128)}, mqtt.TopicNameInvalid},
		{
			"wildcard in the response topic", plain,
			packet.Will{Topic: "w", Properties: &mqtt.Properties{ResponseTopic: "+"}},
			mqtt.TopicNameInvalid,
		},
		{"not the UTF-8 that it claims to be", checked, packet.Will{
			Topic: "w", Payload: []byte{0xC3, 0x28},
			Properties: &mqtt.Properties{HasPayloadFormat: true, PayloadIsUTF8: true},
		}, mqtt.PayloadFormatInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, a := tt.b.TryConnect("c", leaving(tt.will))
			if a.Code != tt.code {
				t.Fatalf("got %v %q", a.Code, a.Reason)
			}
			if a.Code != mqtt.Success {
				c.ExpectClosed()
			}
		})
	}
}
