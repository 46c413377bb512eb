package broker_test

import (
	"context"
	"io"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// BenchmarkQoS0 takes one message per operation from a publisher that
// pipelines, through the broker, to a subscriber: both ends and the broker
// share the processors.
func BenchmarkQoS0(b *testing.B) {
	for _, bb := range []struct {
		name  string
		hooks func(*hook.Hooks)
	}{
		{"plain", func(*hook.Hooks) {}},
		{"interceptor", func(h *hook.Hooks) {
			h.SetInterceptors([]hook.InterceptorEntry{{
				Interceptor: hook.InterceptorFunc(func(context.Context, *hook.Batch) error { return nil }),
				Interests:   []hook.Interest{{Point: hook.PointPublish}},
			}})
		}},
		{"observer", func(h *hook.Hooks) {
			h.SetObservers([]hook.ObserverEntry{{Observer: nobody{}, Interests: []hook.Interest{{
				Point: hook.PointEvent, Events: []hook.EventKind{hook.Published},
			}}}})
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			h := hook.NewHooks(nil)
			defer h.Close()
			bb.hooks(h)
			br := brokertest.Start(b, broker.Options{Hooks: h, Limits: broker.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30}})
			sub := br.DialRaw("sub", &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "bench/+"}}})
			pub := br.DialRaw("pub")
			enc := packet.Encoder{Version: mqtt.V311}
			one, err := enc.Append(nil, &packet.Publish{Message: mqtt.Message{Topic: "bench/00042", Payload: make([]byte, 128)}})
			if err != nil {
				b.Fatal(err)
			}
			const burst = 64
			var many []byte
			for range burst {
				many = append(many, one...)
			}
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan error, 1)
			total := int64(b.N+burst-1) / burst * burst
			go func() {
				_, err := io.CopyN(io.Discard, sub, total*int64(len(one)))
				done <- err
			}()
			for range total / burst {
				if _, err := pub.Write(many); err != nil {
					b.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

type nobody struct{}

func (nobody) Observe(context.Context, []hook.Event, uint64) {}
