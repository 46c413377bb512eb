//go:build unix

package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
	"github.com/gatehouse-mqtt/gatehouse/core/store"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// BenchmarkRetained retains messages of 128 bytes and QoS 1, each with a topic of its
// own, from one publisher that has up to 8,192 on their way. The processor time is
// that of both ends.
func BenchmarkRetained(b *testing.B) {
	for _, name := range []string{"memory", "sync", "interval"} {
		b.Run(name, func(b *testing.B) {
			o := broker.Options{Limits: broker.Limits{RetainedMessages: 1 << 30, RetainedBytes: 1 << 40}}
			if name != "memory" {
				s := runStore(b)
				o.Sessions, o.Retained = s, retain.New(retain.Options{Store: s.Retained()})
				if name == "interval" {
					o.Durability = session.DurabilityInterval
				}
			}
			br := brokertest.Start(b, o)
			nc := br.DialRaw("pub")
			bursts := encodeBursts(b, 64)
			b.ReportAllocs()
			b.ResetTimer()
			began, before := time.Now(), processorTime(b)
			room := make(chan struct{}, 128)
			done := make(chan error, 1)
			go func() {
				from := bufio.NewReaderSize(nc, 1<<16)
				for range bursts {
					if _, err := io.CopyN(io.Discard, from, 64*4); err != nil {
						done <- err
						return
					}
					<-room
				}
				done <- nil
			}()
			for _, burst := range bursts {
				room <- struct{}{}
				if _, err := nc.Write(burst); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			n := float64(64 * len(bursts))
			b.ReportMetric(n/time.Since(began).Seconds(), "messages/s")
			b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/n, "cpu-ns/message")
		})
	}
}

// runStore runs a store of sessions until the benchmark ends.
func runStore(b *testing.B) *store.Store {
	s, err := store.Open(filepath.Join(b.TempDir(), "sessions"), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, s.Close()); err != nil {
			b.Error(err)
		}
	})
	return s
}

// encodeBursts returns b.N messages, and some more, that many in each.
func encodeBursts(b *testing.B, many int) (bursts [][]byte) {
	enc := packet.Encoder{Version: mqtt.V311}
	for n := 0; n < b.N; {
		var burst []byte
		for range many {
			p := &packet.Publish{ID: uint16(n%0xFFFF + 1), Message: mqtt.Message{ //nolint:gosec // in range
				Topic: fmt.Sprintf("ret/%04d/%04d/s", n/1000, n%1000), Payload: make([]byte, 128), QoS: 1, Retain: true,
			}}
			var err error
			if burst, err = enc.Append(burst, p); err != nil {
				b.Fatal(err)
			}
			n++
		}
		bursts = append(bursts, burst)
	}
	return bursts
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
