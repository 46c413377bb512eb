package broker_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// margin has the retained messages in the log of a paper.
type margin struct{ log *session.Log }

func (m margin) Load(context.Context) iter.Seq2[retain.Record, error] {
	return func(func(retain.Record, error) bool) {}
}

func (m margin) Ready() error { return m.log.Failure() }

func (m margin) Record(c retain.Change) {
	if c.Message == nil {
		c.Message = &mqtt.Message{Topic: c.Topic}
	}
	m.log.Retain(c.Message, c.Revision, session.Durability(c.Durability))
}

func (m margin) Recorded(ctx context.Context) error { return m.log.Wait(ctx, m.log.End()) }

func (m margin) Apply(ctx context.Context, changes []retain.Change) error {
	for _, c := range changes {
		m.Record(c)
	}
	return m.Recorded(ctx)
}

// runIndex runs an index until the test ends.
func runIndex(t *testing.T, o retain.Options) *retain.Index {
	x := retain.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return x
}

// recording starts a broker whose retained messages are in its log, of limit bytes,
// and the session "kept" that subscribes to "k/#" with QoS 2.
func recording(t *testing.T, limit int) (*brokertest.Broker, *paper) {
	p := &paper{session.NewLog(limit)}
	x := runIndex(t, retain.Options{Store: margin{p.log}, DrainTimeout: time.Millisecond})
	b := brokertest.Start(t, broker.Options{Sessions: p, Retained: x})
	sub := b.Connect("kept", brokertest.Resume)
	sub.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "k/#", QoS: 2}}})
	sub.ExpectNothing()
	p.write()
	sub.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{2}})
	sub.Disconnect()
	return b, p
}

func retaining(id uint16, topic string, q mqtt.QoS) *packet.Publish {
	p := publish(id, topic, q)
	p.Message.Retain = true
	return p
}

// Acknowledgements of retained messages wait until they are written; neither their
// delivery nor the publisher's next message does.
func TestRetainedWaitsInLog(t *testing.T) {
	b, p := recording(t, 0)
	sub := b.Connect("sub")
	sub.Subscribe(0, "#")
	p.write()
	pub := b.Connect("pub")
	pub.Send(retaining(1, "a", 1), retaining(2, "b", 2), retaining(0, "c", 0), publish(3, "d", 1))
	for _, topic := range []string{"a", "b", "c", "d"} {
		sub.ExpectMessage(topic, "x")
	}
	pub.ExpectNothing()
	late := b.Connect("late")
	late.Subscribe(0, "a")
	late.ExpectMessage("a", "x")
	if kinds := p.write(); !slices.Equal(kinds, []session.ChangeKind{session.ChangeRetain, session.ChangeRetain, session.ChangeRetain}) {
		t.Errorf("changes %v", kinds)
	}
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 1}, &packet.Ack{Kind: packet.PUBREC, ID: 2}, &packet.Ack{Kind: packet.PUBACK, ID: 3})
	pub.Send(&packet.Publish{ID: 4, Message: mqtt.Message{Topic: "a", QoS: 1, Retain: true}})
	pub.ExpectNothing()
	p.write()
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 4})
	if _, found := b.Retained().Get("a"); found {
		t.Error("it was removed, and is there")
	}
}

// A QoS 2 message that is retained, and goes nowhere else that is kept, is not
// handled again after a restart.
func TestRetainedIsReceived(t *testing.T) {
	b, p := recording(t, 0)
	pub := b.Connect("pub", brokertest.Resume)
	p.write()
	pub.Send(retaining(1, "a", 2))
	pub.ExpectNothing()
	if kinds := p.write(); !slices.Equal(kinds, []session.ChangeKind{session.ChangeRetain, session.ChangeReceive}) {
		t.Errorf("changes %v", kinds)
	}
	pub.Expect(&packet.Ack{Kind: packet.PUBREC, ID: 1, Code: mqtt.NoMatchingSubscribers})
}

