package broker_test

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Whoever does not get in is told as the protocol allows, and counted by cause.
func TestRefusals(t *testing.T) {
	slow := admission.Rate{PerSecond: 0.001, Burst: 1}
	for _, tt := range []struct {
		name   string
		limits broker.Limits
		before func(*testing.T, *brokertest.Broker)
		try    func(*testing.T, *brokertest.Broker)
		want   broker.RefusalCause
	}{
		{"rate", broker.Limits{ConnectRate: slow}, connectOne, dialClosed, broker.RefusedRate},
		{"rate of an address", broker.Limits{AddressConnectRate: slow}, connectOne, dialClosed, broker.RefusedAddressRate},
		{"connections", broker.Limits{Connections: 1}, connectOne, dialClosed, broker.RefusedConnections},
		{"connections of an address", broker.Limits{AddressConnections: 1}, connectOne, dialClosed, broker.RefusedAddressConnections},
		{"connections of the listener", broker.Limits{}, func(t *testing.T, b *brokertest.Broker) {
			b.SetListener("test", broker.ListenerOptions{Connections: 1})
			connectOne(t, b)
		}, dialClosed, broker.RefusedListenerConnections},
		{"rate of the listener", broker.Limits{}, func(t *testing.T, b *brokertest.Broker) {
			b.SetListener("test", broker.ListenerOptions{ConnectRate: slow})
			connectOne(t, b)
		}, dialClosed, broker.RefusedListenerRate},
		{"paused", broker.Limits{}, func(_ *testing.T, b *brokertest.Broker) { b.Clients().Pause() }, dialClosed, broker.RefusedPaused},
		{"banned address", broker.Limits{}, func(t *testing.T, b *brokertest.Broker) { mustBan(t, b, ban.Address, "127.0.0.1") }, dialClosed, broker.RefusedBanned},
		{"banned client", broker.Limits{}, func(t *testing.T, b *brokertest.Broker) { mustBan(t, b, ban.ClientID, "c") }, connectFails(mqtt.Banned), broker.RefusedBanned},
		{"sessions", broker.Limits{Sessions: 1}, connectOne, connectFails(mqtt.QuotaExceeded), broker.RefusedSessions},
		{"flapping", broker.Limits{Flapping: broker.Flapping{Connects: 2, Within: time.Hour}}, func(_ *testing.T, b *brokertest.Broker) {
			for range 2 {
				b.Connect("c").Disconnect()
			}
		}, connectFails(mqtt.Banned), broker.RefusedFlapping},
		{"no CONNECT in time", broker.Limits{ConnectTimeout: time.Millisecond}, nil, dialClosed, broker.RefusedTimeout},
		{"left", broker.Limits{}, nil, func(t *testing.T, b *brokertest.Broker) { b.In(t).Dial(mqtt.V5).Drop() }, broker.RefusedLeft},
		{"malformed", broker.Limits{}, nil, func(t *testing.T, b *brokertest.Broker) {
			c := b.In(t).Dial(mqtt.V5)
			c.SendBytes([]byte("\xff\xff\xff\xff\xff\xff"))
			c.ExpectClosed()
		}, broker.RefusedMalformed},
		{"will", broker.Limits{}, nil, func(t *testing.T, b *brokertest.Broker) {
			if _, ack := b.In(t).TryConnect("c", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "$SYS/x"} }); ack.Code != mqtt.TopicNameInvalid {
				t.Errorf("%v", ack.Code)
			}
		}, broker.RefusedProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := brokertest.Start(t, broker.Options{Limits: tt.limits})
			if tt.before != nil {
				tt.before(t, b)
			}
			tt.try(t, b)
			want := map[broker.RefusalCause]uint64{tt.want: 1}
			eventually(t, "the refusal is counted", func() bool { return maps.Equal(b.Stats().Refusals, want) })
			if n := b.Stats().Refused; n != 1 {
				t.Errorf("%d refused: %v", n, b.Stats().Refusals)
			}
		})
	}
}

func connectOne(_ *testing.T, b *brokertest.Broker) { b.Connect("one") }

func dialClosed(t *testing.T, b *brokertest.Broker) { b.In(t).Dial(mqtt.V5).ExpectClosed() }

func connectFails(want mqtt.ReasonCode) func(*testing.T, *brokertest.Broker) {
	return func(t *testing.T, b *brokertest.Broker) {
		c, ack := b.In(t).TryConnect("c")
		if ack.Code != want {
			t.Errorf("%v %q", ack.Code, ack.Reason)
		}
		c.ExpectClosed()
	}
}

// A client that connects again and again is banned for a while, and then let in.
func TestFlappingEnds(t *testing.T) {
	now := atomic.Pointer[time.Time]{}
	now.Store(new(time.Now()))
	bans, err := ban.Open(ban.Options{Now: func() time.Time { return *now.Load() }})
	if err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t, broker.Options{Bans: bans, Limits: broker.Limits{
		Flapping: broker.Flapping{Connects: 1, Within: time.Hour, Ban: time.Minute},
	}})
	b.Connect("c").Disconnect()
	for range 2 {
		if _, ack := b.TryConnect("c"); ack.Code != mqtt.Banned {
			t.Errorf("%v", ack.Code)
		}
	}
	b.Connect("other")
	list := b.Bans().List()
	if len(list) != 1 || list[0].By != "flapping" || list[0].Value != "c" {
		t.Errorf("%+v", list)
	}
	now.Store(new(time.Now().Add(time.Hour)))
	b.Connect("c")
}

