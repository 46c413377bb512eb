package broker_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

var errFull = errors.New("no space left on device")

// published is what the server API said about a message.
type published struct {
	out broker.Published
	err error
}

// publishing publishes by the server API, in the background.
func publishing(b *brokertest.Broker, topic string, q mqtt.QoS) <-chan published {
	answer := make(chan published, 1)
	go func() {
		out, err := b.Publish(context.Background(), &mqtt.Message{Topic: topic, Payload: []byte("x"), QoS: q})
		answer <- published{out, err}
	}()
	return answer
}

// The server API answers when it is written, like PUBACK.
func TestPublishWaits(t *testing.T) {
	b, p, sub := keeping(t)
	answer := publishing(b, "k/1", 1)
	sub.ExpectMessage("k/1", "x") // QoS 1 need not wait
	if len(answer) > 0 {
		t.Fatal("answered before it was written")
	}
	p.write()
	if a := <-answer; a.err != nil || a.out.Receivers != 1 {
		t.Errorf("%+v", a)
	}
	for _, topic := range []string{"k/0", "nobody"} {
		if a := <-publishing(b, topic, 0); a.err != nil {
			t.Errorf("%s: %v", topic, a.err)
		}
	}
	sub.ExpectMessage("k/0", "x")
	enqueued := make(chan error, 1)
	go func() {
		_, err := b.Sessions().Enqueue(context.Background(), "kept", &mqtt.Message{Topic: "k/2", Payload: []byte("x"), QoS: 1})
		enqueued <- err
	}()
	sub.ExpectMessage("k/2", "x")
	if len(enqueued) > 0 {
		t.Fatal("answered before it was written")
	}
	p.write()
	if err := <-enqueued; err != nil {
		t.Error(err)
	}
}

// Many messages may be published before the first is written.
func TestPublishAhead(t *testing.T) {
	b, p, sub := keeping(t)
	var list []broker.Published
	for _, topic := range []string{"k/1", "k/2", "nobody"} {
		out, err := b.PublishAhead(t.Context(), &mqtt.Message{Topic: topic, Payload: []byte("x"), QoS: 1})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, out)
	}
	sub.ExpectMessage("k/1", "x")
	sub.ExpectMessage("k/2", "x")
	written := make(chan error, 1)
	go func() { written <- b.Written(context.Background(), list...) }()
	if err := b.Written(t.Context(), list[2]); err != nil || len(written) > 0 {
		t.Errorf("%v, or written too early", err)
	}
	p.write()
	if err := <-written; err != nil {
		t.Error(err)
	}
}

// What is not written in time is said not to be.
func TestPublishWaitEnds(t *testing.T) {
	p := &paper{session.NewLog(0)}
	b := brokertest.Start(t, broker.Options{Sessions: p, Limits: broker.Limits{StoreTimeout: time.Millisecond}})
	sub := b.Connect("kept", brokertest.Resume)
	sub.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "k/#", QoS: 2}}})
	sub.ExpectNothing()
	if a := <-publishing(b, "k/1", 1); !errors.Is(a.err, broker.ErrUnwritten) {
		t.Error(a.err)
	}
}

// While nothing can be written, what the server API would have to keep is refused,
// and all else goes on.
func TestPublishUnwritten(t *testing.T) {
	b, p, sub := keeping(t)
	p.log.Fail(errFull)
	for _, q := range []mqtt.QoS{1, 2} {
		if a := <-publishing(b, "k/1", q); !errors.Is(a.err, broker.ErrUnwritten) {
			t.Errorf("QoS %d: %v", q, a.err)
		}
	}
	if _, err := b.Sessions().Enqueue(t.Context(), "kept", &mqtt.Message{Topic: "k/2", QoS: 1}); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	if _, err := b.Sessions().Deliver(t.Context(), "kept", &mqtt.Message{Topic: "k/2", QoS: 1}); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	sub.ExpectNothing()
	if a := <-publishing(b, "k/0", 0); a.err != nil {
		t.Error(a.err)
	}
	sub.ExpectMessage("k/0", "x")
	if a := <-publishing(b, "nobody", 1); a.err != nil {
		t.Error(a.err)
	}
	p.log.Fail(nil)
	answer := publishing(b, "k/3", 1)
	sub.ExpectMessage("k/3", "x")
	p.write()
	if a := <-answer; a.err != nil {
		t.Error(a.err)
	}
}

