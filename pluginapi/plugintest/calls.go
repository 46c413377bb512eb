package plugintest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// A Plugin is called like the plugin itself.
var (
	_ pluginapi.Validator              = (*Plugin)(nil)
	_ pluginapi.PublishInterceptor     = (*Plugin)(nil)
	_ pluginapi.SubscribeInterceptor   = (*Plugin)(nil)
	_ pluginapi.UnsubscribeInterceptor = (*Plugin)(nil)
	_ pluginapi.DeliverInterceptor     = (*Plugin)(nil)
	_ pluginapi.BatchInterceptor       = (*Plugin)(nil)
	_ pluginapi.Observer               = (*Plugin)(nil)
	_ pluginapi.Store                  = (*Plugin)(nil)
	_ pluginapi.Snapshotter            = (*Plugin)(nil)
	_ pluginapi.Statser                = (*Plugin)(nil)
	_ pluginapi.Healther               = (*Plugin)(nil)
	_ pluginapi.Stopper                = (*Plugin)(nil)
	_ pluginapi.Metricser              = (*Plugin)(nil)
)

// ValidateConnection asks the plugin's [pluginapi.Validator].
func (p *Plugin) ValidateConnection(ctx context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	resp, err := pluginv1.NewConnectionValidatorServiceClient(p.conn).Validate(ctx, &pluginv1.ValidateRequest{Connect: connectToProto(c)})
	if err != nil {
		return nil, err
	}
	return decisionFromProto(resp.GetDecision())
}

// InterceptPublish asks about one message and changes it as the plugin wants.
func (p *Plugin) InterceptPublish(ctx context.Context, call *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return p.one(ctx, &pluginapi.Call{Publish: call})
}

// InterceptSubscribe asks about one filter and changes it as the plugin wants.
func (p *Plugin) InterceptSubscribe(ctx context.Context, call *pluginapi.SubscribeCall) (pluginapi.Verdict, error) {
	return p.one(ctx, &pluginapi.Call{Subscribe: call})
}

// InterceptUnsubscribe asks about one filter.
func (p *Plugin) InterceptUnsubscribe(ctx context.Context, call *pluginapi.UnsubscribeCall) (pluginapi.Verdict, error) {
	return p.one(ctx, &pluginapi.Call{Unsubscribe: call})
}

// InterceptDeliver asks about one delivery and changes it as the plugin wants.
func (p *Plugin) InterceptDeliver(ctx context.Context, call *pluginapi.DeliverCall) (pluginapi.Verdict, error) {
	return p.one(ctx, &pluginapi.Call{Deliver: call})
}

func (p *Plugin) one(ctx context.Context, c *pluginapi.Call) (pluginapi.Verdict, error) {
	err := p.InterceptBatch(ctx, []*pluginapi.Call{c})
	return c.Verdict, err
}

// InterceptBatch asks about many calls at once, of whatever interfaces the
// plugin has, and writes verdicts and changes into them. An error means that none
// was decided. A change that the plugin's interest does not declare is an error,
// as the broker would refuse it.
func (p *Plugin) InterceptBatch(ctx context.Context, calls []*pluginapi.Call) error {
	req := new(pluginv1.InterceptRequest)
	clients := map[uint64]bool{}
	for i, c := range calls {
		pb, client, err := callToProto(uint64(i), c)
		if err != nil {
			return err
		}
		req.Calls = append(req.Calls, pb)
		if client != nil && !clients[client.ConnectionID] {
			clients[client.ConnectionID] = true
			req.Clients = append(req.Clients, clientToProto(client))
		}
	}
	resp, err := pluginv1.NewMessageInterceptorServiceClient(p.conn).Intercept(ctx, req)
	if err != nil {
		return err
	}
	settled := newSettling(p, calls)
	if err := settled.take(resp.GetPassed(), resp.GetVerdicts()); err != nil {
		return err
	}
	if n := settled.open(); n > 0 {
		return fmt.Errorf("%d of %d calls have no verdict", n, len(calls))
	}
	return nil
}

// InterceptFrames asks about calls over the stream, each slice as a frame, sent
// without waiting for answers. It is otherwise as InterceptBatch, except that an
// error leaves the calls that were decided before it decided.
func (p *Plugin) InterceptFrames(ctx context.Context, frames ...[]*pluginapi.Call) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pluginv1.NewMessageInterceptorServiceClient(p.conn).InterceptStream(ctx)
	if err != nil {
		return err
	}
	reqs, err := framesToProto(frames)
	if err != nil {
		return err
	}
	var sender sync.WaitGroup
	defer sender.Wait()
	defer cancel() // ends a Send that nobody reads
	sender.Go(func() {
		for _, req := range reqs {
			if stream.Send(req) != nil {
				return // Recv returns the reason
			}
		}
		_ = stream.CloseSend()
	})
	settled := newSettling(p, slices.Concat(frames...))
	for settled.open() > 0 {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := settled.take(resp.GetPassed(), resp.GetVerdicts()); err != nil {
			return err
		}
	}
	return nil
}

func framesToProto(frames [][]*pluginapi.Call) ([]*pluginv1.InterceptStreamRequest, error) {
	known := map[uint64]bool{}
	var seq uint64
	var reqs []*pluginv1.InterceptStreamRequest
	for _, frame := range frames {
		req := new(pluginv1.InterceptStreamRequest)
		for _, c := range frame {
			pb, client, err := callToProto(seq, c)
			if err != nil {
				return nil, err
			}
			seq++
			req.Calls = append(req.Calls, pb)
			if client != nil && !known[client.ConnectionID] {
				known[client.ConnectionID] = true
				req.Clients = append(req.Clients, clientToProto(client))
			}
		}
		reqs = append(reqs, req)
	}
	return reqs, nil
}

// Observe tells the plugin's [pluginapi.Observer] of events.
func (p *Plugin) Observe(ctx context.Context, events []pluginapi.Event, dropped uint64) error {
	req := &pluginv1.ObserveRequest{Dropped: dropped}
	for i := range events {
		req.Events = append(req.Events, eventToProto(&events[i]))
	}
	_, err := pluginv1.NewObserverServiceClient(p.conn).Observe(ctx, req)
	return err
}
