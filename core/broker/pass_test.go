package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Messages of QoS 0 that one read brings are passed on as they came, where that is
// what a receiver gets, and made anew for all others: whoever subscribed gets every
// message, once, in order, and in his own way.
func TestPassedToAll(t *testing.T) {
	for _, version := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		t.Run(version.String(), func(t *testing.T) {
			b := brokertest.Start(t, broker.Options{})
			of := func(v mqtt.Version) func(*packet.Connect) { return func(p *packet.Connect) { p.Version = v } }
			pub := b.Connect("pub", of(version))
			subscribers := map[string]*brokertest.Client{
				"3.1": b.Connect("3.1", of(mqtt.V31)), "3.1.1": b.Connect("3.1.1", of(mqtt.V311)), "5": b.Connect("5"),
				"aliases":  b.Connect("aliases", func(p *packet.Connect) { p.TopicAliasMaximum = 2 }),
				"narrow":   b.Connect("narrow", func(p *packet.Connect) { p.MaximumPacketSize = 40 }),
				"numbered": b.Connect("numbered"),
			}
			for name, s := range subscribers {
				sub := &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t/#", QoS: 1}}}
				if name == "numbered" {
					sub.SubscriptionID = 7
				}
				s.Send(sub)
				s.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{1}})
			}
			var sent []packet.Packet
			var want []string
			for i := range 200 {
				m := mqtt.Message{Topic: fmt.Sprintf("t/%d", i/7%3), Payload: fmt.Appendf(nil, "%d", i)}
				p := &packet.Publish{Message: m}
				switch i % 50 {
				case 3:
					p.Message.QoS, p.ID = 1, uint16(i)
				case 20:
					p.Message.Payload = slices.Concat(m.Payload, make([]byte, 100))
				case 30:
					p.Message.Topic = "nobody/hears"
					sent = append(sent, p)
					continue
				}
				sent = append(sent, p)
				want = append(want, p.Message.Topic+" "+string(p.Message.Payload))
			}
			pub.Send(sent...)
			for name, s := range subscribers {
				t.Run(name, func(t *testing.T) {
					s = s.In(t)
					aliases := make(map[uint16]string)
					for _, w := range want {
						if name == "narrow" && len(w) > 40 {
							continue // [MQTT-3.1.2-25]
						}
						p, ok := s.Next().(*packet.Publish)
						if !ok {
							t.Fatalf("got %+v", p)
						}
						if p.HasAlias && p.Message.Topic != "" {
							aliases[p.Alias] = p.Message.Topic
						}
						if p.Message.Topic == "" {
							p.Message.Topic = aliases[p.Alias]
						}
						if got := p.Message.Topic + " " + string(p.Message.Payload); got != w {
							t.Fatalf("got %q, want %q", got, w)
						}
						if ids := p.SubscriptionIDs; (name == "numbered") != slices.Equal(ids, []uint32{7}) {
							t.Fatalf("subscriptions %v", ids)
						}
						if p.ID != 0 {
							s.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
						}
					}
					s.ExpectNothing()
				})
			}
			if n := b.Stats(); n.MessagesIn != 200 || n.MessagesOut != uint64(6*len(want)-4) {
				t.Errorf("counted %d and %d messages", n.MessagesIn, n.MessagesOut)
			}
		})
	}
}

// The members of a share group take turns also if one read brings messages for
// all of them.
func TestPassedToGroup(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	one, two, plain := b.Connect("one"), b.Connect("two"), b.Connect("plain")
	one.Subscribe(0, "$share/g/t")
	two.Subscribe(0, "$share/g/t")
	plain.Subscribe(0, "t")
	var sent []packet.Packet
	for i := range 20 {
		sent = append(sent, &packet.Publish{Message: mqtt.Message{Topic: "t", Payload: fmt.Append(nil, i)}})
	}
	b.Connect("pub").Send(sent...)
	for i := range 20 {
		plain.ExpectMessage("t", fmt.Sprint(i))
	}
	var got []string
	for range 10 {
		got = append(got, string(one.Next().(*packet.Publish).Message.Payload), string(two.Next().(*packet.Publish).Message.Payload))
	}
	for _, c := range []*brokertest.Client{one, two, plain} {
		c.ExpectNothing()
	}
	if got[0] == "1" {
		for i := 0; i < len(got); i += 2 {
			got[i], got[i+1] = got[i+1], got[i]
		}
	}
	if all := strings.Join(got, " "); all != "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19" {
		t.Errorf("got %s", all)
	}
}

// A publisher does not get back what it publishes if it said so.
func TestPassedNotToItself(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c, other := b.Connect("c"), b.Connect("other")
	other.Subscribe(0, "t")
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "t", NoLocal: true}}})
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}})
	c.Publish(mqtt.Message{Topic: "t", Payload: []byte("x")}, 0)
	other.ExpectMessage("t", "x")
	c.ExpectNothing()
}

// Observers are told of every message that is passed on, and of those that nobody
// hears, if they want to know.
func TestPassedIsTold(t *testing.T) {
	for _, kinds := range [][]hook.EventKind{{hook.Published, hook.NotConsumed}, {hook.Published}} {
		t.Run(fmt.Sprintf("%v", kinds), func(t *testing.T) { checkPassedIsTold(t, kinds) })
	}
}

func checkPassedIsTold(t *testing.T, kinds []hook.EventKind) {
	w := watcher{make(chan hook.Event, 100)}
	h := hook.NewHooks(nil)
	h.SetObservers([]hook.ObserverEntry{{Observer: w, Interests: []hook.Interest{{Point: hook.PointEvent, Events: kinds}}}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(0, "heard")
	var sent []packet.Packet
	var want []string
	for i := range 6 {
		topic := []string{"heard", "unheard"}[i/3]
		sent = append(sent, &packet.Publish{Message: mqtt.Message{Topic: topic, Payload: fmt.Append(nil, i)}})
		want = append(want, fmt.Sprintf("%v pub %s %d", hook.Published, topic, i))
		if topic == "unheard" && slices.Contains(kinds, hook.NotConsumed) {
			want = append(want, fmt.Sprintf("%v pub %s %d", hook.NotConsumed, topic, i))
		}
	}
	pub.Send(sent...)
	for i := range 3 {
		sub.ExpectMessage("heard", fmt.Sprint(i))
	}
	pub.ExpectNothing()
	b.Stop()
	h.Close()
	close(w.events)
	var got []string
	var last uint64
	for e := range w.events {
		if e.ClientID != e.Message.Publisher || e.Client == nil || e.ConnectionID != e.Client.ConnectionID || e.Time.IsZero() || e.Seq <= last {
			t.Errorf("event %+v", e)
		}
		last = e.Seq
		got = append(got, fmt.Sprintf("%v %s %s %s", e.Kind, e.ClientID, e.Message.Topic, e.Message.Payload))
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}
