package conformance_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// share is a shared subscription with QoS 2.
func share(group, filter string) mqtt.Subscription {
	return mqtt.Subscription{Filter: "$share/" + group + "/" + filter, QoS: 2}
}

// [MQTT-4.8.2-1] [MQTT-4.8.2-2]: what a shared subscription's filter looks like.
func TestSharedFilter(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		bad := mqtt.TopicFilterInvalid
		if v != mqtt.V5 {
			bad = mqtt.UnspecifiedError
		}
		c := b.Connect("c", speaking(v))
		for filter, want := range map[string]mqtt.ReasonCode{
			"$share/g/a": 0, "$share/g/#": 0, "$share/g//": 0, "$share/größe/+/b": 0, "$share": 0, "$shared/g/#": 0,
			"$share/": bad, "$share/g": bad, "$share/g/": bad, "$share//a": bad,
			"$share/+/a": bad, "$share/#": bad, "$share/g+/a": bad, "$share/g/a#": bad,
		} {
			if d := cmp.Diff([]mqtt.ReasonCode{want}, subscribe(t, c, mqtt.Subscription{Filter: filter})); d != "" {
				t.Errorf("%s: %s", filter, d)
			}
		}
	})
}

// Section 4.8.2: each group gets each message once, and each subscription of a
// client's own as ever; [MQTT-4.8.2-3]: with the QoS of the member that gets it.
func TestSharedDelivery(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	one, two := b.Connect("one"), b.Connect("two", brokertest.V311)
	subscribeAs(t, one, 11, share("g", "t/+"))
	subscribe(t, two, mqtt.Subscription{Filter: "$share/g/t/+", QoS: 0})
	other := b.Connect("other")
	subscribeAs(t, other, 12, share("h", "t/+"), share("g", "t/#"), mqtt.Subscription{Filter: "t/a", QoS: 1})
	got := make(map[string]int)
	const n = 10
	for range n {
		send(t, pub, say("t/a", "x", 2))
	}
	for _, p := range receive(t, one, n/2) { // round robin
		if p.Message.QoS != 2 || len(p.SubscriptionIDs) != 1 || p.SubscriptionIDs[0] != 11 {
			t.Errorf("got %+v", p)
		}
	}
	for _, p := range receive(t, two, n/2) {
		if p.Message.QoS != 0 {
			t.Errorf("got %+v", p)
		}
	}
	for _, p := range receive(t, other, 3*n) {
		got[number(int(p.Message.QoS))]++
	}
	if got["2"] != 2*n || got["1"] != n {
		t.Errorf("got %v by QoS", got)
	}
	nothing(one, two, other)
}

