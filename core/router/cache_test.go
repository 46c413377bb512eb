package router

import (
	"fmt"
	"runtime"
	"testing"
	"weak"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

type session struct{ id string }

func (s *session) ClientID() string { return s.id }
func (s *session) Online() bool     { return true }
func (s *session) Pending() int     { return 0 }

func mustSubscribe(tb testing.TB, r *Router, s Subscriber, filter string) {
	tb.Helper()
	if _, err := r.Subscribe(s, mqtt.Subscription{Filter: filter, QoS: 1}); err != nil {
		tb.Fatal(err)
	}
}

func (c *cache) plans() (n int, weight int64) {
	for i := range c.sets {
		for j := range c.sets[i].plans {
			if p := c.sets[i].plans[j].Load(); p != nil {
				n++
				weight += p.weight()
			}
		}
	}
	return n, weight
}

func TestCacheIsBounded(t *testing.T) {
	r := New(Options{CacheTopics: 64, CacheReceivers: 1000})
	for i := range 100 {
		mustSubscribe(t, r, &session{id: fmt.Sprint(i)}, "many/#")
	}
	mustSubscribe(t, r, &session{id: "x"}, "#")
	for range 5 {
		for i := range 1000 {
			for range 3 {
				r.Route(nil, &mqtt.Message{Topic: fmt.Sprintf("few/%d", i)})
				r.Route(nil, &mqtt.Message{Topic: fmt.Sprintf("many/%d", i)})
			}
		}
	}
	n, weight := r.cache.plans()
	if n == 0 || n > 64 || weight > 1000 || weight != r.cache.receivers.Load() {
		t.Errorf("%d plans that weigh %d (counted %d), want at most 64 and 1000", n, weight, r.cache.receivers.Load())
	}
	mustSubscribe(t, r, &session{id: "y"}, "#")
	for i := range 200 {
		mustSubscribe(t, r, &session{id: fmt.Sprint(i)}, "elsewhere/+")
	}
	if n, _ := r.cache.plans(); n != 0 {
		t.Errorf("%d stale plans left", n)
	}
}

// TestCacheHoldsAWorkingSet checks that topics which share a set do not drive
// each other out while it has room.
func TestCacheHoldsAWorkingSet(t *testing.T) {
	r := New(Options{CacheTopics: 8192})
	mustSubscribe(t, r, &session{id: "s"}, "#")
	misses := 0
	for round := range 4 {
		for i := range 300 {
			topic := fmt.Sprint("t/", i)
			if p := r.cache.get(topic, hashOf(topic)); p == nil && round == 3 {
				misses++
			}
			r.Route(nil, &mqtt.Message{Topic: topic})
		}
	}
	// A few may, where two topics share a place among those seen lately.
	if misses > 15 {
		t.Errorf("%d of 300 topics are not in a cache for 8192", misses)
	}
}

// TestCacheDoesNotThrash looks at what a topic's plan costs when other
// subscriptions come and go, when it is stale every time, and when topics never come back.
func TestCacheDoesNotThrash(t *testing.T) {
	r := New(Options{})
	for i := range 50 {
		mustSubscribe(t, r, &session{id: fmt.Sprint(i)}, "news/today")
	}
	m := &mqtt.Message{Topic: "news/today"}
	dst := make([]Target, 0, 100)
	warm := func() *plan {
		for range 3 {
			dst = r.Route(dst[:0], m)
		}
		hash := hashOf(m.Topic)
		return r.cache.get(m.Topic, hash)
	}
	before := warm()
	if before == nil {
		t.Fatal("the third message did not store a plan")
	}
	visitor, moved := &session{id: "visitor"}, 0
	for i := range 100 {
		mustSubscribe(t, r, visitor, fmt.Sprintf("devices/%d/#", i))
		mustSubscribe(t, r, visitor, fmt.Sprintf("devices/%d", i))
		if warm() != before {
			moved++
			before = warm()
		}
	}
	if moved > 10 {
		t.Errorf("the plan was made again after %d of 100 unrelated changes", moved)
	}

	filters := [2]string{"news/+", "#"}
	i := 0
	if allocs := testing.AllocsPerRun(200, func() {
		mustSubscribe(t, r, visitor, filters[i%2])
		i++
		dst = r.Route(dst[:0], m)
	}); allocs > 4 && !raceEnabled {
		t.Errorf("%v allocations for a change and a message", allocs)
	}
	topics := make([]string, 1000)
	for i := range topics {
		topics[i] = fmt.Sprint("once/", i)
	}
	i = 0
	mustSubscribe(t, r, visitor, "once/#")
	if allocs := testing.AllocsPerRun(len(topics)-1, func() {
		dst = r.Route(dst[:0], &mqtt.Message{Topic: topics[i]})
		i++
	}); allocs > 1.5 && !raceEnabled { // the message is one
		t.Errorf("%v allocations for a message on a new topic", allocs)
	}
}

func TestRouteAllocatesNothing(t *testing.T) {
	for _, cache := range []int{0, -1} {
		r := New(Options{CacheTopics: cache})
		for i := range 40 {
			s := &session{id: fmt.Sprint(i)}
			mustSubscribe(t, r, s, "a/b")
			mustSubscribe(t, r, s, "$share/g/a/#")
			if i%2 == 0 {
				mustSubscribe(t, r, s, "a/+")
			}
		}
		m := &mqtt.Message{Topic: "a/b", Publisher: "p"}
		dst := r.Route(nil, m)
		for range 3 {
			r.Route(dst[:0], m)
		}
		if allocs := testing.AllocsPerRun(100, func() { dst = r.Route(dst[:0], m) }); allocs > 0 && !raceEnabled {
			t.Errorf("cache %d: %v allocations", cache, allocs)
		}
		if len(dst) != 41 {
			t.Errorf("%d targets", len(dst))
		}
	}
}

// TestGoneSessionsAreFreed checks that nothing in the router holds on to a
// session whose subscriptions are gone.
func TestGoneSessionsAreFreed(t *testing.T) {
	r := New(Options{CacheTopics: 16})
	var gone []weak.Pointer[session]
	for i := range 50 {
		s := &session{id: fmt.Sprint(i)}
		gone = append(gone, weak.Make(s))
		for _, f := range []string{"a/b", "a/+", "$share/g/a/b"} {
			mustSubscribe(t, r, s, f)
		}
		for range 4 {
			r.Route(nil, &mqtt.Message{Topic: "a/b"})
		}
		for _, f := range []string{"a/b", "a/+", "$share/g/a/b"} {
			r.Unsubscribe(s, f)
		}
	}
	for range len(r.cache.sets) {
		r.Unsubscribe(&session{}, "x")
	}
	runtime.GC()
	runtime.GC()
	left := 0
	for _, w := range gone {
		if w.Value() != nil {
			left++
		}
	}
	if left > 0 {
		t.Errorf("%d of %d sessions are still reachable", left, len(gone))
	}
}
