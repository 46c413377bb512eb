package broker_test

import (
	"context"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/quota"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// startWithQuota grants a quota to the user "u" and nothing to others.
func startWithQuota(t *testing.T, q hook.Quota) *brokertest.Broker {
	t.Helper()
	return startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		d := &hook.Decision{Verdict: hook.Allow}
		if c.Username == "u" {
			d.Quota = &q
		}
		return d, nil
	})
}

func asUser(p *packet.Connect) { p.Username, p.HasUsername = "u", true }

func used(t *testing.T, b *brokertest.Broker, account string) quota.Amount {
	t.Helper()
	for _, u := range b.Quotas().List() {
		if u.Account == account {
			return u.Day
		}
	}
	t.Errorf("there is no account %s", account)
	return quota.Amount{}
}

// Two connections of one user publish until their quota is used up: messages are
// 10 bytes, of which 3 are topic.
func TestQuotaOfPublishes(t *testing.T) {
	b := startWithQuota(t, hook.Quota{Published: true, BytesPerDay: new(uint64(35))})
	sub := b.Connect("sub")
	sub.Subscribe(2, "#")
	one, two := b.Connect("one", asUser), b.Connect("two", asUser)
	publish := func(c *brokertest.Client, qos mqtt.QoS, payload string, want mqtt.ReasonCode) {
		t.Helper()
		c.Publish(mqtt.Message{Topic: "t/1", QoS: qos, Payload: []byte(payload)}, want)
	}
	publish(one, 1, "1234567", mqtt.Success)
	sub.ExpectMessage("t/1", "1234567")
	publish(two, 2, "2345678", mqtt.Success)
	sub.ExpectMessage("t/1", "2345678")
	publish(one, 0, "3456789", 0)
	sub.ExpectMessage("t/1", "3456789")
	publish(two, 1, "4567890", mqtt.QuotaExceeded)
	publish(two, 2, "4567890", mqtt.QuotaExceeded)
	publish(one, 0, "4567890", 0)
	publish(one, 1, "ab", mqtt.Success) // there is room for something small
	sub.ExpectMessage("t/1", "ab")
	publish(two, 1, "", mqtt.QuotaExceeded)

	old := b.Connect("old", asUser, brokertest.V311) // whose protocol has no word for it
	old.Publish(mqtt.Message{Topic: "t/1", QoS: 1, Payload: []byte("x")}, 0)
	other := b.Connect("other")
	other.Publish(mqtt.Message{Topic: "t/1", QoS: 1, Payload: make([]byte, 100)}, mqtt.Success)
	sub.ExpectMessage("t/1", string(make([]byte, 100)))
	if n := b.Stats().Drops[hook.CauseQuota]; n != 5 {
		t.Errorf("%d drops, want 5", n)
	}
	if got, want := used(t, b, "test/u"), (quota.Amount{Bytes: 35, Messages: 4}); got != want {
		t.Errorf("used %+v, want %+v", got, want)
	}
}

func TestQuotaOfDeliveries(t *testing.T) {
	b := startWithQuota(t, hook.Quota{Delivered: true, Account: "shared", MessagesPerDay: new(uint64(3))})
	sub := b.Connect("sub", asUser)
	sub.Subscribe(2, "#")
	pub := b.Connect("pub")
	for i, qos := range []mqtt.QoS{0, 1, 2} {
		pub.Publish(mqtt.Message{Topic: "t", QoS: qos, Payload: []byte{'0' + byte(i)}}, mqtt.Success)
		sub.ExpectMessage("t", string('0'+rune(i)))
	}
	for _, qos := range []mqtt.QoS{0, 1, 2} {
		pub.Publish(mqtt.Message{Topic: "t", QoS: qos, Payload: []byte("no")}, mqtt.Success)
	}
	eventually(t, "they are dropped", func() bool { return b.Stats().Drops[hook.CauseQuota] == 3 })
	sub.Publish(mqtt.Message{Topic: "own", QoS: 1}, mqtt.Success) // what it publishes does not count
	eventually(t, "its own is dropped", func() bool { return b.Stats().Drops[hook.CauseQuota] == 4 })
	if known, err := b.Quotas().Reset("test/shared"); !known || err != nil {
		t.Fatal(known, err)
	}
	pub.Publish(mqtt.Message{Topic: "t", QoS: 2, Payload: []byte("again")}, mqtt.Success)
	sub.ExpectMessage("t", "again") // the window has room: what was dropped is not in flight
}

