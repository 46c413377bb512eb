package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// session is the least that a subscriber can be.
type session struct {
	id      string
	offline atomic.Bool
	pending atomic.Int64
}

func (s *session) ClientID() string { return s.id }
func (s *session) Online() bool     { return !s.offline.Load() }
func (s *session) Pending() int     { return int(s.pending.Load()) }

func sub(filter string, qos mqtt.QoS) mqtt.Subscription {
	return mqtt.Subscription{Filter: filter, QoS: qos}
}

func subscribe(tb testing.TB, r *router.Router, s *session, subs ...mqtt.Subscription) {
	tb.Helper()
	for _, sub := range subs {
		if _, err := r.Subscribe(s, sub); err != nil {
			tb.Fatalf("Subscribe(%q): %v", sub.Filter, err)
		}
	}
}

// got is what a target tells, in a form that compares.
type got struct {
	ID     string
	QoS    mqtt.QoS
	Retain bool
	IDs    []uint32
	Group  string
}

func route(r *router.Router, m *mqtt.Message) []got {
	return plain(r.Route(nil, m))
}

func plain(targets []router.Target) []got {
	var all []got
	for _, t := range targets {
		ids := slices.Clone(t.Delivery.SubscriptionIDs())
		slices.Sort(ids)
		all = append(all, got{t.Subscriber.ClientID(), t.Delivery.QoS, t.Delivery.Retain, ids, t.Delivery.Group()})
	}
	slices.SortFunc(all, func(a, b got) int { return strings.Compare(a.ID+"\x00"+a.Group, b.ID+"\x00"+b.Group) })
	return all
}

