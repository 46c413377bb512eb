package router_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
)

// fleet subscribes 100 clients to exact filters and ten to wildcard filters,
// as the big table of the benchmarks has them.
func fleet(b *testing.B, exact, wildcard int) *router.Router {
	b.Helper()
	r := router.New(router.Options{})
	clients := make([]*session, 110)
	for i := range clients {
		clients[i] = &session{id: fmt.Sprint(i)}
	}
	for i := range exact {
		subscribe(b, r, clients[i%100], sub(fleetTopic(i), 1))
	}
	for i := range wildcard {
		subscribe(b, r, clients[100+i%10], sub(fmt.Sprintf("fleet/+/v%07d/#", i), 1))
	}
	return r
}

func fleetTopic(i int) string { return fmt.Sprintf("fleet/r%02d/v%07d/tele", i%100, i) }

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory reports the bytes per subscription of 1,000,000 exact and
// 100,000 wildcard ones, the filters' text included.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		before := heap()
		r := fleet(b, 1_000_000, 100_000)
		b.ReportMetric(float64(heap()-before)/float64(r.Subscriptions()), "bytes/sub")
		runtime.KeepAlive(r)
	}
}

// BenchmarkRoute publishes to random topics of tables of two sizes. Each topic
// is a string just made, as a decoder makes it: the one allocation.
func BenchmarkRoute(b *testing.B) {
	for _, size := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("subscriptions=%d", size+size/10), func(b *testing.B) {
			r := fleet(b, size, size/10)
			var dst []router.Target
			var m mqtt.Message
			name := []byte(fleetTopic(0))
			b.ReportAllocs()
			i, n := 0, 0
			for b.Loop() {
				v := i * 7919 % size
				i++
				for at, rest := len("fleet/r00/v0000000")-1, v; at >= len("fleet/r00/v"); at-- {
					name[at] = byte('0' + rest%10)
					rest /= 10
				}
				name[len("fleet/r")], name[len("fleet/r0")] = byte('0'+v/10%10), byte('0'+v%10)
				m.Topic = string(name)
				dst = r.Route(dst[:0], &m)
				n += len(dst)
			}
			b.ReportMetric(float64(n)/float64(b.N), "targets/op")
		})
	}
}

func BenchmarkRouteParallel(b *testing.B) {
	r := fleet(b, 10_000, 1000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		m := &mqtt.Message{Topic: fleetTopic(1)}
		var dst []router.Target
		for pb.Next() {
			dst = r.Route(dst[:0], m)
		}
	})
}

func BenchmarkRouteFanOut(b *testing.B) {
	for _, cache := range []int{0, -1} {
		for _, overlapping := range []bool{false, true} {
			b.Run(fmt.Sprintf("cached=%v/overlapping=%v", cache == 0, overlapping), func(b *testing.B) {
				r := router.New(router.Options{CacheTopics: cache})
				for i := range 500 {
					s := &session{id: fmt.Sprint(i)}
					subscribe(b, r, s, sub("bench/one", 1))
					if overlapping {
						subscribe(b, r, s, sub("bench/#", 0))
					}
				}
				m := &mqtt.Message{Topic: "bench/one", QoS: 1}
				var dst []router.Target
				b.ReportAllocs()
				for b.Loop() {
					dst = r.Route(dst[:0], m)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(dst)), "ns/target")
			})
		}
	}
}

// BenchmarkRouteWhileSubscriptionsChange has one change between any two
// messages, of a subscription that the topic has nothing or something to do
// with.
func BenchmarkRouteWhileSubscriptionsChange(b *testing.B) {
	for _, filter := range []string{"devices/1/#", "bench/+"} {
		b.Run(filter, func(b *testing.B) {
			r := router.New(router.Options{})
			for i := range 500 {
				subscribe(b, r, &session{id: fmt.Sprint(i)}, sub("bench/one", 1))
			}
			visitor := &session{id: "visitor"}
			m := &mqtt.Message{Topic: "bench/one", QoS: 1}
			var dst []router.Target
			b.ReportAllocs()
			for b.Loop() {
				subscribe(b, r, visitor, sub(filter, 1))
				dst = r.Route(dst[:0], m)
			}
		})
	}
}

func BenchmarkRouteShared(b *testing.B) {
	for _, s := range []router.Strategy{router.RoundRobin, router.Sticky, router.LeastInFlight} {
		b.Run(s.String(), func(b *testing.B) {
			r := router.New(router.Options{Strategy: s})
			for i := range 10 {
				subscribe(b, r, &session{id: fmt.Sprint(i)}, sub("$share/g/jobs/#", 1))
			}
			m := &mqtt.Message{Topic: "jobs/1", QoS: 1, Publisher: "p"}
			var dst []router.Target
			b.ReportAllocs()
			for b.Loop() {
				dst = r.Route(dst[:0], m)
			}
		})
	}
}

func BenchmarkSubscribe(b *testing.B) {
	r := fleet(b, 10_000, 1000)
	s := &session{id: "s"}
	b.ReportAllocs()
	for b.Loop() {
		subscribe(b, r, s, sub("fleet/+/status", 1))
		r.Unsubscribe(s, "fleet/+/status")
	}
}
