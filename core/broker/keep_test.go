package broker_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// paper is a store that the test writes.
type paper struct{ log *session.Log }

func (p *paper) Log() *session.Log { return p.log }

func (p *paper) Load(context.Context) iter.Seq2[*session.State, error] {
	return func(func(*session.State, error) bool) {}
}

// write writes all that there is.
func (p *paper) write() (kinds []session.ChangeKind) {
	changes, upTo := p.log.Take(nil)
	if upTo != 0 {
		p.log.Commit(upTo)
	}
	for _, c := range changes {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

// keeping starts a broker with such a store, and the session "kept" that
// subscribes to "k/#" with QoS 2.
func keeping(t *testing.T) (*brokertest.Broker, *paper, *brokertest.Client) {
	p := &paper{session.NewLog(0)}
	b := brokertest.Start(t, broker.Options{Sessions: p})
	sub := b.Connect("kept", brokertest.Resume)
	sub.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "k/#", QoS: 2}}})
	sub.ExpectNothing() // SUBACK waits, PINGRESP does not
	p.write()
	sub.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{2}})
	return b, p, sub
}

func publish(id uint16, topic string, q mqtt.QoS) *packet.Publish {
	return &packet.Publish{ID: id, Message: mqtt.Message{Topic: topic, Payload: []byte("x"), QoS: q}}
}

// An answer waits for what it promises, and those behind it wait for it; who
// promises nothing waits for nothing.
func TestAnswersWait(t *testing.T) {
	b, p, _ := keeping(t)
	other := b.Connect("other")
	other.Subscribe(1, "o")
	pub := b.Connect("pub")
	pub.Send(publish(1, "k/a", 1), publish(2, "o", 1))
	other.ExpectMessage("o", "x")
	pub.ExpectNothing()
	p.write()
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 1}, &packet.Ack{Kind: packet.PUBACK, ID: 2})
	pub.Send(publish(3, "o", 1))
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 3})
}

// The identifier of a QoS 2 message and the queues that it went into are written
// together, and each step of the exchange before it is answered.
func TestExactlyOnceWaits(t *testing.T) {
	b, p, sub := keeping(t)
	pub := b.Connect("pub", brokertest.Resume)
	p.write()
	pub.Send(publish(7, "k/a", 2))
	pub.ExpectNothing()
	sub.ExpectNothing()
	var queued, received bool
	for _, kind := range p.write() {
		queued = queued || kind == session.ChangeQueue
		received = received || kind == session.ChangeReceive
	}
	if !queued || !received {
		t.Fatalf("queued %v, received %v", queued, received)
	}
	pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 7})
	p.write() // the identifier, if it was bound after the last time
	m, ok := sub.Next().(*packet.Publish)
	if !ok || m.Message.QoS != 2 {
		t.Fatalf("got %v", m)
	}
	sub.Send(&packet.Ack{Kind: packet.PUBREC, ID: m.ID})
	sub.ExpectNothing()
	p.write()
	sub.Expect(&packet.Ack{Kind: packet.PUBREL, ID: m.ID})
	pub.Send(&packet.Ack{Kind: packet.PUBREL, ID: 7})
	pub.ExpectNothing()
	p.write()
	pub.Expect(&packet.Ack{Kind: packet.PUBCOMP, ID: 7})
}

// While nothing can be written, what needs it is refused and all else goes on.
func TestNothingCanBeWritten(t *testing.T) {
	b, p, sub := keeping(t)
	p.log.Fail(errors.New("no space left on device"))
	if b.Ready() == nil {
		t.Error("the broker is ready")
	}
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "k/a", Payload: []byte("x"), QoS: 1}, mqtt.QuotaExceeded)
	pub.Publish(mqtt.Message{Topic: "k/a", Payload: []byte("x"), QoS: 2}, mqtt.QuotaExceeded)
	sub.ExpectNothing()
	pub.Publish(mqtt.Message{Topic: "k/0", Payload: []byte("zero")}, 0)
	sub.ExpectMessage("k/0", "zero")
	pub.Publish(mqtt.Message{Topic: "nobody", Payload: []byte("x"), QoS: 1}, mqtt.NoMatchingSubscribers)
	old := b.Connect("old", brokertest.V311)
	old.Send(publish(1, "k/a", 1))
	old.ExpectClosed()

	p.log.Fail(nil)
	if err := b.Ready(); err != nil {
		t.Error(err)
	}
	pub.Send(publish(5, "k/a", 1))
	pub.ExpectNothing()
	p.write()
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 5})
}