// The strategies by which a group chooses.
func TestSharedStrategies(t *testing.T) {
	startWith := func(s router.Strategy) (*brokertest.Broker, []*brokertest.Client) {
		b := brokertest.Start(t, broker.Options{Router: router.New(router.Options{Strategy: s})})
		members := []*brokertest.Client{b.Connect("0"), b.Connect("1"), b.Connect("2")}
		for _, m := range members {
			subscribe(t, m, share("g", "t"))
		}
		return b, members
	}
	t.Run("round-robin", func(t *testing.T) {
		b, members := startWith(router.RoundRobin)
		pub := b.Connect("pub")
		for range 9 {
			send(t, pub, say("t", "", 1))
		}
		for _, m := range members {
			receive(t, m, 3)
		}
		nothing(members...)
	})
	t.Run("sticky", func(t *testing.T) {
		b, members := startWith(router.Sticky)
		for p := range 5 {
			pub := b.Connect("pub" + number(p))
			for i := range 6 {
				send(t, pub, say("t", number(i), 0))
			}
			with := 0
			for _, m := range members {
				if n := len(waiting(t, m)); n == 6 {
					with++
				} else if n != 0 {
					t.Errorf("a member got %d of 6", n)
				}
			}
			if with != 1 {
				t.Errorf("%d members", with)
			}
		}
	})
	t.Run("least-in-flight", func(t *testing.T) {
		b, members := startWith(router.LeastInFlight)
		pub := b.Connect("pub")
		got := make([]int, len(members))
		for i := range 6 {
			// Two of QoS 1, which nobody acknowledges; those of QoS 0 leave
			// nothing in flight.
			send(t, pub, say("t", "", mqtt.QoS(max(0, 1-i/2))))
			for j, m := range members {
				got[j] += len(waiting(t, m))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, []int{1, 1, 4}) {
			t.Errorf("got %v messages", got)
		}
	})
}

// Section 4.8.2: members that are away get something only if all are; and what
// a member had not acknowledged when its session ended goes to another.
func TestSharedMembersLeave(t *testing.T) {
	every(t, func(t *testing.T, v mqtt.Version) {
		b := start(t)
		pub := b.Connect("pub")
		here, away := b.Connect("here", speaking(v)), b.Connect("away", speaking(v), keeping(60))
		subscribe(t, here, share("g", "t"))
		subscribe(t, away, share("g", "t"))
		away.Disconnect()
		for i := range 4 { // all to the one that is here
			send(t, pub, say("t", number(i), 1))
		}
		unacknowledged := next(t, here)
		for range 3 {
			p := next(t, here)
			here.Send(ack(packet.PUBACK, p.ID))
		}
		here.ExpectNothing()
		here.Drop()
		gone(t, b, 2)
		send(t, pub, say("t", "4", 2)) // nobody is here: kept
		away = b.Connect("away", speaking(v), keeping(60))
		got := receive(t, away, 2)
		if string(got[0].Message.Payload) != string(unacknowledged.Message.Payload) || string(got[1].Message.Payload) != "4" || got[0].Dup {
			t.Errorf("got %+v and %+v", got[0], got[1])
		}
		nothing(away)
	})
}

// [MQTT-4.8.2-4] [MQTT-4.8.2-5]: a QoS 2 message whose delivery has begun is
// completed with the same client or not at all.
func TestSharedQoS2(t *testing.T) {
	b := start(t)
	pub := b.Connect("pub")
	begin := func() (*brokertest.Client, *brokertest.Client, *packet.Publish) {
		chosen := b.Connect("chosen", keeping(60))
		subscribe(t, chosen, share("g", "t"))
		send(t, pub, say("t", "x", 2))
		p := next(t, chosen)
		other := b.Connect("other")
		subscribe(t, other, share("g", "t"))
		chosen.Drop()
		return chosen, other, p
	}
	_, other, p := begin()
	nothing(other)
	chosen := b.Connect("chosen", keeping(60))
	if again := next(t, chosen); again.ID != p.ID || !again.Dup {
		t.Errorf("got %+v", again)
	}
	chosen.Send(ack(packet.PUBREC, p.ID))
	chosen.Expect(ack(packet.PUBREL, p.ID))
	chosen.Send(ack(packet.PUBCOMP, p.ID))
	chosen.Disconnect()
	b.Connect("chosen").Disconnect()
	other.Disconnect()

	_, other, _ = begin()
	b.Connect("chosen").Disconnect() // clean start: the session ends
	nothing(other)
}

// [MQTT-4.8.2-6]: what a member refuses goes to nobody else.
func TestSharedRefused(t *testing.T) {
	b := start(t)
	pub, one, two := b.Connect("pub"), b.Connect("one"), b.Connect("two")
	subscribe(t, one, share("g", "t"))
	for _, q := range []mqtt.QoS{1, 2} {
		send(t, pub, say("t", "x", q))
		p := next(t, one)
		subscribe(t, two, share("g", "t"))
		kind := packet.PUBACK
		if q == 2 {
			kind = packet.PUBREC
		}
		one.Send(&packet.Ack{Kind: kind, ID: p.ID, Code: mqtt.ImplementationSpecificError})
		nothing(one, two)
		unsubscribe(t, two, "$share/g/t")
	}
	subscribe(t, two, share("g", "t"))
	one.Drop()
	gone(t, b, 2)
	nothing(two)
}

// A group without members gets nothing; one with the same name and another
// filter is another group.
func TestSharedGroupsEnd(t *testing.T) {
	b := start(t)
	pub, c := b.Connect("pub"), b.Connect("c")
	subscribe(t, c, share("g", "a"), share("g", "+"))
	pub.Publish(say("a", "", 1), mqtt.Success)
	receive(t, c, 2)
	unsubscribe(t, c, "$share/g/a")
	pub.Publish(say("a", "", 1), mqtt.Success)
	receive(t, c, 1)
	unsubscribe(t, c, "$share/g/+")
	pub.Publish(say("a", "", 1), mqtt.NoMatchingSubscribers)
	nothing(c)
}
