package pluginbench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/conformance"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// streamed is how many frames of a stream a broker has under way.
const streamed = 4

// validator measures decisions: one after the other, and many at once.
func (b *bench) validator() {
	api := pluginv1.NewConnectionValidatorServiceClient(b.Conn)
	for _, callers := range b.callers() {
		b.unary(Row{Hook: "connect", Batch: 1, Callers: callers}, func(ctx context.Context, caller, n int) error {
			_, err := api.Validate(ctx, &pluginv1.ValidateRequest{Connect: &pluginv1.Connect{
				ConnectionId: uint64(caller)<<32 | uint64(n), ClientId: fmt.Sprintf("bench-%d-%d", caller, n),
				Username: proto.String(b.Username), Password: []byte(b.Password), ProtocolLevel: 5, CleanStart: true, KeepAliveSeconds: 60,
				PeerAddress: "192.0.2.1:50000", LocalAddress: "192.0.2.100:1883", Listener: "default", Transport: "tcp",
			}})
			return err
		})
	}
}

func (b *bench) callers() []int {
	if b.Callers == 1 {
		return []int{1}
	}
	return []int{1, b.Callers}
}

// message is a message as a client publishes it, of a topic that a filter
// matches.
func (b *bench) message(filter string, n uint64) *pluginv1.Message {
	return &pluginv1.Message{
		Topic: conformance.Topic(filter, fmt.Sprint("bench", n%100)), Payload: bytes.Repeat([]byte("x"), b.Payload),
		PayloadSize: uint64(b.Payload), Qos: 1, Publisher: "bench", Origin: pluginv1.Origin_ORIGIN_CLIENT,
		CreatedUnixNanos: time.Now().UnixNano(),
	}
}

// interest is what calls are made of: the first hook that the plugin wants.
func (b *bench) interest() (hook pluginv1.Hook, name, filter string, mode pluginv1.PayloadMode) {
	hook, filter = pluginv1.Hook_HOOK_PUBLISH, "#"
	for _, in := range b.Init.GetInterest() {
		if h := in.GetHook(); h < pluginv1.Hook_HOOK_PUBLISH || h > pluginv1.Hook_HOOK_DELIVER {
			continue
		}
		hook, mode = in.GetHook(), in.GetPayload()
		if len(in.GetTopicFilters()) > 0 {
			filter = in.GetTopicFilters()[0]
		}
		break
	}
	names := map[pluginv1.Hook]string{
		pluginv1.Hook_HOOK_PUBLISH: "publish", pluginv1.Hook_HOOK_SUBSCRIBE: "subscribe",
		pluginv1.Hook_HOOK_UNSUBSCRIBE: "unsubscribe", pluginv1.Hook_HOOK_DELIVER: "deliver",
	}
	return hook, names[hook], filter, mode
}

// interceptor measures batches of calls of the first hook it wants, unary and on
// the stream.
func (b *bench) interceptor() {
	api := pluginv1.NewMessageInterceptorServiceClient(b.Conn)
	hook, name, filter, mode := b.interest()
	clients := []*pluginv1.ClientContext{{ConnectionId: 1, ClientId: "bench", Username: "bench", ProtocolLevel: 5, Listener: "default"}}
	frame := func(first uint64, n int) []*pluginv1.Call {
		calls := make([]*pluginv1.Call, n)
		for i := range calls {
			m := b.message(filter, first+uint64(i))
			if mode == pluginv1.PayloadMode_PAYLOAD_MODE_NONE {
				m.Payload = nil
			}
			calls[i] = call(hook, first+uint64(i), m)
		}
		return calls
	}
	for _, size := range batches {
		for _, callers := range b.callers() {
			b.unary(Row{Hook: name, Batch: size, Callers: callers}, func(ctx context.Context, _, _ int) error {
				out, err := api.Intercept(ctx, &pluginv1.InterceptRequest{Clients: clients, Calls: frame(1, size)})
				if err == nil && answered(out.GetPassed(), out.GetVerdicts()) != size {
					err = fmt.Errorf("%d of %d calls were answered", answered(out.GetPassed(), out.GetVerdicts()), size)
				}
				return err
			})
		}
	}
	if !b.Init.GetCapabilities().GetInterceptStream() {
		return
	}
	for _, size := range batches {
		b.stream(Row{Hook: name, Batch: size, Callers: streamed}, func(ctx context.Context) (*pipe, error) {
			s, err := api.InterceptStream(ctx)
			if err != nil {
				return nil, err
			}
			open := newOpenFrames(uint64(size))
			return &pipe{
				end: s.CloseSend,
				send: func(n uint64) error {
					req := &pluginv1.InterceptStreamRequest{Calls: frame(n*uint64(size)+1, size)}
					if n == 0 {
						req.Clients = clients
					}
					return s.Send(req)
				},
				receive: func(done func(uint64)) error {
					out, err := s.Recv()
					if err != nil {
						return err
					}
					for _, r := range out.GetPassed() {
						for i := range uint64(r.GetCount()) {
							open.answered(r.GetFirstSeq()+i, done)
						}
					}
					for _, v := range out.GetVerdicts() {
						open.answered(v.GetSeq(), done)
					}
					return nil
				},
			}, nil
		})
	}
}

