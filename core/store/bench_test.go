package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// written runs a store until everything is written, and closes it.
func written(b *testing.B, s *Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

func openedFor(b *testing.B, dir string) *Store {
	s, err := open(vfs.Default, dir, Options{LogBytes: 1 << 30}.withDefaults())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkStart opens a store of 100,000 sessions, each with a subscription and
// five messages, and makes sessions of it.
func BenchmarkStart(b *testing.B) {
	const sessions = 100_000
	dir := filepath.Join(b.TempDir(), "sessions")
	s := openedFor(b, dir)
	for i := range sessions {
		id := fmt.Sprintf("client-%06d", i)
		c := session.New(id, session.Limits{})
		c.Keep(s.Log(), session.DurabilityNone)
		c.Describe(&session.Profile{ClientID: id, Expiry: 3600})
		c.Subscribe(mqtt.Subscription{Filter: "devices/" + id + "/#", QoS: 1})
		enqueue(c, 0, 5)
	}
	written(b, s)
	b.ResetTimer()
	for range b.N {
		s := openedFor(b, dir)
		n := 0
		for st, err := range s.Load(context.Background()) {
			if err != nil {
				b.Fatal(err)
			}
			session.Restore(st, session.Limits{}, s.Log())
			n++
		}
		if n != sessions {
			b.Fatalf("%d sessions", n)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkStartQueued opens a store of one session with a million messages.
func BenchmarkStartQueued(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "sessions")
	s := openedFor(b, dir)
	c := session.New("c", session.Limits{})
	c.Keep(s.Log(), session.DurabilityNone)
	c.Describe(&session.Profile{ClientID: "c", Expiry: 3600})
	enqueue(c, 0, 1_000_000)
	written(b, s)
	b.ResetTimer()
	for range b.N {
		s := openedFor(b, dir)
		for st, err := range s.Load(context.Background()) {
			if n, _ := session.Restore(st, session.Limits{}, s.Log()).QueueLen(); err != nil || n != 1_000_000 {
				b.Fatal(n, err)
			}
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkQueue queues messages for a client who is away, and hands them to it
// when it is back: two changes of the log and half a record for each.
func BenchmarkQueue(b *testing.B) {
	s := openedFor(b, filepath.Join(b.TempDir(), "sessions"))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c := session.New("c", session.Limits{Kept: &session.KeptLimits{Messages: b.N + 1}})
	c.Keep(s.Log(), session.DurabilityInterval)
	c.Describe(&session.Profile{ClientID: "c", Expiry: 3600})
	began := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		enqueue(c, i, 1)
		if i%256 == 0 {
			if err := s.Log().WaitRoom(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.Log().Wait(ctx, s.Log().End()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "queued/s")
	began = time.Now()
	c.Attach(session.Attachment{Version: mqtt.V5})
	for taken := 0; taken < b.N; {
		for _, o := range c.Next(nil, 64, began, nil) {
			c.Puback(o.ID)
			taken++
		}
	}
	if err := s.Log().Wait(ctx, s.Log().End()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "drained/s")
	b.StopTimer()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
