package pluginhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// rawFrame lets a server see a frame without the cost of generated code: what
// the benchmarks measure is the broker's side.
type rawFrame struct {
	first uint64
	count uint32
}

func (f *rawFrame) read(b []byte) error {
	f.first, f.count = 0, 0
	return eachField(b, func(field protowire.Number, _ byte, _ uint64, data []byte) error {
		if field == fieldStreamCalls {
			if f.count++; f.count == 1 {
				f.first, _ = protowire.ConsumeVarint(data[1:])
			}
		}
		return nil
	})
}

type rawInterceptor interface{ stream(grpc.ServerStream) error }

type rawPasser struct{}

func (rawPasser) stream(s grpc.ServerStream) error {
	var f rawFrame
	in := incoming{into: &f}
	for {
		if err := s.RecvMsg(&in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var out outgoing
		out.alloc(32)
		size := 1 + protowire.SizeVarint(f.first) + 1 + protowire.SizeVarint(uint64(f.count))
		*out.buf = appendUint(appendUint(appendLength(*out.buf, 1, size), 1, f.first), 2, uint64(f.count))
		if err := s.SendMsg(&out); err != nil {
			return err
		}
	}
}

func rawStreaming() fakePlugin {
	return fakePlugin{
		register:     func(s *grpc.Server) { registerRaw(s, rawPasser{}) },
		capabilities: &pluginv1.Capabilities{InterceptStream: true},
		options: []grpc.ServerOption{
			grpc.ForceServerCodecV2(codec), grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
			grpc.MaxRecvMsgSize(maxMessageBytes),
		},
	}
}

func registerRaw(s *grpc.Server, i rawInterceptor) {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: pluginv1.MessageInterceptorService_ServiceDesc.ServiceName,
		HandlerType: (*rawInterceptor)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "InterceptStream", ServerStreams: true, ClientStreams: true,
			Handler: func(srv any, s grpc.ServerStream) error { return srv.(rawInterceptor).stream(s) },
		}},
	}, i)
}

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
				if err := r.facades().interceptor.Intercept(context.Background(), calls); err != nil {
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