// call makes a call of a hook.
func call(hook pluginv1.Hook, seq uint64, m *pluginv1.Message) *pluginv1.Call {
	c := &pluginv1.Call{Seq: seq, ConnectionId: 1}
	switch hook {
	case pluginv1.Hook_HOOK_SUBSCRIBE:
		c.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{Subscription: &pluginv1.Subscription{Filter: m.GetTopic(), Qos: 1}}}
	case pluginv1.Hook_HOOK_UNSUBSCRIBE:
		c.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{Filter: m.GetTopic()}}
	case pluginv1.Hook_HOOK_DELIVER:
		c.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{Message: m, Receiver: "bench"}}
	default:
		c.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: m}}
	}
	return c
}

func answered(passed []*pluginv1.SeqRange, verdicts []*pluginv1.Verdict) int {
	n := len(verdicts)
	for _, r := range passed {
		n += int(r.GetCount())
	}
	return n
}

// openFrames counts what is open of each frame: answers may come for any part of
// one. Only the receiver uses it.
type openFrames struct {
	size uint64
	left map[uint64]uint64
}

func newOpenFrames(size uint64) *openFrames {
	return &openFrames{size: size, left: make(map[uint64]uint64)}
}

func (o *openFrames) answered(seq uint64, done func(frame uint64)) {
	frame := (seq - 1) / o.size
	if o.left[frame]++; o.left[frame] == o.size {
		delete(o.left, frame)
		done(frame)
	}
}

// observer measures batches of events, unary and on the stream.
func (b *bench) observer() {
	api := pluginv1.NewObserverServiceClient(b.Conn)
	kind := pluginv1.EventKind_EVENT_KIND_PUBLISHED
	for _, in := range b.Init.GetInterest() {
		if in.GetHook() == pluginv1.Hook_HOOK_EVENT && len(in.GetEvents()) > 0 {
			kind = in.GetEvents()[0]
		}
	}
	events := func(first uint64, n int) []*pluginv1.Event {
		all := make([]*pluginv1.Event, n)
		for i := range all {
			all[i] = &pluginv1.Event{
				Kind: kind, TimeUnixNanos: time.Now().UnixNano(), ClientId: "bench", ConnectionId: 1, Seq: first + uint64(i),
				Message: b.message("bench/+", first+uint64(i)),
			}
		}
		return all
	}
	for _, size := range batches {
		b.unary(Row{Hook: "event", Batch: size, Callers: 1}, func(ctx context.Context, _, n int) error {
			_, err := api.Observe(ctx, &pluginv1.ObserveRequest{Events: events(uint64(n*size), size)})
			return err
		})
	}
	if !b.Init.GetCapabilities().GetObserveStream() {
		return
	}
	for _, size := range batches {
		b.stream(Row{Hook: "event", Batch: size, Callers: streamed}, func(ctx context.Context) (*pipe, error) {
			s, err := api.ObserveStream(ctx)
			if err != nil {
				return nil, err
			}
			var taken uint64
			return &pipe{
				end: s.CloseSend,
				send: func(n uint64) error {
					return s.Send(&pluginv1.ObserveStreamRequest{Events: events(n*uint64(size), size)})
				},
				receive: func(done func(uint64)) error {
					out, err := s.Recv()
					if err != nil {
						return err
					}
					for ; taken < out.GetBatches(); taken++ {
						done(taken)
					}
					return nil
				},
			}, nil
		})
	}
}