// Another durability holds for clients that connect from then on.
func TestReconfigureDurability(t *testing.T) {
	b, p, sub := keeping(t)
	b.Reconfigure(broker.Options{Durability: session.DurabilityNone})
	later := b.Connect("later", brokertest.Resume)
	for _, tt := range []struct {
		c   *brokertest.Client
		lax bool
	}{{sub, false}, {later, true}} {
		p.write()
		tt.c.Send(&packet.Subscribe{ID: 7, Subscriptions: []mqtt.Subscription{{Filter: "x", QoS: 1}}})
		tt.c.ExpectNothing()
		changes, upTo := p.log.Take(nil)
		if len(changes) == 0 {
			t.Fatal("nothing is to be written")
		}
		for _, c := range changes {
			if c.Lax != tt.lax {
				t.Errorf("%+v", c)
			}
		}
		p.log.Commit(upTo)
		tt.c.Expect(&packet.Suback{ID: 7, Codes: []mqtt.ReasonCode{1}})
	}
}

// What a validator says of durability comes before the listener, and that before
// the broker; it is decided anew for every connection, and when the validators
// are asked again.
func TestDurabilityOfClients(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	m := new(moods)
	m.set(hook.Decision{Verdict: hook.Allow, Durability: hook.DurabilityInterval})
	h.SetValidators([]hook.ValidatorEntry{{Name: "moods", Validator: m}})
	p := &paper{session.NewLog(0)}
	b := brokertest.Start(t, broker.Options{Sessions: p, Hooks: h, Durability: session.DurabilityNone})
	id := uint16(0)
	subscribe := func(c *brokertest.Client, name string, want session.Durability) {
		t.Helper()
		p.write()
		id++
		c.Send(&packet.Subscribe{ID: id, Subscriptions: []mqtt.Subscription{{Filter: "x", QoS: 1}}})
		c.ExpectNothing()
		changes, upTo := p.log.Take(nil)
		p.log.Commit(upTo)
		c.Expect(&packet.Suback{ID: id, Codes: []mqtt.ReasonCode{1}})
		for _, ch := range changes {
			if got := ch.Sync; got != (want == session.DurabilitySync) {
				t.Errorf("%s: sync %v, want %s", name, got, want)
			}
			if ch.Lax != (want == session.DurabilityNone) {
				t.Errorf("%s: lax %v, want %s", name, ch.Lax, want)
			}
		}
		if status, _ := b.Sessions().Get(name); status.Durability.String() != want.String() {
			t.Errorf("the session of %s is %q, want %s", name, status.Durability, want)
		}
	}
	connect := func(name string) *brokertest.Client {
		t.Helper()
		return writing(t, p, func() *brokertest.Client { return b.Connect(name, brokertest.Resume) })
	}

	other := connect("other")
	subscribe(other, "other", session.DurabilityNone)
	b.SetListener("test", broker.ListenerOptions{Durability: new(session.DurabilitySync)})
	third := connect("third")
	subscribe(third, "third", session.DurabilitySync)
	c := connect("c")
	subscribe(c, "c", session.DurabilityInterval)

	m.set(hook.Decision{Verdict: hook.Allow, Durability: hook.DurabilityNone})
	if err := b.Clients().Revalidate(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	subscribe(c, "c", session.DurabilityNone)
	c.Disconnect()
	b.Reconfigure(broker.Options{Durability: session.DurabilitySync})
	eventually(t, "c is away", func() bool { status, _ := b.Sessions().Get("c"); return !status.Connected })
	if status, _ := b.Sessions().Get("c"); status.Durability != hook.DurabilityNone {
		t.Errorf("the session of a client that is away is %q", status.Durability)
	}
	m.set(hook.Decision{Verdict: hook.Allow})
	c = connect("c")
	subscribe(c, "c", session.DurabilitySync)

	clean := b.Connect("clean")
	clean.Subscribe(1, "y")
	if status, _ := b.Sessions().Get("clean"); status.Durability != hook.DurabilityUnstated {
		t.Errorf("a session that is not kept is %q", status.Durability)
	}
}

// writing does something while what it waits for is written.
func writing(t *testing.T, p *paper, do func() *brokertest.Client) *brokertest.Client {
	t.Helper()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				p.write()
				time.Sleep(time.Millisecond)
			}
		}
	}()
	c := do()
	close(done)
	<-ended
	return c
}
