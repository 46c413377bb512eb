package router_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
)

func members(t *testing.T, r *router.Router, n int) []*session {
	t.Helper()
	all := make([]*session, n)
	for i := range all {
		all[i] = &session{id: fmt.Sprint(i)}
		subscribe(t, r, all[i], sub("$share/g/jobs/+", 1))
	}
	return all
}

// chosen routes one message and returns who got it, "" for nobody.
func chosen(t *testing.T, r *router.Router, publisher string) string {
	t.Helper()
	targets := r.Route(nil, &mqtt.Message{Topic: "jobs/1", QoS: 2, Publisher: publisher})
	switch len(targets) {
	case 0:
		return ""
	case 1:
		if targets[0].Delivery.Group() != "g/jobs/+" || targets[0].Delivery.QoS != 1 {
			t.Fatalf("target %+v", targets[0])
		}
		return targets[0].Subscriber.ClientID()
	default:
		t.Fatalf("%d members got the message", len(targets))
		return ""
	}
}

func TestRoundRobin(t *testing.T) {
	r := router.New(router.Options{Strategy: router.RoundRobin})
	all := members(t, r, 4)
	count := func(n int) map[string]int {
		counts := map[string]int{}
		for range n {
			counts[chosen(t, r, "p")]++
		}
		return counts
	}
	for id, n := range count(40) {
		if n != 10 {
			t.Errorf("member %s got %d of 40", id, n)
		}
	}
	all[1].offline.Store(true)
	counts := count(30)
	for _, id := range []string{"0", "2", "3"} {
		if counts[id] != 10 {
			t.Errorf("with one offline: member %s got %d of 30", id, counts[id])
		}
	}
	for _, s := range all {
		s.offline.Store(true)
	}
	for id, n := range count(40) {
		if n != 10 {
			t.Errorf("with all offline: member %s got %d of 40", id, n)
		}
	}
}

func TestSticky(t *testing.T) {
	r := router.New(router.Options{Strategy: router.Sticky})
	all := members(t, r, 5)
	const publishers = 500
	assign := func() map[string]string {
		to := map[string]string{}
		for p := range publishers {
			id := fmt.Sprint("publisher", p)
			to[id] = chosen(t, r, id)
			if again := chosen(t, r, id); again != to[id] {
				t.Fatalf("%s moved from %s to %s", id, to[id], again)
			}
		}
		return to
	}
	before := assign()
	share := map[string]int{}
	for _, m := range before {
		share[m]++
	}
	for _, s := range all {
		if share[s.id] < publishers/10 {
			t.Errorf("member %s has %d of %d publishers", s.id, share[s.id], publishers)
		}
	}
	all[2].offline.Store(true)
	for p, m := range assign() {
		if m == "2" || (m != before[p] && before[p] != "2") {
			t.Errorf("%s went from %s to %s when 2 went offline", p, before[p], m)
		}
	}
	all[2].offline.Store(false)
	for p, m := range assign() {
		if m != before[p] {
			t.Errorf("%s is with %s, not %s, when 2 is back", p, m, before[p])
		}
	}
	for _, s := range all {
		s.offline.Store(true)
	}
	for p, m := range assign() {
		if m != before[p] {
			t.Errorf("%s is queued for %s, not %s", p, m, before[p])
		}
	}
}

func TestLeastInFlight(t *testing.T) {
	r := router.New(router.Options{Strategy: router.LeastInFlight})
	all := members(t, r, 4)
	for i, s := range all {
		s.pending.Store(int64(10 * i))
	}
	if got := chosen(t, r, "p"); got != "0" {
		t.Errorf("chose %s", got)
	}
	all[0].offline.Store(true)
	if got := chosen(t, r, "p"); got != "1" {
		t.Errorf("chose %s while 0 is offline", got)
	}
	all[2].pending.Store(10)
	seen := map[string]int{}
	for range 10 {
		seen[chosen(t, r, "p")]++
	}
	if seen["1"] == 0 || seen["2"] == 0 || len(seen) != 2 {
		t.Errorf("equals do not share: %v", seen)
	}
	for _, s := range all {
		s.offline.Store(true)
	}
	if got := chosen(t, r, "p"); got != "0" {
		t.Errorf("chose %s while all are offline", got)
	}
}

func TestReroute(t *testing.T) {
	for _, strategy := range []router.Strategy{router.RoundRobin, router.Sticky, router.LeastInFlight} {
		t.Run(strategy.String(), func(t *testing.T) {
			r := router.New(router.Options{Strategy: strategy})
			all := members(t, r, 3)
			m := &mqtt.Message{Topic: "jobs/1", QoS: 1, Publisher: "p"}
			for range 10 {
				first := r.Route(nil, m)[0]
				second := r.Reroute(nil, first.Delivery.Group(), m, first.Subscriber)
				if len(second) != 1 || second[0].Subscriber == first.Subscriber || second[0].Delivery.Group() != first.Delivery.Group() {
					t.Fatalf("from %s to %+v", first.Subscriber.ClientID(), second)
				}
			}
			for _, s := range all[1:] {
				r.Unsubscribe(s, "$share/g/jobs/+")
			}
			if again := r.Reroute(nil, "g/jobs/+", m, all[0]); again != nil {
				t.Errorf("the only member took over from itself: %+v", again)
			}
			if again := r.Reroute(nil, "g/jobs/+", m, nil); len(again) != 1 {
				t.Errorf("without except: %+v", again)
			}
			r.Unsubscribe(all[0], "$share/g/jobs/+")
			for _, group := range []string{"g/jobs/+", "x/y", "", "g"} {
				if again := r.Reroute(nil, group, m, nil); again != nil {
					t.Errorf("group %q: %+v", group, again)
				}
			}
		})
	}
}

func TestGroupsAreSeparate(t *testing.T) {
	r := router.New(router.Options{})
	a, b := &session{id: "a"}, &session{id: "b"}
	subscribe(t, r, a, sub("$share/g/x/#", 0), sub("$share/h/x/#", 0), sub("$share/g/x/+", 0))
	subscribe(t, r, b, sub("$share/g/x/#", 0))
	if got := len(r.Route(nil, &mqtt.Message{Topic: "x/1"})); got != 3 {
		t.Errorf("%d targets for three groups", got)
	}
	if got := len(r.Route(nil, &mqtt.Message{Topic: "$share/g/x/1"})); got != 0 {
		t.Errorf("%d targets for the literal topic", got)
	}
}