// A will that comes while nothing can be written is in the log before the record
// that the client has left it, so that no crash loses it.
func TestWillUnwritten(t *testing.T) {
	b, p, sub := keeping(t)
	leaver := b.Connect("leaver", brokertest.Resume, func(c *packet.Connect) {
		c.Will = &packet.Will{Topic: "k/will", Payload: []byte("gone"), QoS: 1}
	})
	p.write()
	p.log.Fail(errFull)
	leaver.Drop()
	sub.ExpectMessage("k/will", "gone")
	var queued, forgotten int
	late := time.After(brokertest.Patience)
	for n := 0; forgotten == 0; {
		select {
		case <-p.log.Ready():
		case <-late:
			t.Fatal("the will is not forgotten")
		}
		changes, upTo := p.log.Take(nil)
		p.log.Commit(upTo)
		for i := range changes {
			n++
			switch c := &changes[i]; {
			case c.Kind == session.ChangeQueue && c.Delivery.Message.Topic == "k/will":
				queued = n
			case c.Kind == session.ChangeProfile && c.Profile.ClientID == "leaver" && c.Profile.Will == nil:
				forgotten = n
			}
		}
	}
	if queued == 0 || forgotten < queued {
		t.Errorf("the will is change %d, that there is none any more is %d", queued, forgotten)
	}
}

// shelf is a store of retained messages that may not be writable.
type shelf struct {
	full    atomic.Bool
	changes chan retain.Change
}

func (s *shelf) Load(context.Context) iter.Seq2[retain.Record, error] {
	return func(func(retain.Record, error) bool) {}
}

func (s *shelf) Ready() error {
	if s.full.Load() {
		return errFull
	}
	return nil
}

func (s *shelf) Apply(_ context.Context, changes []retain.Change) error {
	if err := s.Ready(); err != nil {
		return err
	}
	for _, c := range changes {
		s.changes <- c
	}
	return nil
}

// While the store of retained messages can't be written, retained messages of QoS
// 1 and 2 are refused; those of QoS 0 are written later, and delivered now.
func TestRetainedUnwritten(t *testing.T) {
	s := &shelf{changes: make(chan retain.Change, 10)}
	x := retain.New(retain.Options{Store: s})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	b := brokertest.Start(t, broker.Options{Retained: x})
	sub := b.Connect("sub")
	sub.Subscribe(0, "#")
	pub := b.Connect("pub")
	message := func(topic string, q mqtt.QoS) mqtt.Message {
		return mqtt.Message{Topic: topic, Payload: []byte("x"), QoS: q, Retain: true}
	}
	pub.Publish(message("a", 1), mqtt.Success)
	if c := <-s.changes; c.Topic != "a" || c.Durability != retain.DurabilitySync {
		t.Errorf("%+v", c)
	}
	sub.ExpectMessage("a", "x")

	s.full.Store(true)
	pub.Publish(message("b", 1), mqtt.QuotaExceeded)
	pub.Publish(message("b", 2), mqtt.QuotaExceeded)
	sub.ExpectNothing()
	pub.Publish(message("c", 0), 0)
	sub.ExpectMessage("c", "x")
	old := b.Connect("old", brokertest.V311)
	old.Send(&packet.Publish{ID: 1, Message: message("b", 1)})
	old.ExpectClosed()
	if _, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: "b", Payload: []byte("x")}); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	if _, err := b.Retained().Delete(t.Context(), "a"); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	if _, err := b.Retained().Clear(t.Context()); !errors.Is(err, broker.ErrUnwritten) {
		t.Error(err)
	}
	leaver := b.Connect("leaver", func(c *packet.Connect) {
		c.Will = &packet.Will{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true}
	})
	leaver.Drop()
	sub.ExpectMessage("w", "gone")

	s.full.Store(false)
	got := []string{(<-s.changes).Topic, (<-s.changes).Topic}
	if !slices.Equal(got, []string{"c", "w"}) {
		t.Errorf("%v were written later", got)
	}
	pub.Publish(message("b", 1), mqtt.Success)
}
