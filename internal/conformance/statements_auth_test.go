package conformance_test

import (
	"context"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// question is an authentication of one question, "?", with an explanation. It
// takes "!" for an answer.
type question struct{ user []mqtt.UserProperty }

func (question) Validate(context.Context, *hook.Connect) (*hook.Decision, error) {
	return &hook.Decision{Verdict: hook.Allow}, nil
}

func (question) Authenticates(method string) bool { return method == "question" }

func (q question) Authenticate(ctx context.Context, _ *hook.Connect, x hook.Exchange) (*hook.Decision, error) {
	answer, err := x.Challenge(ctx, hook.AuthStep{Data: []byte("?"), Reason: "because of this", User: q.user})
	if err != nil {
		return nil, err
	}
	if string(answer.Data) != "!" {
		return &hook.Decision{Verdict: hook.Deny, Code: mqtt.BadUserNameOrPassword}, nil
	}
	return &hook.Decision{Verdict: hook.Allow, AuthData: []byte("good")}, nil
}

// asking is a CONNECT with the method.
func asking(p *packet.Connect) *packet.Connect {
	p.Version, p.ClientID, p.CleanStart, p.HasAuthMethod, p.AuthMethod = mqtt.V5, "c", true, true, "question"
	return p
}

func answer(code mqtt.ReasonCode, data string) *packet.Auth {
	return &packet.Auth{Code: code, Method: "question", Data: []byte(data)}
}

// [MQTT-4.12.0-2] to [MQTT-4.12.0-6] [MQTT-3.15.2-1] to [MQTT-3.15.2-3]: the
// packets of an exchange; what explains is left out if it does not fit or is
// not wanted.
func TestAuthentication(t *testing.T) {
	user := []mqtt.UserProperty{{Key: "k", Value: strings.Repeat("v", 100)}}
	b := startAsking(t, question{user})
	for _, tt := range []struct {
		name   string
		most   uint32
		wanted bool
		reason string
		user   []mqtt.UserProperty
	}{
		{"everything fits", 0, true, "because of this", user},
		{"the reason fits", 60, true, "because of this", nil},
		{"nothing fits", 32, true, "", nil},
		{"not wanted", 0, false, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Dial(mqtt.V5)
			challenge := answer(mqtt.ContinueAuthentication, "?")
			challenge.Reason, challenge.User = tt.reason, tt.user
			c.Send(asking(&packet.Connect{MaximumPacketSize: tt.most, RequestProblemInfo: tt.wanted}))
			c.Expect(challenge)
			c.Send(answer(mqtt.ContinueAuthentication, "!"))
			if tt.most == 32 { // no room for CONNACK
				c.Expect(&packet.Connack{Code: mqtt.PacketTooLarge})
				c.ExpectClosed()
				return
			}
			if a := c.Next().(*packet.Connack); a.Code != 0 || a.AuthMethod != "question" || string(a.AuthData) != "good" {
				t.Fatalf("got %+v", a)
			}
			// [MQTT-4.12.1-1] [MQTT-4.12.1-2]: anew, and wrong.
			c.Send(answer(mqtt.ReAuthenticate, ""))
			c.Expect(challenge)
			c.Send(answer(mqtt.ContinueAuthentication, "!"))
			c.Expect(answer(mqtt.Success, "good"))
			c.Send(answer(mqtt.ReAuthenticate, ""))
			c.Expect(challenge)
			c.Send(answer(mqtt.ContinueAuthentication, "no"))
			closes(t, c, mqtt.V5, mqtt.NotAuthorized) // DISCONNECT has no 0x86
		})
	}
	t.Run("refused", func(t *testing.T) {
		c := b.Dial(mqtt.V5)
		c.Send(asking(&packet.Connect{}))
		c.Expect(answer(mqtt.ContinueAuthentication, "?"))
		c.Send(answer(mqtt.ContinueAuthentication, "no"))
		c.Expect(&packet.Connack{Code: mqtt.BadUserNameOrPassword})
		c.ExpectClosed()
	})
	t.Run("without a method", func(t *testing.T) {
		if _, a := b.TryConnect("other"); a.AuthMethod != "" || a.AuthData != nil {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("another packet before CONNACK", func(t *testing.T) { // [MQTT-3.1.2-30]
		c := b.Dial(mqtt.V5)
		c.Send(asking(&packet.Connect{}), &packet.Pingreq{})
		c.Expect(answer(mqtt.ContinueAuthentication, "?"))
		if a, ok := c.Next().(*packet.Connack); !ok || a.Code != mqtt.ProtocolError {
			t.Errorf("got %+v", a)
		}
		c.ExpectClosed()
	})
	t.Run("DISCONNECT before CONNACK", func(t *testing.T) {
		c := b.Dial(mqtt.V5)
		c.Send(asking(&packet.Connect{}), &packet.Disconnect{})
		c.Expect(answer(mqtt.ContinueAuthentication, "?"))
		c.ExpectClosed()
	})
	t.Run("an alias of zero before CONNACK", func(t *testing.T) {
		c := b.Dial(mqtt.V5)
		c.Send(asking(&packet.Connect{}), aliased("t", 0, ""))
		c.Expect(answer(mqtt.ContinueAuthentication, "?"))
		if a, ok := c.Next().(*packet.Connack); !ok || !a.Code.Failed() { // of CONNACK's codes, or the test's decoder objects
			t.Errorf("got %+v", a)
		}
		c.ExpectClosed()
	})
}
