package broker_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// moods decides about the client "c" by what the test set last, and lets
// everybody else in.
type moods struct {
	decision atomic.Pointer[hook.Decision]
	err      atomic.Pointer[error]
	asked    atomic.Int64
	last     atomic.Pointer[hook.Connect]
}

func (m *moods) Validate(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
	if c.ClientID != "c" {
		return &hook.Decision{Verdict: hook.Allow}, nil
	}
	m.asked.Add(1)
	kept := *c
	m.last.Store(&kept)
	if err := m.err.Load(); err != nil {
		return nil, *err
	}
	d := *m.decision.Load()
	return &d, nil
}

func (m *moods) set(d hook.Decision) { m.decision.Store(&d) }

func (m *moods) grant(filters ...string) {
	g := new(hook.Grants)
	for _, f := range filters {
		g.List = append(g.List, hook.Grant{Filter: f})
	}
	m.set(hook.Decision{Verdict: hook.Allow, Grants: g})
}

func startWithMoods(t *testing.T, entries ...hook.InterceptorEntry) (*brokertest.Broker, *moods) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	m := new(moods)
	m.set(hook.Decision{Verdict: hook.Allow})
	h.SetValidators([]hook.ValidatorEntry{{Name: "moods", Validator: m}})
	h.SetInterceptors(entries)
	return brokertest.Start(t, broker.Options{Hooks: h}), m
}

// eventually waits until f reports true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func revalidate(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	if err := b.Clients().Revalidate(t.Context(), "c"); err != nil {
		t.Fatalf("revalidate: %v", err)
	}
}

// A decision that is made anew takes the place of the old one at once.
func TestRevalidateGrants(t *testing.T) {
	b, m := startWithMoods(t)
	m.grant("#")
	c := b.Connect("c", func(p *packet.Connect) {
		p.ReceiveMaximum = 1
		p.Will = &packet.Will{Topic: "a/will", Payload: []byte("gone")}
		p.Username, p.HasUsername, p.Password, p.HasPassword = "u", true, []byte("secret"), true
	})
	c.Subscribe(1, "a/#", "b/#", "$share/g/a/shared")
	other := b.Connect("other")
	other.Subscribe(0, "a/will")
	publish := func(name, payload string) {
		t.Helper()
		other.Send(&packet.Publish{ID: 1, Message: mqtt.Message{Topic: name, Payload: []byte(payload), QoS: 1}})
		if _, ok := other.Next().(*packet.Ack); !ok {
			t.Fatal("no PUBACK")
		}
	}
	publish("b/0", "in flight")
	inFlight, ok := c.Next().(*packet.Publish)
	if !ok {
		t.Fatal("expected the first message")
	}
	publish("a/1", "queued, not granted any more")
	publish("b/1", "queued")

	m.grant("b/#")
	revalidate(t, b)
	if in := m.last.Load(); in.Username != "u" || string(in.Password) != "secret" || in.Will == nil || in.ConnectionID == 0 {
		t.Errorf("the validators were told %+v", in)
	}
	c.Send(&packet.Ack{Kind: packet.PUBACK, ID: inFlight.ID})
	c.ExpectMessage("b/1", "queued")
	publish("a/2", "no subscription any more")
	publish("a/shared", "nor this")
	c.Publish(mqtt.Message{Topic: "a/3", QoS: 1}, mqtt.NotAuthorized)
	c.Publish(mqtt.Message{Topic: "b/3", Payload: []byte("still"), QoS: 0}, 0)
	c.ExpectMessage("b/3", "still")
	if s, _ := b.Sessions().Get("c"); len(s.Subscriptions) != 1 || s.Subscriptions[0].Filter != "b/#" {
		t.Errorf("subscriptions %+v", s.Subscriptions)
	}
	c.Drop()
	eventually(t, "the queued message, a/3 and the will dropped", func() bool {
		return b.Stats().Drops[hook.CauseNotAuthorized] == 3
	})
	other.ExpectNothing()
}

// A subscription that is made while the grants change does not outlive them.
func TestRevalidateWhileSubscribing(t *testing.T) {
	reached, changed := make(chan struct{}), make(chan struct{})
	b, m := startWithMoods(t, rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointSubscribe && c.Client.ID == "c" {
			close(reached)
			<-changed
		}
	}).entry())
	m.grant("#")
	c := b.Connect("c")
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a"}}})
	<-reached
	m.grant("b")
	revalidate(t, b)
	close(changed)
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}})
	if s, _ := b.Sessions().Get("c"); len(s.Subscriptions) != 0 {
		t.Errorf("subscriptions %+v", s.Subscriptions)
	}
}

// Items reach every later hook, and the limits that can change do.
func TestRevalidateItemsAndLimits(t *testing.T) {
	items := make(chan string, 1)
	b, m := startWithMoods(t, rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish {
			items <- string(c.Client.Items["role"])
		}
	}).entry())
	m.set(hook.Decision{Verdict: hook.Allow, Items: map[string][]byte{"role": []byte("guest")}})
	c := b.Connect("c", brokertest.Resume)
	c.Publish(mqtt.Message{Topic: "t"}, 0)
	if got := <-items; got != "guest" {
		t.Errorf("role %q", got)
	}
	one, noSession, low := 1, uint32(0), mqtt.AtMostOnce
	m.set(hook.Decision{
		Verdict: hook.Allow, Items: map[string][]byte{"role": []byte("host")},
		Limits: hook.Limits{SubscriptionsCount: &one, SessionExpiry: &noSession, MaximumQoS: &low},
	})
	revalidate(t, b)
	c.Publish(mqtt.Message{Topic: "t", QoS: 2}, mqtt.NoMatchingSubscribers) // CONNACK promised it
	if got := <-items; got != "host" {
		t.Errorf("role %q", got)
	}
	c.Subscribe(1, "x")
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "y"}}})
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.QuotaExceeded}})
	c.Disconnect()
	if _, ack := b.TryConnect("c", brokertest.Resume); ack.SessionPresent {
		t.Error("the session outlived its limit")
	}
}