func TestRoute(t *testing.T) {
	local := func(s mqtt.Subscription) mqtt.Subscription { s.NoLocal = true; return s }
	published := func(s mqtt.Subscription) mqtt.Subscription { s.RetainAsPublished = true; return s }
	id := func(s mqtt.Subscription, id uint32) mqtt.Subscription { s.ID = id; return s }
	message := mqtt.Message{Topic: "a/b", QoS: 2, Retain: true, Publisher: "me"}
	tests := []struct {
		name string
		subs []mqtt.Subscription
		want []got
	}{
		{"none", nil, nil},
		{"other topic", []mqtt.Subscription{sub("a/c", 1), sub("a", 1)}, nil},
		{"lower QoS", []mqtt.Subscription{sub("a/b", 1)}, []got{{ID: "me", QoS: 1}}},
		{"highest QoS once", []mqtt.Subscription{sub("a/b", 0), sub("a/+", 2), sub("#", 1)}, []got{{ID: "me", QoS: 2}}},
		{"all identifiers", []mqtt.Subscription{id(sub("a/b", 0), 7), sub("a/+", 1), id(sub("#", 0), 3)}, []got{{ID: "me", QoS: 1, IDs: []uint32{3, 7}}}},
		{"retain as published of one", []mqtt.Subscription{sub("a/b", 0), published(sub("#", 0))}, []got{{ID: "me", Retain: true}}},
		{"no local", []mqtt.Subscription{local(sub("a/b", 2)), local(sub("#", 1))}, nil},
		{"no local beside another", []mqtt.Subscription{id(sub("a/+", 1), 1), id(local(sub("a/b", 2)), 2), id(sub("#", 0), 3)}, []got{{ID: "me", QoS: 1, IDs: []uint32{1, 3}}}},
		{"replaced", []mqtt.Subscription{local(sub("a/b", 2)), sub("a/b", 1)}, []got{{ID: "me", QoS: 1}}},
		{"own and shared", []mqtt.Subscription{sub("a/b", 0), id(sub("$share/g/a/#", 1), 9)}, []got{{ID: "me"}, {ID: "me", QoS: 1, IDs: []uint32{9}, Group: "g/a/#"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, me := router.New(router.Options{}), &session{id: "me"}
			subscribe(t, r, me, tt.subs...)
			for range 4 { // missed, missed, stored, found
				if d := cmp.Diff(tt.want, route(r, &message)); d != "" {
					t.Fatal(d)
				}
			}
		})
	}
	t.Run("no local of a message from the broker", func(t *testing.T) {
		r, nameless := router.New(router.Options{}), &session{}
		subscribe(t, r, nameless, local(sub("#", 1)))
		if len(route(r, &mqtt.Message{Topic: "a"})) != 1 {
			t.Error("not delivered")
		}
	})
}

// TestIdentifiersDoNotMix has so many identifiers that slices grow, and No Local
// at each of the subscriptions in turn.
func TestIdentifiersDoNotMix(t *testing.T) {
	filters := []string{"a/b/c", "a/b/+", "a/+/c", "a/+/+", "+/b/c", "+/b/+", "+/+/c", "+/+/+", "a/b/c/#", "a/b/#", "a/#", "#", "+/#", "+/+/#"}
	for local := range filters {
		r, me := router.New(router.Options{}), &session{id: "me"}
		var all, others []uint32
		for i, filter := range filters {
			id := uint32(i + 1)
			subscribe(t, r, me, mqtt.Subscription{Filter: filter, ID: id, NoLocal: i == local})
			all = append(all, id)
			if i != local {
				others = append(others, id)
			}
		}
		for range 4 {
			mine := route(r, &mqtt.Message{Topic: "a/b/c", Publisher: "me"})
			yours := route(r, &mqtt.Message{Topic: "a/b/c", Publisher: "you"})
			if d := cmp.Diff([]got{{ID: "me", IDs: others}, {ID: "me", IDs: all}}, append(mine, yours...)); d != "" {
				t.Fatalf("No Local at %q: %s", filters[local], d)
			}
		}
	}
}

func TestSubscribeAnswers(t *testing.T) {
	r, s := router.New(router.Options{}), &session{id: "s"}
	steps := []struct {
		sub     mqtt.Subscription
		existed bool
		ok      bool
	}{
		{sub("a/#", 1), false, true},
		{sub("a/#", 0), true, true},
		{sub("$share/g/a/#", 0), false, true},
		{sub("$share/g/a/#", 1), true, true},
		{sub("$share/h/a/#", 1), false, true},
		{sub("a/#/b", 1), false, false},
		{sub("", 1), false, false},
		{sub("$share/g", 1), false, false},
		{mqtt.Subscription{Filter: "$share/g/b", NoLocal: true}, false, false},
	}
	for _, tt := range steps {
		existed, err := r.Subscribe(s, tt.sub)
		if existed != tt.existed || (err == nil) != tt.ok {
			t.Errorf("Subscribe(%q) = %v, %v", tt.sub.Filter, existed, err)
		}
		if tt.sub.NoLocal && !errors.Is(err, router.ErrSharedNoLocal) {
			t.Errorf("Subscribe(%q): %v", tt.sub.Filter, err)
		}
	}
	if r.Subscriptions() != 3 || r.Shared() != 2 {
		t.Errorf("%d subscriptions, %d of them shared", r.Subscriptions(), r.Shared())
	}
	if r.Unsubscribe(s, "a") || r.Unsubscribe(s, "$share/x/a/#") || r.Unsubscribe(&session{}, "$share/g/a/#") || r.Unsubscribe(s, "a/#/b") {
		t.Error("unsubscribed what was not there")
	}
	r.Remove(s, slices.Values([]string{"a/#", "$share/g/a/#", "$share/h/a/#"}))
	if r.Subscriptions() != 0 || route(r, &mqtt.Message{Topic: "a"}) != nil {
		t.Errorf("%d subscriptions left", r.Subscriptions())
	}
}

// TestRouteIsNaive compares the router, its cache included, with a list of
// subscriptions that is gone through for every message.
func TestRouteIsNaive(t *testing.T) {
	level := rapid.SampledFrom([]string{"a", "b", "+", "#"})
	filter := rapid.Map(rapid.SliceOfN(level, 1, 3), func(l []string) string {
		return strings.TrimSuffix(strings.ReplaceAll(strings.Join(l, "/")+"/", "#/", "+/"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		r := router.New(router.Options{CacheTopics: rapid.SampledFrom([]int{-1, 4, 64}).Draw(t, "cache"), CacheReceivers: 50})
		sessions := make([]*session, 25)
		for i := range sessions {
			sessions[i] = &session{id: fmt.Sprint(i)}
		}
		type key struct {
			s      *session
			filter string
		}
		model := map[key]mqtt.Subscription{}
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) {
				f := filter.Draw(t, "filter")
				if rapid.Bool().Draw(t, "everything below") {
					f += "/#"
				}
				k := key{rapid.SampledFrom(sessions).Draw(t, "session"), f}
				sub := mqtt.Subscription{
					Filter: k.filter, QoS: mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos")), NoLocal: rapid.Bool().Draw(t, "no local"),
					RetainAsPublished: rapid.Bool().Draw(t, "as published"), ID: uint32(rapid.IntRange(0, 3).Draw(t, "id")),
				}
				_, had := model[k]
				if existed, err := r.Subscribe(k.s, sub); existed != had || err != nil {
					t.Fatalf("Subscribe(%+v) = %v, %v", sub, existed, err)
				}
				model[k] = sub
			},
			"unsubscribe": func(t *rapid.T) {
				k := key{rapid.SampledFrom(sessions).Draw(t, "session"), filter.Draw(t, "filter")}
				_, had := model[k]
				if existed := r.Unsubscribe(k.s, k.filter); existed != had {
					t.Fatalf("Unsubscribe(%q) = %v", k.filter, existed)
				}
				delete(model, k)
			},
			"route": func(t *rapid.T) {
				m := &mqtt.Message{
					Topic: rapid.SampledFrom([]string{"a", "b", "a/a", "a/b", "b/a/a", "a/b/b"}).Draw(t, "topic"),
					QoS:   mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos")), Retain: rapid.Bool().Draw(t, "retain"),
					Publisher: rapid.SampledFrom(sessions).Draw(t, "publisher").id,
				}
				want := map[string]got{}
				for k, sub := range model {
					if !topic.Match(k.filter, m.Topic) || sub.NoLocal && k.s.id == m.Publisher {
						continue
					}
					g := want[k.s.id]
					g.ID, g.QoS, g.Retain = k.s.id, max(g.QoS, min(m.QoS, sub.QoS)), g.Retain || m.Retain && sub.RetainAsPublished
					if sub.ID != 0 {
						g.IDs = append(g.IDs, sub.ID)
						slices.Sort(g.IDs)
					}
					want[k.s.id] = g
				}
				targets := route(r, m)
				if len(targets) != len(want) {
					t.Fatalf("%d targets, want %d", len(targets), len(want))
				}
				for _, g := range targets {
					if d := cmp.Diff(want[g.ID], g); d != "" {
						t.Fatalf("%s: %s", m.Topic, d)
					}
				}
			},
			"": func(t *rapid.T) {
				if r.Subscriptions() != len(model) {
					t.Fatalf("%d subscriptions, want %d", r.Subscriptions(), len(model))
				}
			},
		})
	})
}

