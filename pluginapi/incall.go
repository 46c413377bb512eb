package pluginapi

import (
	"context"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// A hook that calls the broker hands its context on, and the broker learns by
// that which call is in hand: it waits for that call's answer, and must not be
// waited for.

type inCallKey struct{}

// inCall is the context of one interceptor's call. It costs no more than itself
// as long as nobody calls the broker.
type inCall struct {
	context.Context
	place place
}

// place says which call of which stream it is.
type place struct {
	connection, seq uint64
	hops            uint8
}

// Value adds the call's token.
func (c *inCall) Value(key any) any {
	if key != (inCallKey{}) {
		return c.Context.Value(key)
	}
	return &pluginv1.CallToken{ConnectionId: c.place.connection, Seq: c.place.seq, Hops: uint32(c.place.hops)}
}

// tokenOf is the token of what is in hand, nil for nothing.
func tokenOf(ctx context.Context) *pluginv1.CallToken {
	t, _ := ctx.Value(inCallKey{}).(*pluginv1.CallToken)
	return t
}

// Context returns ctx, for calls of the broker on account of this call. A
// [BatchInterceptor] whose own context is used acts on account of the last call
// of the batch.
func (c *Call) Context(ctx context.Context) context.Context {
	if !c.placed {
		return ctx
	}
	return &inCall{ctx, c.place}
}

// Context returns ctx, for calls of the broker on account of this event. An
// [Observer] whose own context is used acts on account of the whole batch: the
// most hops of its messages count.
func (e *Event) Context(ctx context.Context) context.Context {
	var hops uint8
	if e.Message != nil {
		hops = e.Message.Hops
	}
	return withHops(ctx, hops)
}

func withHops(ctx context.Context, hops uint8) context.Context {
	return context.WithValue(ctx, inCallKey{}, &pluginv1.CallToken{Hops: uint32(hops)})
}

// mostHops is what counts for a whole batch of events.
func mostHops(events []Event) uint8 {
	var most uint8
	for i := range events {
		if m := events[i].Message; m != nil {
			most = max(most, m.Hops)
		}
	}
	return most
}
