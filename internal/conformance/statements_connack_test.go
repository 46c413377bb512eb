package conformance_test

import (
	"context"
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

// [MQTT-3.1.4-5] [MQTT-3.2.0-1] [MQTT-3.2.0-2] [MQTT-3.2.2-1]: CONNACK is the
// first packet, the only one of its kind, and says what is limited.
func TestConnack(t *testing.T) {
	b := startLimited(t, broker.Limits{PacketSize: 5000, ReceiveMaximum: 7, TopicAliases: 3})
	every(t, func(t *testing.T, v mqtt.Version) {
		c := b.Dial(v)
		c.Send(
			&packet.Connect{Version: v, ClientID: "c", CleanStart: true, RequestProblemInfo: true},
			&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t"}}}, &packet.Pingreq{},
		)
		want := &packet.Connack{}
		if v == mqtt.V5 {
			want = &packet.Connack{MaximumPacketSize: 5000, ReceiveMaximum: 7, TopicAliasMaximum: 3}
		}
		c.Expect(want, &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}}, &packet.Pingresp{})
		nothing(c)
	})
}

// [MQTT-3.1.4-2] [MQTT-3.1.4-6] [MQTT-3.2.2-6] [MQTT-3.2.2-7]: a refused client
// is told and closed, its session stays as it was, and nothing that it sent
// behind its CONNECT has any effect.
func TestConnectRefused(t *testing.T) {
	b := startAsking(t, hook.ValidatorFunc(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		if c.HasUsername {
			return &hook.Decision{Verdict: hook.Deny, Code: mqtt.NotAuthorized}, nil
		}
		return &hook.Decision{Verdict: hook.Allow}, nil
	}))
	watcher := b.Connect("watcher")
	watcher.Subscribe(1, "#")
	every(t, func(t *testing.T, v mqtt.Version) {
		b.Connect("c", speaking(v), keeping(60)).Disconnect()
		c := b.Dial(v)
		c.Send(
			&packet.Connect{Version: v, ClientID: "c", Username: "u", HasUsername: true, RequestProblemInfo: true},
			&packet.Publish{Message: retained("t", "x", 0)}, &packet.Pingreq{},
		)
		c.Expect(&packet.Connack{Code: mqtt.NotAuthorized})
		c.ExpectClosed()
		nothing(watcher)
		_, a := b.TryConnect("c", speaking(v), keeping(60))
		present(t, v, a, true)
	})
}

// [MQTT-3.2.2-8]: what a validator says goes into CONNACK only if it may stand
// there. MQTT-3.2.2-6 of 3.1.1: what has no return code closes without one.
func TestConnackCodes(t *testing.T) {
	for _, tt := range []struct{ says, five, three mqtt.ReasonCode }{
		{mqtt.BadUserNameOrPassword, mqtt.BadUserNameOrPassword, mqtt.BadUserNameOrPassword},
		{mqtt.NotAuthorized, mqtt.NotAuthorized, mqtt.NotAuthorized},
		{mqtt.Banned, mqtt.Banned, mqtt.NotAuthorized},
		{mqtt.ServerBusy, mqtt.ServerBusy, mqtt.ServerUnavailable},
		{mqtt.QuotaExceeded, mqtt.QuotaExceeded, mqtt.ServerUnavailable},
		{mqtt.ClientIdentifierNotValid, mqtt.ClientIdentifierNotValid, mqtt.ClientIdentifierNotValid},
		{mqtt.SessionTakenOver, mqtt.UnspecifiedError, mqtt.ServerUnavailable}, // of DISCONNECT
		{mqtt.PacketIdentifierInUse, mqtt.UnspecifiedError, mqtt.ServerUnavailable},
		{0xF0, mqtt.UnspecifiedError, mqtt.ServerUnavailable},
	} {
		t.Run(tt.says.String(), func(t *testing.T) {
			b := startAsking(t, deciding(hook.Decision{Verdict: hook.Deny, Code: tt.says}))
			c, a := b.TryConnect("c")
			if a.Code != tt.five {
				t.Errorf("MQTT 5: got %v", a.Code)
			}
			c.ExpectClosed()
			if c, a = b.TryConnect("c", brokertest.V311); a.Code != tt.three {
				t.Errorf("MQTT 3.1.1: got %v", a.Code)
			}
			c.ExpectClosed()
		})
	}
}

