package retain_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// sink is a store that takes everything at once.
type sink struct{}

func (sink) Load(context.Context) iter.Seq2[retain.Record, error] {
	return func(func(retain.Record, error) bool) {}
}
func (sink) Apply(context.Context, []retain.Change) error { return nil }

func topics(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("ret/%04d/%04d/s", i/1000, i%1000)
	}
	return all
}

// BenchmarkSet stores 128 bytes at one of 200,000 topics.
func BenchmarkSet(b *testing.B) {
	for _, stored := range []bool{false, true} {
		b.Run(fmt.Sprintf("store=%v", stored), func(b *testing.B) {
			o := retain.Options{}
			if stored {
				o.Store = sink{}
			}
			x := retain.New(o)
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- x.Run(ctx) }()
			names, payload, now := topics(200_000), make([]byte, 128), time.Now()
			messages := make([]*mqtt.Message, len(names))
			for i := range messages {
				messages[i] = &mqtt.Message{Topic: names[i], Payload: payload, Retain: true}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				revision, err := x.Set(messages[i*7919%len(messages)], now)
				if err != nil { // the queue is full: wait for the writer
					if err = x.Wait(ctx, revision); err != nil {
						b.Fatal(err)
					}
				}
				i++
			}
			cancel()
			<-ended
		})
	}
}

// BenchmarkSetAndWait is what a publisher of QoS 1 waits for, alone and beside
// others.
func BenchmarkSetAndWait(b *testing.B) {
	x := retain.New(retain.Options{Store: sink{}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx) }()
	m, now := message("a/b", "1"), time.Now()
	for _, publishers := range []int{1, 50} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(publishers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					revision, err := x.Set(m, now)
					if err == nil {
						err = x.Wait(ctx, revision)
					}
					if err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	cancel()
	<-ended
}

func BenchmarkMatch(b *testing.B) {
	x := retain.New(retain.Options{})
	now := time.Now()
	for _, name := range topics(200_000) {
		set(b, x, name, "1")
	}
	for _, filter := range []string{"#", "ret/0042/#", "ret/+/0042/s", "ret/0042/0042/s"} {
		b.Run(filter, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				x.Match(filter, now, func(*mqtt.Message) bool { n++; return true })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/match")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory reports the bytes per retained message beyond its payload:
// the message, its topic and what the index adds.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		const n = 200_000
		before := heap()
		x := retain.New(retain.Options{})
		for i := range n {
			set(b, x, fmt.Sprintf("ret/%04d/%04d/s", i/1000, i%1000), "x")
		}
		b.ReportMetric(float64(heap()-before)/n-8, "bytes/message") // a payload of one byte takes eight
		runtime.KeepAlive(x)
	}
}
