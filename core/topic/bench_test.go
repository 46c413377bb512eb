package topic_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

type client struct{ id int }

// fleet fills a tree with exact filters of 100 clients and wildcard filters of
// ten, as the big table of the benchmarks has them.
func fleet(exact, wildcard int) *topic.Tree[*client, *int] {
	clients := make([]*client, 110)
	for i := range clients {
		clients[i] = &client{i}
	}
	var grant int
	tree := new(topic.Tree[*client, *int])
	for i := range exact {
		tree.Set(fleetName(i), clients[i%100], &grant)
	}
	for i := range wildcard {
		tree.Set(fmt.Sprintf("fleet/+/v%07d/#", i), clients[100+i%10], &grant)
	}
	return tree
}

func fleetName(i int) string { return fmt.Sprintf("fleet/r%02d/v%07d/tele", i%100, i) }

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkTreeMemory reports the bytes per subscription in a tree of
// 1,000,000 exact and 100,000 wildcard filters, the filters' text included.
func BenchmarkTreeMemory(b *testing.B) {
	for _, c := range []struct{ exact, wildcard int }{{1_000_000, 100_000}, {1_000_000, 0}, {0, 100_000}} {
		b.Run(fmt.Sprintf("exact=%d/wildcard=%d", c.exact, c.wildcard), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				tree := fleet(c.exact, c.wildcard)
				b.ReportMetric(float64(heap()-before)/float64(tree.Len()), "bytes/sub")
				runtime.KeepAlive(tree)
			}
		})
	}
}

func BenchmarkTreeMatch(b *testing.B) {
	for _, size := range []int{100, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("filters=%d", size+size/10), func(b *testing.B) {
			tree := fleet(size, size/10)
			names := make([]string, min(size, 1<<16))
			for i := range names {
				names[i] = fleetName(i * 7919 % size)
			}
			b.ReportAllocs()
			i, n := 0, 0
			for b.Loop() {
				tree.Match(names[i%len(names)], func(string, *client, *int) bool { n++; return true })
				i++
			}
			b.ReportMetric(float64(n)/float64(b.N), "matches/op")
		})
	}
}

func BenchmarkTreeMatchFanOut(b *testing.B) {
	for _, size := range []int{10, 500, 100_000} {
		b.Run(fmt.Sprintf("subscribers=%d", size), func(b *testing.B) {
			tree := new(topic.Tree[*client, *int])
			for i := range size {
				tree.Set("news/today", &client{i}, nil)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				tree.Match("news/today", func(string, *client, *int) bool { n++; return true })
			}
		})
	}
}

func BenchmarkTreeSetDelete(b *testing.B) {
	tree := fleet(100_000, 10_000)
	c := &client{-1}
	for _, filter := range []string{"fleet/r00/v0000000/tele", "other/exact", "fleet/+/other/#"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tree.Set(filter, c, nil)
				tree.Delete(filter, c)
			}
		})
	}
}

func BenchmarkStamp(b *testing.B) {
	tree := fleet(100, 10)
	name := fleetName(1)
	b.Run("take", func(b *testing.B) {
		for b.Loop() {
			tree.Stamp(name)
		}
	})
	b.Run("compare", func(b *testing.B) {
		s := tree.Stamp(name)
		for b.Loop() {
			tree.Current(s)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		topic.Match("fleet/+/v0001234/#", "fleet/r07/v0001234/tele")
	}
}

func retained(n int) *topic.Index[*int] {
	index := new(topic.Index[*int])
	var v int
	for i := range n {
		index.Set(retainedName(i), &v)
	}
	return index
}

func retainedName(i int) string { return fmt.Sprintf("ret/%04d/%04d/s", i/1000, i%1000) }

// BenchmarkIndexMemory reports the bytes per name, its text included.
func BenchmarkIndexMemory(b *testing.B) {
	for b.Loop() {
		before := heap()
		index := retained(1_000_000)
		b.ReportMetric(float64(heap()-before)/float64(index.Len()), "bytes/name")
		runtime.KeepAlive(index)
	}
}

func BenchmarkIndexMatch(b *testing.B) {
	index := retained(1_000_000)
	for _, filter := range []string{"#", "ret/0042/#", "ret/+/0042/s", "ret/0042/0042/s"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				index.Match(filter, func(string, *int) bool { n++; return true })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/match")
		})
	}
}

func BenchmarkIndexSet(b *testing.B) {
	index := retained(1_000_000)
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = retainedName(i * 15)
	}
	var v int
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		index.Set(names[i%len(names)], &v)
		i++
	}
}