func TestRevalidateRefused(t *testing.T) {
	b, m := startWithMoods(t)
	watcher := b.Connect("watcher")
	watcher.Subscribe(0, "will")
	withWill := func(p *packet.Connect) { p.Will = &packet.Will{Topic: "will", Payload: []byte("gone")} }
	failure := errors.New("no database")
	for _, tt := range []struct {
		name     string
		decision hook.Decision
		err      *error
		want     packet.Disconnect
		will     bool
	}{
		{"denied", hook.Decision{
			Verdict: hook.Deny, Code: mqtt.UseAnotherServer, Reason: "moved", ServerReference: "b.example:1883",
		}, nil, packet.Disconnect{Code: mqtt.UseAnotherServer, Reason: "moved", ServerReference: "b.example:1883"}, false},
		{
			"nobody knows it",
			hook.Decision{},
			nil,
			packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "no validator knows this client"},
			false,
		},
		{
			"another user",
			hook.Decision{Verdict: hook.Allow, Username: new("mallory")},
			nil,
			packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "the session belongs to another user"},
			false,
		},
		{
			"another mountpoint",
			hook.Decision{Verdict: hook.Allow, Mountpoint: "m/"},
			nil,
			packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "the session belongs to another user"},
			false,
		},
		{"could not decide", hook.Decision{}, &failure, packet.Disconnect{Code: mqtt.ServerBusy}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m.set(hook.Decision{Verdict: hook.Allow})
			m.err.Store(nil)
			c := b.Connect("c", withWill)
			m.set(tt.decision)
			m.err.Store(tt.err)
			err := b.Clients().Revalidate(t.Context(), "c")
			var refusal *broker.Refusal
			if !errors.As(err, &refusal) || refusal.By == "" != (tt.name == "nobody knows it" || tt.decision.Verdict == hook.Allow) {
				t.Errorf("got %v", err)
			}
			c.Expect(&tt.want)
			c.ExpectClosed()
			if tt.will {
				watcher.ExpectMessage("will", "gone")
			} else {
				watcher.ExpectNothing()
			}
		})
	}
}

// Somebody who gives up waiting for the validators has changed nothing.
func TestRevalidateGivenUp(t *testing.T) {
	var slow atomic.Bool
	asked := make(chan struct{})
	b := startWithValidator(t, func(ctx context.Context, _ *hook.Connect) (*hook.Decision, error) {
		if slow.Load() {
			close(asked)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &hook.Decision{Verdict: hook.Allow}, nil
	})
	c := b.Connect("c")
	slow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := b.Clients().Revalidate(ctx, "c"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	c.ExpectNothing()
	if err := b.Clients().Revalidate(t.Context(), "nobody"); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
}

// When the client hangs up while the validators are asked again, they are told.
func TestRevalidateCancelled(t *testing.T) {
	var again atomic.Bool
	asked, ended := make(chan struct{}), make(chan struct{})
	b := startWithValidator(t, func(ctx context.Context, _ *hook.Connect) (*hook.Decision, error) {
		if !again.Swap(true) {
			return &hook.Decision{Verdict: hook.Allow, ValidFor: time.Millisecond}, nil
		}
		close(asked)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	})
	c := b.Connect("c")
	<-asked
	c.Drop()
	<-ended
}

// A decision that has expired is made again, and again.
func TestDecisionExpires(t *testing.T) {
	b, m := startWithMoods(t)
	m.set(hook.Decision{Verdict: hook.Allow, ValidFor: 5 * time.Millisecond})
	c := b.Connect("c")
	eventually(t, "the validators asked again and again", func() bool { return m.asked.Load() >= 4 })
	c.ExpectNothing()
	m.set(hook.Decision{Verdict: hook.Deny, Reason: "time is up"})
	c.Expect(&packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "time is up"})
	c.ExpectClosed()
}

// A client that was given its identifier is asked about under it.
func TestRevalidateAssigned(t *testing.T) {
	told := make(chan string, 2)
	b := startWithValidator(t, func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		told <- c.ClientID
		return &hook.Decision{Verdict: hook.Allow, AssignedClientID: "given"}, nil
	})
	b.Connect("")
	if err := b.Clients().Revalidate(t.Context(), "given"); err != nil {
		t.Fatal(err)
	}
	if first, second := <-told, <-told; first != "" || second != "given" {
		t.Errorf("told %q, then %q", first, second)
	}
}

// A client that authenticated in steps has to do so again by itself.
func TestRevalidateEnhanced(t *testing.T) {
	b := startWithCountdown(t)
	c := b.Dial(mqtt.V5)
	c.Send(withMethod("countdown", "0"))
	if ack, ok := c.Next().(*packet.Connack); !ok || ack.Code != mqtt.Success {
		t.Fatalf("got %+v", ack)
	}
	var refusal *broker.Refusal
	if err := b.Clients().Revalidate(t.Context(), "c"); !errors.As(err, &refusal) {
		t.Errorf("got %v", err)
	}
	c.Expect(&packet.Disconnect{Code: mqtt.NotAuthorized, Reason: "the client has to authenticate again"})
	c.ExpectClosed()
}