// Section 4.11: a client is sent to another server.
func TestServerReference(t *testing.T) {
	b := startAsking(t, deciding(hook.Decision{Verdict: hook.Deny, Code: mqtt.UseAnotherServer, ServerReference: "other:1883"}))
	c, a := b.TryConnect("c")
	if a.Code != mqtt.UseAnotherServer || a.ServerReference != "other:1883" {
		t.Errorf("got %+v", a)
	}
	c.ExpectClosed()
	b = startRuled(t, func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish {
			c.Verdict = hook.CallVerdict{Action: hook.Disconnect, Code: mqtt.ServerMoved, ServerReference: "other:1883"}
		}
	})
	c = b.Connect("c")
	c.Send(&packet.Publish{Message: say("t", "", 0)})
	c.Expect(&packet.Disconnect{Code: mqtt.ServerMoved, ServerReference: "other:1883"})
	c.ExpectClosed()
}

// [MQTT-3.1.2-28]: Response Information only for who asks.
func TestResponseInformation(t *testing.T) {
	b := brokertest.Start(t, broker.Options{ResponseInformation: "answers/%c"})
	if _, a := b.TryConnect("c"); a.ResponseInfo != "" {
		t.Errorf("not asked for: %q", a.ResponseInfo)
	}
	_, a := b.TryConnect("c", func(p *packet.Connect) { p.RequestResponseInfo = true })
	if a.ResponseInfo != "answers/c" {
		t.Errorf("asked for: %q", a.ResponseInfo)
	}
}

// [MQTT-3.1.2-29]: Reason Strings and User Properties only for who wants them,
// but for those of CONNACK and DISCONNECT.
func TestRequestProblemInformation(t *testing.T) {
	user := []mqtt.UserProperty{{Key: "k", Value: "v"}}
	b := startExplaining(t, "because", user)
	for _, wanted := range []bool{true, false} {
		t.Run(map[bool]string{true: "wanted", false: "not wanted"}[wanted], func(t *testing.T) {
			c := b.Dial(mqtt.V5)
			c.Send(&packet.Connect{Version: mqtt.V5, ClientID: "c", CleanStart: true, RequestProblemInfo: wanted})
			if a := c.Next().(*packet.Connack); cmp.Diff(a.User, user) != "" {
				t.Errorf("CONNACK has %v", a.User)
			}
			reason, with := "because", user
			if !wanted {
				reason, with = "", nil
			}
			explained(t, c, reason, with)
			c.Send(&packet.Publish{Message: say("out", "", 0)})
			c.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "because"})
			c.ExpectClosed()
		})
	}
}

// [MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2]
// [MQTT-3.5.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2]
// [MQTT-3.14.2-3] [MQTT-3.14.2-4] [MQTT-3.1.2-24]: what explains is left out
// where it would make a packet too large: first the User Properties, then the
// Reason String.
func TestExplanationsFit(t *testing.T) {
	user := []mqtt.UserProperty{{Key: "k", Value: strings.Repeat("v", 100)}}
	b := startExplaining(t, "because of this", user)
	for _, tt := range []struct {
		name   string
		most   uint32
		reason string
		user   []mqtt.UserProperty
	}{
		{"both fit", 200, "because of this", user},
		{"the reason fits", 60, "because of this", nil},
		{"nothing fits", 20, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, a := b.TryConnect("c", func(p *packet.Connect) { p.MaximumPacketSize = tt.most })
			if d := cmp.Diff(a.User, tt.user); d != "" {
				t.Errorf("CONNACK: %s", d)
			}
			explained(t, c, tt.reason, tt.user)
			c.Send(&packet.Publish{Message: say("out", "", 0)})
			c.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: tt.reason})
			c.ExpectClosed()
		})
	}
	t.Run("CONNACK with a reason", func(t *testing.T) {
		b := startAsking(t, deciding(hook.Decision{Verdict: hook.Deny, Reason: "because of this", User: user}))
		for _, tt := range []struct {
			most   uint32
			reason string
			user   []mqtt.UserProperty
		}{{0, "because of this", user}, {60, "because of this", nil}, {10, "", nil}} {
			c, a := b.TryConnect("c", func(p *packet.Connect) { p.MaximumPacketSize = tt.most })
			if a.Code != mqtt.NotAuthorized || a.Reason != tt.reason || cmp.Diff(a.User, tt.user) != "" {
				t.Errorf("at most %d bytes: got %+v", tt.most, a)
			}
			c.ExpectClosed()
		}
	})
}

// startExplaining runs a broker that refuses everything on topics that begin
// with "no", with an explanation, and ends who publishes to "out".
func startExplaining(t *testing.T, reason string, user []mqtt.UserProperty) *brokertest.Broker {
	t.Helper()
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Validator: deciding(hook.Decision{Verdict: hook.Allow, User: user})}})
	h.SetInterceptors([]hook.InterceptorEntry{{
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.NotAuthorized, Reason: reason, User: user}
				if b.Point == hook.PointPublish && c.Message.Topic == "out" {
					c.Verdict.Action, c.Verdict.Code = hook.Disconnect, mqtt.AdministrativeAction
				}
			}
			return nil
		}),
		Interests: []hook.Interest{{Point: hook.PointPublish}, {Point: hook.PointSubscribe}, {Point: hook.PointUnsubscribe}},
	}})
	return brokertest.Start(t, broker.Options{Hooks: h, Limits: broker.Limits{PacketSize: 1000, TopicAliases: 1, ReceiveMaximum: 9}})
}