// Whenever the log is taken from, what is retained and the queues that it goes into
// are there together.
func TestRetainedIsGroup(t *testing.T) {
	b, p := recording(t, 0)
	pub := b.Connect("pub")
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		seen := 0
		for over := false; !over; {
			select {
			case <-stop:
				over = true
			default:
			}
			changes, upTo := p.log.Take(nil)
			there := make(map[*mqtt.Message]bool)
			for i := range changes {
				switch c := &changes[i]; c.Kind {
				case session.ChangeRetain:
					there[c.Delivery.Message] = true
					seen++
				case session.ChangeQueue:
					if !there[c.Delivery.Message] {
						t.Error("it is queued, and retained in another batch")
					}
					delete(there, c.Delivery.Message)
				}
			}
			if len(there) > 0 {
				t.Error("it is retained, and queued in another batch")
			}
			if upTo != 0 {
				p.log.Commit(upTo)
			}
		}
		ended <- seen
	}()
	const n = 300
	for i := range n {
		pub.Send(retaining(uint16(i+1), fmt.Sprint("k/", i%7), mqtt.QoS(1+i%2))) //nolint:gosec // small
		if i%10 == 9 {
			for range 10 {
				pub.Next()
			}
		}
	}
	close(stop)
	if seen := <-ended; seen != n {
		t.Errorf("%d of %d messages were retained", seen, n)
	}
}

// Publishers of QoS 0 wait for nothing, but while there is too much that is not
// written.
func TestRetainedKeepsPace(t *testing.T) {
	b, p := recording(t, 1000)
	sub := b.Connect("sub")
	sub.Subscribe(0, "#")
	pub := b.Connect("pub")
	big := retaining(0, "a", 0)
	big.Message.Payload = make([]byte, 2000)
	pub.Send(big)
	sub.Next()
	pub.Send(&packet.Pingreq{})
	pub.ExpectSilence()
	p.write()
	pub.Expect(&packet.Pingresp{})
}

// While nothing can be written, retained messages of QoS 1 and 2 are refused and
// leave nothing behind; those of QoS 0 are written later.
func TestRetainedUnwrittenInLog(t *testing.T) {
	b, p := recording(t, 0)
	pub, old := b.Connect("pub"), b.Connect("old", brokertest.V311)
	p.log.Fail(errFull)
	pub.Publish(retaining(0, "a", 1).Message, mqtt.QuotaExceeded)
	pub.Publish(retaining(0, "a", 2).Message, mqtt.QuotaExceeded)
	old.Send(retaining(1, "a", 1))
	old.ExpectClosed()
	if _, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: "a", Payload: []byte("x")}); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	if _, found := b.Retained().Get("a"); found {
		t.Error("it was refused, and is retained")
	}
	pub.Send(retaining(0, "c", 0), retaining(0, "b", 0), retaining(0, "b", 0))
	pub.ExpectNothing()
	if _, found := b.Retained().Get("b"); !found {
		t.Error("it is not retained")
	}
	p.log.Fail(nil)
	pub.Send(retaining(1, "k/1", 1))
	pub.ExpectNothing()
	changes, upTo := p.log.Take(nil)
	var got []string
	for i := range changes {
		if c := &changes[i]; c.Kind == session.ChangeRetain {
			got = append(got, c.Delivery.Message.Topic)
		}
	}
	if n := len(got); n < 3 || got[0] != "c" || got[n-2] != "b" || got[n-1] != "k/1" {
		t.Errorf("%v were written", got)
	}
	p.log.Commit(upTo)
	pub.Expect(&packet.Ack{Kind: packet.PUBACK, ID: 1})
}

// stuck is a store that takes one batch and is busy with it until the test ends.
type stuck struct {
	shelf
	began, ends chan struct{}
}

func (s *stuck) Apply(ctx context.Context, _ []retain.Change) error {
	close(s.began)
	select {
	case <-s.ends:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// What a full queue has no room for is not acknowledged, also not to clients whose
// protocol can't say no: their connection ends, so that they send it again.
func TestRetainedQueueFull(t *testing.T) {
	s := &stuck{began: make(chan struct{}), ends: make(chan struct{})}
	x := runIndex(t, retain.Options{Store: s, QueueChanges: 1})
	t.Cleanup(func() { close(s.ends) })
	b := brokertest.Start(t, broker.Options{Retained: x})
	first := b.Connect("first")
	first.Send(retaining(1, "a", 1))
	<-s.began
	for _, q := range []mqtt.QoS{1, 2} {
		b.Connect("new").Publish(retaining(0, "b", q).Message, mqtt.QuotaExceeded)
		old := b.Connect("old", brokertest.V311)
		old.Send(retaining(1, "b", q))
		old.ExpectClosed()
	}
	if _, found := b.Retained().Get("b"); found {
		t.Error("it was refused, and is retained")
	}
}