func TestForward(t *testing.T) {
	m := &mqtt.Message{Topic: "a"}
	if err := router.New(router.Options{}).Forward(t.Context(), m); err != nil {
		t.Errorf("without a bus: %v", err)
	}
	b := &bus{err: errors.New("gone")}
	if err := router.New(router.Options{Bus: b}).Forward(t.Context(), m); !errors.Is(err, b.err) || b.last != m {
		t.Errorf("the bus got %v, and the caller %v", b.last, err)
	}
}

type bus struct {
	last *mqtt.Message
	err  error
}

func (b *bus) Publish(_ context.Context, m *mqtt.Message) error { b.last = m; return b.err }

// TestConcurrently routes, subscribes and unsubscribes at once. A subscriber
// that stays must get every message exactly once.
func TestConcurrently(t *testing.T) {
	r := router.New(router.Options{CacheTopics: 16, CacheReceivers: 200})
	still := make([]*session, 20)
	for i := range still {
		still[i] = &session{id: fmt.Sprint("still", i)}
		subscribe(t, r, still[i], sub("a/+", 1), sub("a/#", 0), sub("$share/g/a/#", 1))
	}
	stop := make(chan struct{})
	var routers, changers sync.WaitGroup
	for n := range 3 {
		routers.Go(func() {
			var dst []router.Target
			for i := 0; ; i++ {
				m := &mqtt.Message{Topic: fmt.Sprintf("a/%d", (i+n)%30), QoS: 1}
				dst = r.Route(dst[:0], m)
				own, shared := map[router.Subscriber]int{}, 0
				for _, target := range dst {
					if target.Delivery.Group() != "" {
						shared++
						continue
					}
					own[target.Subscriber]++
				}
				for _, s := range still {
					if own[s] != 1 {
						t.Errorf("%s got the message %d times", s.id, own[s])
						return
					}
				}
				if shared != 1 {
					t.Errorf("the group got the message %d times", shared)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for n := range 2 {
		changers.Go(func() {
			for i := range 1500 {
				s := &session{id: fmt.Sprint("gone", n)}
				subs := []string{fmt.Sprintf("a/%d", i%30), "a/+", "$share/g/a/#", "#"}
				for _, f := range subs {
					subscribe(t, r, s, sub(f, 1))
				}
				r.Remove(s, slices.Values(subs))
			}
		})
	}
	changers.Wait()
	close(stop)
	routers.Wait()
	if want := 3 * len(still); r.Subscriptions() != want {
		t.Errorf("%d subscriptions, want %d", r.Subscriptions(), want)
	}
}
