package broker_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
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
