//go:build unix

package pluginhost

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func BenchmarkCoalesce(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		for _, batch := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("callers=%d/batch=%d", callers, batch), func(b *testing.B) {
				benchmarkIntercept(b, rawStreaming(), callers, batch)
			})
		}
	}
}

// BenchmarkCoalesceGenerated has a plugin that unmarshals with generated code.
func BenchmarkCoalesceGenerated(b *testing.B) {
	benchmarkIntercept(b, streaming(answering(passAll)), 64, 1)
}

// benchmarkIntercept measures one message per operation.
func benchmarkIntercept(b *testing.B, p fakePlugin, callers, batch int) {
	r := newRig(b, p)
	payload := bytes.Repeat([]byte("x"), 128)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	before, frames := cpuTime(), r.facades().stats().Frames
	for i := range callers {
		wg.Go(func() {
			c := client(uint64(i + 1))
			calls := publish(c)
			for range batch {
				calls.Calls = append(calls.Calls, &hook.Call{Client: c, Message: &mqtt.Message{
					Topic: "garden/sensor/temperature", Payload: payload, Publisher: c.ID, Created: time.Unix(1, 0),
				}})
			}
			for left.Add(-int64(batch)) > -int64(batch) {
				if err := r.facades().interceptor().Intercept(context.Background(), calls); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(b.N)/float64(r.facades().stats().Frames-frames), "items/frame")
	runtime.KeepAlive(r)
}

// cpuTime is what this process has used on all cores: both sides of the stream.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMarshal is what a caller does for one message of a batch of 64.
func BenchmarkMarshal(b *testing.B) {
	calls := publish(nil)
	for range 64 {
		m := message("garden/sensor/temperature", "")
		m.Payload = bytes.Repeat([]byte("x"), 128)
		calls.Calls = append(calls.Calls, &hook.Call{Client: client(1), Message: m})
	}
	plan := newPayloadPlan(nil)
	b.ReportAllocs()
	before := cpuTime()
	for n := 0; n < b.N; n += len(calls.Calls) {
		g, err := newGroup(calls, plan)
		if err != nil {
			b.Fatal(err)
		}
		g.free()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// BenchmarkReply decodes an answer of 64 verdicts, each of which changes a
// payload; one of them is an operation.
func BenchmarkReply(b *testing.B) {
	p := new(streamResponse)
	for i := range 64 {
		p.Verdicts = append(p.Verdicts, &pluginv1.Verdict{
			Seq: uint64(i), Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS,
			Message: &pluginv1.MessageChange{Payload: bytes.Repeat([]byte("x"), 128)},
		})
	}
	data, err := proto.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	var r reply
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(p.Verdicts) {
		if err := r.read(data); err != nil {
			b.Fatal(err)
		}
	}
}