// explained expects each answer to have an explanation.
func explained(t *testing.T, c *brokertest.Client, reason string, user []mqtt.UserProperty) {
	t.Helper()
	c.Send(&packet.Publish{ID: 1, Message: say("no", "", 1)}, &packet.Publish{ID: 2, Message: say("no", "", 2)},
		&packet.Subscribe{ID: 3, Subscriptions: []mqtt.Subscription{{Filter: "no"}}},
		&packet.Unsubscribe{ID: 4, Filters: []string{"no"}})
	refused := []mqtt.ReasonCode{mqtt.NotAuthorized}
	c.Expect(
		&packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.NotAuthorized, Reason: reason, User: user},
		&packet.Ack{Kind: packet.PUBREC, ID: 2, Code: mqtt.NotAuthorized, Reason: reason, User: user},
		&packet.Suback{ID: 3, Codes: refused, Reason: reason, User: user},
		&packet.Unsuback{ID: 4, Codes: refused, Reason: reason, User: user},
	)
}

// [MQTT-3.1.2-22]: who is silent for one and a half times its keep-alive is
// gone as if the network had failed, so that its will is published; who pings
// is not, and neither is who switched it off.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	b := start(t)
	watcher, off := b.Connect("watcher"), b.Connect("off")
	watcher.Subscribe(0, "gone")
	var clients []*brokertest.Client
	for _, v := range versions {
		c := b.Connect(v.String(), speaking(v), leaving(packet.Will{Topic: "gone"}), func(p *packet.Connect) { p.KeepAlive = 1 })
		clients = append(clients, c)
	}
	last := make([]time.Time, len(clients))
	for range 4 {
		time.Sleep(500 * time.Millisecond) // the clients' own clock
		for i, c := range clients {
			last[i] = time.Now()
			c.ExpectNothing()
		}
	}
	for i, c := range clients {
		closes(t, c, versions[i], mqtt.KeepAliveTimeout)
		if silent := time.Since(last[i]); silent < 1500*time.Millisecond {
			t.Errorf("MQTT %v: closed after %v of silence", versions[i], silent)
		}
		watcher.ExpectMessage("gone", "")
	}
	nothing(watcher, off)
}

// [MQTT-3.1.2-21] [MQTT-3.2.2-21] [MQTT-3.2.2-22]: Server Keep Alive.
func TestServerKeepAlive(t *testing.T) {
	t.Parallel()
	b := startLimited(t, broker.Limits{KeepAlive: 1, MinKeepAlive: 1})
	asking := func(id string, keepAlive uint16) (*brokertest.Client, *packet.Connack) {
		return b.TryConnect(id, func(p *packet.Connect) { p.KeepAlive = keepAlive })
	}
	var clients []*brokertest.Client
	for _, asked := range []uint16{0, 1, 2, 60} {
		c, a := asking(number(int(asked)), asked)
		if a.HasServerKeepAlive != (asked != 1) || a.ServerKeepAlive != 1 && asked != 1 {
			t.Errorf("asked for %d s: got %+v", asked, a)
		}
		clients = append(clients, c)
	}
	for _, c := range clients {
		closes(t, c, mqtt.V5, mqtt.KeepAliveTimeout)
	}
	b = startLimited(t, broker.Limits{KeepAlive: 60, MinKeepAlive: 30})
	if _, a := b.TryConnect("c", func(p *packet.Connect) { p.KeepAlive = 5 }); a.ServerKeepAlive != 30 {
		t.Errorf("asked for less than the least: got %+v", a)
	}
}

// [MQTT-3.1.2-24] [MQTT-3.14.0-1]: a client that takes no CONNACK gets nothing
// else either, and disturbs nobody.
func TestConnackDoesNotFit(t *testing.T) {
	b := start(t)
	first := b.Connect("c", keeping(60))
	for most, told := range map[uint32]bool{1: false, 4: false, 5: true, 10: true} {
		c := b.Dial(mqtt.V5)
		c.Send(&packet.Connect{Version: mqtt.V5, ClientID: "c", MaximumPacketSize: most, RequestProblemInfo: true}, &packet.Pingreq{})
		if told {
			c.Expect(&packet.Connack{Code: mqtt.PacketTooLarge})
		}
		c.ExpectClosed()
	}
	nothing(first)
}
