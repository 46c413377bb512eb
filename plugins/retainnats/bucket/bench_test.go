package bucket

import (
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/retainnats/bucket/buckettest"
)

func benchChanges(n int) []pluginapi.Change {
	payload := `{"temperature":21.5,"humidity":48,"battery":97,"firmware":"1.4.2","uptime":123456}`
	changes := make([]pluginapi.Change, n)
	for i := range changes {
		changes[i] = put(fmt.Sprintf("site/%d/room/%d/sensor", i%1000, i/1000), payload, uint64(i+1))
	}
	return changes
}

func filledStore(b *testing.B, topics int) *Store {
	b.Helper()
	c := config(buckettest.Start(b))
	s, err := Open(b.Context(), Options{Config: c})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	changes := benchChanges(topics)
	for len(changes) > 0 {
		n := min(len(changes), 900)
		if _, err := s.Apply(b.Context(), changes[:n]); err != nil {
			b.Fatal(err)
		}
		changes = changes[n:]
	}
	return s
}

// BenchmarkChange is the cost of a single change with few topics in the bucket
// and with very many: it has to be the same.
func BenchmarkChange(b *testing.B) {
	for _, topics := range []int{10, 300_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			s := filledStore(b, topics)
			changes, rev := benchChanges(topics), uint64(topics)
			b.ReportAllocs()
			for b.Loop() {
				rev++
				c := &changes[rev%uint64(topics)]
				c.Revision = rev
				if _, err := s.Apply(b.Context(), []pluginapi.Change{*c}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch is the cost of a batch of 500 changes.
func BenchmarkBatch(b *testing.B) {
	s := filledStore(b, 10_000)
	changes, rev := benchChanges(10_000), uint64(10_000)
	next := 0
	for b.Loop() {
		batch := changes[next : next+500]
		next = (next + 500) % len(changes)
		for i := range batch {
			rev++
			batch[i].Revision = rev
		}
		if _, err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*500)/b.Elapsed().Seconds(), "changes/s")
}

// BenchmarkStart opens a bucket with 100,000 topics and loads them.
func BenchmarkStart(b *testing.B) {
	filled := filledStore(b, 100_000)
	for b.Loop() {
		s, err := Open(b.Context(), Options{Config: filled.config})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		if err := s.Load(b.Context(), func(pluginapi.Record) error { n++; return nil }); err != nil || n != 100_000 {
			b.Fatal(n, err)
		}
		_ = s.Close()
	}
}
