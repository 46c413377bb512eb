package pluginapi_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func BenchmarkInterceptStream(b *testing.B) {
	for _, kind := range []string{"single", "batch"} {
		b.Run(kind, func(b *testing.B) {
			plugin := publishPlugin(func(context.Context, *pluginapi.PublishCall) (pluginapi.Verdict, error) { return pluginapi.Pass(), nil })
			if kind == "batch" {
				plugin.Hooks = pluginapi.BatchFunc(func(context.Context, []*pluginapi.Call) error { return nil })
			}
			benchmarkStream(b, plugin)
		})
	}
}

// benchmarkStream keeps four frames of 64 calls on their way.
func benchmarkStream(b *testing.B, plugin pluginapi.Plugin) {
	p := plugintest.Start(b, plugin, plugintest.LogLevel("warn"))
	s, err := pluginv1.NewMessageInterceptorServiceClient(p.Conn()).InterceptStream(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	const size, window = 64, 4
	frame := new(pluginv1.InterceptStreamRequest)
	for i := range uint64(size) {
		frame.Clients = append(frame.Clients, &pluginv1.ClientContext{ConnectionId: i + 1, ClientId: fmt.Sprint("client", i)})
		frame.Calls = append(frame.Calls, &pluginv1.Call{ConnectionId: i + 1, Call: &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{
			Message: &pluginv1.Message{Topic: "some/topic/of/a/sensor", Payload: make([]byte, 128), Qos: 1, Publisher: "client"},
		}}})
	}
	seq, answers, open, messages := uint64(0), 0, 0, 0
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range frame.Calls {
			c.Seq = seq
			seq++
		}
		if err := s.Send(frame); err != nil {
			b.Fatal(err)
		}
		frame.Clients = nil
		for open += size; open >= size*window; {
			resp, err := s.Recv()
			if err != nil {
				b.Fatal(err)
			}
			answers++
			for _, r := range resp.GetPassed() {
				open -= int(r.GetCount())
				messages += int(r.GetCount())
			}
		}
	}
	b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(messages)/float64(max(answers, 1)), "msg/answer")
}
