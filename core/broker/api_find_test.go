package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

func TestFindClientsAndSessions(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for _, id := range []string{"b2", "a1", "b1", "b3"} {
		b.Connect(id, brokertest.Resume)
	}
	b.Connect("b4", brokertest.Resume).Disconnect()
	eventually(t, "b4 is away", func() bool { s, _ := b.Sessions().Get("b4"); return !s.Connected })
	clients := func(after string, limit int) (ids []string) {
		for _, c := range b.Clients().Find(after, limit, func(c *broker.ClientStatus) bool { return strings.HasPrefix(c.ID, "b") }) {
			ids = append(ids, c.ID)
		}
		return ids
	}
	for _, tt := range []struct {
		after string
		limit int
		want  []string
	}{{"", 2, []string{"b1", "b2"}}, {"b2", 2, []string{"b3"}}, {"b3", 2, nil}, {"", 0, []string{"b1"}}} {
		if diff := cmp.Diff(tt.want, clients(tt.after, tt.limit)); diff != "" {
			t.Errorf("after %q: %s", tt.after, diff)
		}
	}
	away := b.Sessions().Find("", 10, func(s *broker.SessionStatus) bool { return !s.Connected })
	if len(away) != 1 || away[0].ClientID != "b4" {
		t.Errorf("away: %+v", away)
	}
}

func TestFindSubscriptions(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	var want []broker.ClientSubscription
	for _, id := range []string{"a", "b", "c"} {
		c := b.Connect(id)
		for i, filter := range []string{"$share/g/t", "t", "t/#"} {
			c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: filter, QoS: mqtt.QoS(i)}}})
			c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.ReasonCode(i)}})
			want = append(want, broker.ClientSubscription{ClientID: id, Subscription: mqtt.Subscription{Filter: filter, QoS: mqtt.QoS(i)}})
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			var got []broker.ClientSubscription
			var after *broker.ClientSubscription
			for {
				page := b.Sessions().FindSubscriptions(after, limit, func(*broker.ClientSubscription) bool { return true })
				got = append(got, page...)
				if len(page) < limit {
					break
				}
				after = &got[len(got)-1]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	some := b.Sessions().FindSubscriptions(nil, 10, func(s *broker.ClientSubscription) bool { return s.Filter == "t" && s.ClientID > "a" })
	if len(some) != 2 || some[0].ClientID != "b" {
		t.Errorf("%+v", some)
	}
}

func TestSharedList(t *testing.T) {
	s := brokertest.Start(t, broker.Options{}).Shared()
	for _, key := range []string{"x/3", "x/1", "y", "x/2"} {
		if _, err := s.Put(key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(prefix, after string, limit int) string {
		var keys []string
		for _, e := range s.List(prefix, after, limit) {
			if e.Version == 0 || string(e.Value) != e.Key {
				t.Errorf("%+v", e)
			}
			keys = append(keys, e.Key)
		}
		return strings.Join(keys, " ")
	}
	for _, tt := range []struct {
		prefix, after string
		limit         int
		want          string
	}{{"", "", 10, "x/1 x/2 x/3 y"}, {"x/", "", 2, "x/1 x/2"}, {"x/", "x/2", 2, "x/3"}, {"z", "", 2, ""}, {"", "", 0, "x/1"}} {
		if got := keys(tt.prefix, tt.after, tt.limit); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestListenerConnections(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c")
	if n := b.ListenerConnections("test"); n != 1 {
		t.Errorf("%d connections", n)
	}
	if n := b.ListenerConnections("none"); n != 0 {
		t.Errorf("%d connections of no listener", n)
	}
	c.Disconnect()
	eventually(t, "the connection is closed", func() bool { return b.ListenerConnections("test") == 0 })
}

func TestRetainedImport(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	list := []*mqtt.Message{}
	for i := range 3000 {
		list = append(list, &mqtt.Message{Topic: fmt.Sprintf("t/%04d", i), Payload: []byte("x"), Publisher: "p"})
	}
	n, err := b.Retained().Import(t.Context(), slices.Values(list))
	if n != 3000 || err != nil || b.Stats().Retained != 3000 {
		t.Fatalf("%d, %v, %d", n, err, b.Stats().Retained)
	}
	bad := []*mqtt.Message{{Topic: "u", Payload: []byte("x")}, {Topic: "u/#"}, {Topic: "v", Payload: []byte("x")}}
	if n, err := b.Retained().Import(t.Context(), slices.Values(bad)); n != 1 || err == nil || b.Stats().Retained != 3001 {
		t.Errorf("%d, %v, %d", n, err, b.Stats().Retained)
	}
}
