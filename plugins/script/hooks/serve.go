package hooks

import (
	"context"

	"github.com/gatehouse-mqtt/gatehouse/internal/script"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

var (
	_ pluginapi.Validator              = (*scripts)(nil)
	_ pluginapi.PublishInterceptor     = (*scripts)(nil)
	_ pluginapi.SubscribeInterceptor   = (*scripts)(nil)
	_ pluginapi.UnsubscribeInterceptor = (*scripts)(nil)
	_ pluginapi.DeliverInterceptor     = (*scripts)(nil)
	_ pluginapi.Observer               = (*scripts)(nil)
	_ pluginapi.Interester             = (*scripts)(nil)
	_ pluginapi.Healther               = (*scripts)(nil)
	_ pluginapi.Reconfigurer           = (*scripts)(nil)
	_ pluginapi.Metricser              = (*scripts)(nil)
	_ pluginapi.Stopper                = (*scripts)(nil)
)

// call has the scripts decide one call, and takes note of a failure. What they
// could not decide is the broker's to decide, by its policy.
func call[T any](ctx context.Context, p *scripts, f func(*script.Set) (T, error)) (T, error) {
	var none T
	set, err := p.use(ctx)
	if err == nil {
		p.failures.calls.Add(1)
		var out T
		if out, err = f(set); err == nil {
			return out, nil
		}
		p.failures.note(err)
	}
	return none, err
}

// ValidateConnection decides about a CONNECT.
func (p *scripts) ValidateConnection(ctx context.Context, c *pluginapi.Connect) (*pluginapi.Decision, error) {
	return call(ctx, p, func(s *script.Set) (*pluginapi.Decision, error) { return s.Connect(ctx, c) })
}

// InterceptPublish decides about a message.
func (p *scripts) InterceptPublish(ctx context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
	return call(ctx, p, func(s *script.Set) (pluginapi.Verdict, error) { return s.Publish(ctx, c) })
}

// InterceptSubscribe decides about a filter of a SUBSCRIBE.
func (p *scripts) InterceptSubscribe(ctx context.Context, c *pluginapi.SubscribeCall) (pluginapi.Verdict, error) {
	return call(ctx, p, func(s *script.Set) (pluginapi.Verdict, error) { return s.Subscribe(ctx, c) })
}

// InterceptUnsubscribe decides about a filter of an UNSUBSCRIBE.
func (p *scripts) InterceptUnsubscribe(ctx context.Context, c *pluginapi.UnsubscribeCall) (pluginapi.Verdict, error) {
	return call(ctx, p, func(s *script.Set) (pluginapi.Verdict, error) { return s.Unsubscribe(ctx, c) })
}

// InterceptDeliver decides about a message for one receiver.
func (p *scripts) InterceptDeliver(ctx context.Context, c *pluginapi.DeliverCall) (pluginapi.Verdict, error) {
	return call(ctx, p, func(s *script.Set) (pluginapi.Verdict, error) { return s.Deliver(ctx, c) })
}

// Observe tells the scripts of events, one after the other. One that fails is
// noted, and the others go on.
func (p *scripts) Observe(ctx context.Context, events []pluginapi.Event, dropped uint64) error {
	p.failures.lost.Add(dropped)
	set, err := p.use(ctx)
	if err != nil {
		return err
	}
	for i := range events {
		p.failures.calls.Add(1)
		if err := set.Event(events[i].Context(ctx), &events[i]); err != nil {
			p.failures.note(err)
		}
	}
	return nil
}