// A message that was sent before is not counted when it is sent again.
func TestQuotaCountsOnce(t *testing.T) {
	b := startWithQuota(t, hook.Quota{Delivered: true, MessagesPerDay: new(uint64(1))})
	sub := b.Connect("sub", asUser, brokertest.Resume)
	sub.Subscribe(1, "#")
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", QoS: 1, Payload: []byte("x")}, mqtt.Success)
	if p, ok := sub.Next().(*packet.Publish); !ok || p.Dup {
		t.Fatalf("got %+v", p)
	}
	sub.Drop()
	sub, _ = b.TryConnect("sub", asUser, brokertest.Resume)
	if p := sub.ExpectMessage("t", "x"); !p.Dup {
		t.Error("it is not marked as sent again")
	}
	if got := used(t, b, "test/u"); got.Messages != 1 {
		t.Errorf("counted %d times", got.Messages)
	}
}

// A wish that grants refuse uses nothing, and neither does a repetition of QoS 2.
func TestQuotaCountsWhatPasses(t *testing.T) {
	b := startWithValidator(t, func(context.Context, *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{
			Verdict: hook.Allow, Grants: &hook.Grants{List: []hook.Grant{{Actions: hook.ActionAll, Filter: "mine/#"}}}, Mountpoint: "tenant/",
			Quota: &hook.Quota{Published: true},
		}, nil
	})
	c := b.Connect("c", asUser)
	c.Publish(mqtt.Message{Topic: "yours", QoS: 1}, mqtt.NotAuthorized)
	p := &packet.Publish{ID: 7, Message: mqtt.Message{Topic: "mine/x", QoS: 2}}
	c.Send(p)
	c.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 7, Code: mqtt.NoMatchingSubscribers})
	p.Dup = true
	c.Send(p)
	c.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 7, Code: mqtt.NoMatchingSubscribers})
	if got, want := used(t, b, "test/u"), (quota.Amount{Bytes: 6, Messages: 1}); got != want {
		t.Errorf("used %+v, want %+v", got, want) // the topic as the client has it
	}
}

// The quotas of two validators are counted apart, and both have to leave room.
func TestQuotasOfTwoValidators(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	grants := func(q hook.Quota) hook.Validator {
		return hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow, Quota: &q}, nil
		})
	}
	h.SetValidators([]hook.ValidatorEntry{
		{Name: "wide", Validator: grants(hook.Quota{Published: true, BytesPerMonth: new(uint64(1000))})},
		{Name: "narrow", Validator: grants(hook.Quota{Published: true, MessagesPerMonth: new(uint64(2))})},
	})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c", asUser)
	for _, want := range []mqtt.ReasonCode{mqtt.NoMatchingSubscribers, mqtt.NoMatchingSubscribers, mqtt.QuotaExceeded, mqtt.QuotaExceeded} {
		c.Publish(mqtt.Message{Topic: "t", QoS: 1}, want)
	}
	for _, name := range []string{"wide/u", "narrow/u"} {
		if got := used(t, b, name); got.Messages != 2 {
			t.Errorf("%s has used %+v", name, got)
		}
	}
}

// A new decision about a connected client brings a new quota, and what was used
// stays used.
func TestQuotaAfterRevalidation(t *testing.T) {
	b, m := startWithMoods(t)
	grant := func(messages uint64) {
		m.set(hook.Decision{Verdict: hook.Allow, Quota: &hook.Quota{Published: true, MessagesPerDay: &messages}})
	}
	grant(1)
	c := b.Connect("c", asUser)
	publish := func(want mqtt.ReasonCode) {
		t.Helper()
		c.Publish(mqtt.Message{Topic: "t", QoS: 1}, want)
	}
	publish(mqtt.NoMatchingSubscribers)
	publish(mqtt.QuotaExceeded)
	grant(2)
	if err := b.Clients().Revalidate(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	publish(mqtt.NoMatchingSubscribers)
	publish(mqtt.QuotaExceeded)
	m.set(hook.Decision{Verdict: hook.Allow})
	if err := b.Clients().Revalidate(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	publish(mqtt.NoMatchingSubscribers)
}

// The clock of the ledger is not asked for messages; what counts is when they
// came. A ledger that an embedder made is the one that is used.
func TestQuotaLedgerOfOptions(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(
		func(context.Context, *hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{Verdict: hook.Allow, Quota: &hook.Quota{Published: true, Zone: time.UTC}}, nil
		})}})
	l, err := quota.Open(quota.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t, broker.Options{Hooks: h, Quotas: l})
	b.Connect("c").Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
	if list := l.List(); len(list) != 1 || list[0].Account != "v/" || list[0].Month.Messages != 1 {
		t.Errorf("accounts %+v", list)
	}
}
