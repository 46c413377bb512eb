package logfile

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

const benchTopics = 200_000

func benchChanges(n int) []pluginapi.Change {
	payload := `{"temperature":21.5,"humidity":48,"battery":97,"firmware":"1.4.2","uptime":123456}`
	changes := make([]pluginapi.Change, n)
	for i := range changes {
		changes[i] = put1(fmt.Sprintf("site/%d/room/%d/sensor", i%1000, i/1000), payload, uint64(i+1))
	}
	return changes
}

// BenchmarkApply is the cost of one batch with 200,000 topics in the file.
func BenchmarkApply(b *testing.B) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		for _, size := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("fsync=%s/batch=%d", policy, size), func(b *testing.B) {
				s := filledStore(b, policy, benchTopics)
				changes := benchChanges(benchTopics)
				rev := uint64(benchTopics)
				b.ReportAllocs()
				next := 0
				for b.Loop() {
					if next+size > len(changes) {
						next = 0
					}
					batch := changes[next : next+size]
					next += size
					for i := range batch {
						rev++
						batch[i].Revision = rev
					}
					if _, err := s.Apply(b.Context(), batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "changes/s")
			})
		}
	}
}

// BenchmarkChange is the cost of a single change with few topics in the file
// and with very many: it has to be the same. The file is compacted meanwhile as
// it would be.
func BenchmarkChange(b *testing.B) {
	for _, topics := range []int{10, 300_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			s := filledStore(b, SyncNever, topics)
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { s.Run(ctx) })
			defer running.Wait()
			defer cancel()
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

func filledStore(b *testing.B, policy SyncPolicy, topics int) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Path: filepath.Join(b.TempDir(), "r.jsonl"), Sync: policy})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	changes := benchChanges(topics)
	for len(changes) > 0 {
		n := min(len(changes), 10_000)
		if _, err := s.Apply(b.Context(), changes[:n]); err != nil {
			b.Fatal(err)
		}
		changes = changes[n:]
	}
	return s
}

// BenchmarkStart opens a file with 200,000 topics and loads them.
func BenchmarkStart(b *testing.B) {
	s := filledStore(b, SyncNever, benchTopics)
	path := s.options.Path
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := Open(b.Context(), Options{Path: path})
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		s, err := Open(b.Context(), Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			n := 0
			if err := s.Load(b.Context(), func(pluginapi.Record) error { n++; return nil }); err != nil || n != benchTopics {
				b.Fatal(n, err)
			}
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkCompact rewrites a file with 200,000 topics.
func BenchmarkCompact(b *testing.B) {
	s := filledStore(b, SyncNever, benchTopics)
	for b.Loop() {
		if err := s.Compact(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
