package broker_test

import (
	"context"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// countdown is an authentication of as many rounds as the first data says. It
// refuses a client that answers "no".
type countdown struct{ hook.ValidatorFunc }

func (countdown) Authenticates(method string) bool { return method == "countdown" }

func (countdown) Authenticate(ctx context.Context, c *hook.Connect, x hook.Exchange) (*hook.Decision, error) {
	d := &hook.Decision{Verdict: hook.Allow, AuthData: []byte("welcome")}
	for n := string(c.AuthData); n > "0"; n = string(n[0] - 1) {
		answer, err := x.Challenge(ctx, hook.AuthStep{Data: []byte(n)})
		if err != nil {
			return nil, err
		}
		if string(answer.Data) == "no" {
			return &hook.Decision{Verdict: hook.Deny, Code: mqtt.NotAuthorized, Reason: "as you say"}, nil
		}
	}
	if x.Again() {
		d.Grants = &hook.Grants{List: []hook.Grant{{Filter: "only/#"}}}
	}
	return d, nil
}

func startWithCountdown(t *testing.T) *brokertest.Broker {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "countdown", Validator: countdown{
		func(context.Context, *hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow}, nil
		},
	}}})
	return brokertest.Start(t, broker.Options{Hooks: h})
}

func withMethod(method, data string) *packet.Connect {
	return &packet.Connect{
		Version: mqtt.V5, ClientID: "c", CleanStart: true, ReceiveMaximum: 10, RequestProblemInfo: true,
		HasAuthMethod: true, AuthMethod: method, AuthData: []byte(data),
	}
}

func step(code mqtt.ReasonCode, data string) *packet.Auth {
	a := &packet.Auth{Code: code, Method: "countdown"}
	if data != "" {
		a.Data = []byte(data)
	}
	return a
}

func TestEnhancedAuthentication(t *testing.T) {
	b := startWithCountdown(t)
	c := b.Dial(mqtt.V5)
	c.Send(withMethod("countdown", "2"))
	c.Expect(step(mqtt.ContinueAuthentication, "2"))
	c.Send(step(mqtt.ContinueAuthentication, "yes"))
	c.Expect(step(mqtt.ContinueAuthentication, "1"))
	c.Send(step(mqtt.ContinueAuthentication, "yes"))
	ack := c.Next().(*packet.Connack)
	if ack.Code != 0 || ack.AuthMethod != "countdown" || string(ack.AuthData) != "welcome" {
		t.Fatalf("got %+v", ack)
	}

	// Anew, while other packets go on; the new grants hold at once.
	c.Subscribe(0, "gone", "only/x")
	c.Send(step(mqtt.ReAuthenticate, "1"))
	c.Expect(step(mqtt.ContinueAuthentication, "1"))
	c.Publish(mqtt.Message{Topic: "only/x", Payload: []byte("1"), QoS: 1}, 0)
	c.ExpectMessage("only/x", "1")
	c.Send(step(mqtt.ContinueAuthentication, "yes"))
	c.Expect(step(mqtt.Success, "welcome"))
	c.Publish(mqtt.Message{Topic: "gone", QoS: 1}, mqtt.NotAuthorized)
	other := b.Connect("other")
	other.Publish(mqtt.Message{Topic: "gone", QoS: 1}, mqtt.NoMatchingSubscribers)

	// A refusal ends the connection.
	c.Send(step(mqtt.ReAuthenticate, "1"))
	c.Expect(step(mqtt.ContinueAuthentication, "1"))
	c.Send(step(mqtt.ContinueAuthentication, "no"))
	c.Expect(&packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "as you say"})
	c.ExpectClosed()
}

func TestEnhancedAuthenticationRefused(t *testing.T) {
	b := startWithCountdown(t)
	for _, tt := range []struct {
		name string
		send []packet.Packet // each is sent after the broker's challenge
		want mqtt.ReasonCode
	}{
		{"unknown method", []packet.Packet{withMethod("magic", "")}, mqtt.BadAuthenticationMethod},
		{"refused", []packet.Packet{withMethod("countdown", "2"), step(mqtt.ContinueAuthentication, "no")}, mqtt.NotAuthorized},
		{"another packet", []packet.Packet{withMethod("countdown", "1"), &packet.Pingreq{}}, mqtt.ProtocolError},
		{"another method", []packet.Packet{
			withMethod("countdown", "1"), &packet.Auth{Code: mqtt.ContinueAuthentication, Method: "other"},
		}, mqtt.ProtocolError},
		{"re-authentication too early", []packet.Packet{
			withMethod("countdown", "1"), step(mqtt.ReAuthenticate, ""),
		}, mqtt.ProtocolError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Dial(mqtt.V5)
			for i, p := range tt.send {
				if i > 0 {
					if _, ok := c.Next().(*packet.Auth); !ok {
						t.Fatal("expected a challenge")
					}
				}
				c.Send(p)
			}
			ack, ok := c.Next().(*packet.Connack)
			if !ok || ack.Code != tt.want {
				t.Errorf("got %+v, want %v", ack, tt.want)
			}
			c.ExpectClosed()
		})
	}
}

// Without a method in CONNECT there is nothing to authenticate anew with.
func TestAuthWithoutMethod(t *testing.T) {
	b := startWithCountdown(t)
	c := b.Connect("c")
	c.Send(step(mqtt.ReAuthenticate, ""))
	if d, ok := c.Next().(*packet.Disconnect); !ok || d.Code != mqtt.ProtocolError {
		t.Errorf("got %+v", d)
	}
	c.ExpectClosed()
}
