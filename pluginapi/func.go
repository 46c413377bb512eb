package pluginapi

import "context"

// The types of this file make a hook of a function, for plugins that are no more
// than that:
//
//	pluginapi.Serve(pluginapi.Plugin{Name: "my-auth", Hooks: pluginapi.ValidatorFunc(validate)})

// ValidatorFunc is a function as a [Validator].
type ValidatorFunc func(ctx context.Context, c *Connect) (*Decision, error)

// ValidateConnection calls f.
func (f ValidatorFunc) ValidateConnection(ctx context.Context, c *Connect) (*Decision, error) {
	return f(ctx, c)
}

// PublishFunc is a function as a [PublishInterceptor].
type PublishFunc func(ctx context.Context, call *PublishCall) (Verdict, error)

// InterceptPublish calls f.
func (f PublishFunc) InterceptPublish(ctx context.Context, call *PublishCall) (Verdict, error) {
	return f(ctx, call)
}

// SubscribeFunc is a function as a [SubscribeInterceptor].
type SubscribeFunc func(ctx context.Context, call *SubscribeCall) (Verdict, error)

// InterceptSubscribe calls f.
func (f SubscribeFunc) InterceptSubscribe(ctx context.Context, call *SubscribeCall) (Verdict, error) {
	return f(ctx, call)
}

// UnsubscribeFunc is a function as an [UnsubscribeInterceptor].
type UnsubscribeFunc func(ctx context.Context, call *UnsubscribeCall) (Verdict, error)

// InterceptUnsubscribe calls f.
func (f UnsubscribeFunc) InterceptUnsubscribe(ctx context.Context, call *UnsubscribeCall) (Verdict, error) {
	return f(ctx, call)
}

// DeliverFunc is a function as a [DeliverInterceptor].
type DeliverFunc func(ctx context.Context, call *DeliverCall) (Verdict, error)

// InterceptDeliver calls f.
func (f DeliverFunc) InterceptDeliver(ctx context.Context, call *DeliverCall) (Verdict, error) {
	return f(ctx, call)
}

// BatchFunc is a function as a [BatchInterceptor].
type BatchFunc func(ctx context.Context, calls []*Call) error

// InterceptBatch calls f.
func (f BatchFunc) InterceptBatch(ctx context.Context, calls []*Call) error { return f(ctx, calls) }

// ObserverFunc is a function as an [Observer].
type ObserverFunc func(ctx context.Context, events []Event, dropped uint64) error

// Observe calls f.
func (f ObserverFunc) Observe(ctx context.Context, events []Event, dropped uint64) error {
	return f(ctx, events, dropped)
}

// ConnectRule is a [Validator] that needs nothing but the CONNECT: it asks nobody,
// so that it neither waits nor fails.
type ConnectRule func(c *Connect) *Decision

// ValidateConnection calls r.
func (r ConnectRule) ValidateConnection(_ context.Context, c *Connect) (*Decision, error) {
	return r(c), nil
}
