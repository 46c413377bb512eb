package broker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/ban"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

func mustBan(t *testing.T, b *brokertest.Broker, k ban.Kind, value string) {
	t.Helper()
	if _, err := b.Bans().Ban(ban.Ban{Kind: k, Value: value, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
}

// A banned name is refused before the validators are asked; one that they give
// is refused nevertheless.
func TestBannedNames(t *testing.T) {
	var asked atomic.Int64
	b := startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		asked.Add(1)
		d := &hook.Decision{Verdict: hook.Allow}
		if c.Username == "alias" {
			d.Username = new("mallory")
		}
		if c.ClientID == "" {
			d.AssignedClientID = "bad-client"
		}
		return d, nil
	})
	mustBan(t, b, ban.ClientID, "bad-client")
	mustBan(t, b, ban.Username, "mallory")
	for _, tt := range []struct {
		name, id, user string
		asked          int64
		want           mqtt.ReasonCode
	}{
		{"client identifier", "bad-client", "alice", 0, mqtt.Banned},
		{"user name", "c", "mallory", 0, mqtt.Banned},
		{"user name by a validator", "c", "alias", 1, mqtt.Banned},
		{"client identifier by a validator", "", "alice", 1, mqtt.Banned},
		{"another", "c", "alice", 1, mqtt.Success},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked.Store(0)
			c, ack := b.In(t).TryConnect(tt.id, func(p *packet.Connect) { p.Username, p.HasUsername = tt.user, true })
			if ack.Code != tt.want || asked.Load() != tt.asked {
				t.Errorf("%v %q, validators asked %d times", ack.Code, ack.Reason, asked.Load())
			}
			if tt.want != mqtt.Success {
				c.ExpectClosed()
			}
		})
	}
	t.Run("3.1.1", func(t *testing.T) {
		c, ack := b.In(t).TryConnect("bad-client", brokertest.V311)
		if ack.Code != mqtt.NotAuthorized {
			t.Errorf("%v", ack.Code)
		}
		c.ExpectClosed()
	})
}

func TestBannedAddress(t *testing.T) {
	b := startWithRules(t, func(hook.Point, *hook.Call) {})
	before := b.Connect("before")
	mustBan(t, b, ban.Address, "127.0.0.0/8")
	b.Dial(mqtt.V5).ExpectClosed()
	before.ExpectNothing() // until somebody says so
	if n := b.EndBanned(); n != 1 {
		t.Errorf("%d connections ended", n)
	}
	before.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "the client is banned"})
	before.ExpectClosed()
	if _, err := b.Bans().Unban(ban.Address, "127.0.0.0/8"); err != nil {
		t.Fatal(err)
	}
	b.Connect("after")
}

func TestEndBanned(t *testing.T) {
	b := startWithRules(t, func(hook.Point, *hook.Call) {})
	user := func(p *packet.Connect) { p.Username, p.HasUsername = "mallory", true }
	byID, byUser, other := b.Connect("bad-client"), b.Connect("c", user), b.Connect("other")
	if n := b.EndBanned(); n != 0 {
		t.Errorf("%d connections ended", n)
	}
	mustBan(t, b, ban.ClientID, "bad-client")
	mustBan(t, b, ban.Username, "mallory")
	if n := b.EndBanned(); n != 2 {
		t.Errorf("%d connections ended", n)
	}
	byID.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "the client is banned"})
	byUser.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "the client is banned"})
	other.ExpectNothing()
}