// Only so many clients are decided about at once; the others wait for their
// turn, and who waits too long is told so.
func TestAuthenticationsInFlight(t *testing.T) {
	release := make(chan struct{})
	var inside, most atomic.Int64
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{
		Name: "slow", Policy: hook.Policy{Timeout: time.Minute},
		Validator: hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
			if n := inside.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release
			inside.Add(-1)
			return &hook.Decision{Verdict: hook.Allow}, nil
		}),
	}})
	b := brokertest.Start(t, broker.Options{Hooks: h, Limits: broker.Limits{Authentications: 2, ConnectTimeout: time.Minute}})
	var wg sync.WaitGroup
	for i := range 6 {
		c := b.Dial(mqtt.V5)
		c.Send(&packet.Connect{Version: mqtt.V5, ClientID: string(rune('a' + i)), CleanStart: true})
		wg.Go(func() {
			if ack, ok := c.Next().(*packet.Connack); !ok || ack.Code != mqtt.Success {
				t.Errorf("%+v", ack)
			}
		})
	}
	eventually(t, "two are inside, the others wait", func() bool { return inside.Load() == 2 && b.Stats().Authenticating == 4 })
	b.Reconfigure(broker.Options{SysInterval: -1, Limits: broker.Limits{Authentications: 2, ConnectTimeout: 10 * time.Millisecond}})
	_, ack := b.TryConnect("late")
	if ack.Code != mqtt.ServerBusy {
		t.Errorf("%v", ack.Code)
	}
	close(release)
	wg.Wait()
	if n := most.Load(); n != 2 {
		t.Errorf("%d at once", n)
	}
	if diff := cmp.Diff(map[broker.RefusalCause]uint64{broker.RefusedBusy: 1}, b.Stats().Refusals); diff != "" {
		t.Error(diff)
	}
}

// Limits change while clients are connected, who stay.
func TestReconfigure(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{Connections: 2}})
	first := b.Connect("first")
	b.Connect("second")
	b.Dial(mqtt.V5).ExpectClosed()
	b.Reconfigure(broker.Options{SysInterval: -1, Limits: broker.Limits{
		Connections: 3, PacketSize: 1000, ReceiveMaximum: 7, TopicLevels: 2, ClientIDLength: 5, MaxQoS: 1, LimitQoS: true,
	}, ResponseInformation: "answers/%c/", CheckPayloadFormat: true})
	_, ack := b.TryConnect("third", func(p *packet.Connect) { p.RequestResponseInfo = true })
	if ack.Code != mqtt.Success || ack.MaximumPacketSize != 1000 || ack.ReceiveMaximum != 7 || !ack.HasMaximumQoS || ack.ResponseInfo != "answers/third/" {
		t.Errorf("%+v", ack)
	}
	b.Dial(mqtt.V5).ExpectClosed()
	first.Publish(mqtt.Message{Topic: "a/b", QoS: 2}, mqtt.NoMatchingSubscribers) // what CONNACK said holds
	first.Publish(mqtt.Message{Topic: "a/b", QoS: 1, Payload: []byte{0xff}, Properties: &mqtt.Properties{HasPayloadFormat: true, PayloadIsUTF8: true}}, mqtt.PayloadFormatInvalid)
	first.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: "a/b/c", QoS: 1}})
	if d, ok := first.Next().(*packet.Disconnect); !ok || d.Code != mqtt.TopicNameInvalid {
		t.Errorf("%+v", d)
	}
}

// A publisher that is too fast is not read from for a while; one that has sent
// in a moment what takes minutes is disconnected.
func TestRates(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{MessagesPerSecond: 500}})
	c := b.Connect("c")
	many := make([]packet.Packet, 1500)
	for i := range many {
		many[i] = &packet.Publish{Message: mqtt.Message{Topic: "a"}}
	}
	c.Send(many...)
	c.ExpectNothing()
	if b.Stats().HeldBack == 0 {
		t.Error("it was not held back")
	}
	b.Reconfigure(broker.Options{SysInterval: -1, Limits: broker.Limits{BytesPerSecond: 10, RatePatience: 10 * time.Second}})
	d := b.Connect("d")
	d.Send(&packet.Publish{Message: mqtt.Message{Topic: "a", Payload: make([]byte, 1000)}})
	d.Expect(&packet.Disconnect{Code: mqtt.MessageRateTooHigh, Reason: "it publishes far faster than it may"})
	d.ExpectClosed()
	v4 := b.Connect("e", brokertest.V311)
	v4.Send(&packet.Publish{Message: mqtt.Message{Topic: "a", Payload: make([]byte, 1000)}})
	v4.ExpectClosed()
}
