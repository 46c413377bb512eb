package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// connect is one connection that is followed. It implements
// [broker.ConnectTrace].
type connect struct {
	t    *Tracer
	id   uint64
	ctx  context.Context // has the span in it, and nothing else
	span trace.Span
}

// Connecting implements [broker.Tracer].
func (t *Tracer) Connecting(c *hook.Connect) broker.ConnectTrace {
	ctx := t.choose(c.User, time.Now())
	if ctx == nil {
		return nil
	}
	x := &connect{t: t, id: c.ConnectionID}
	x.ctx, x.span = t.spans.Start(ctx, "connect", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("messaging.system", "mqtt"), attribute.String("messaging.client.id", c.ClientID),
		attribute.String("mqtt.version", c.Version.String()), attribute.String("gatehouse.listener", c.Listener),
		attribute.String("gatehouse.transport", c.Transport),
	))
	t.connecting.Add(1)
	t.mu.Lock()
	t.connects[x.id] = x
	t.mu.Unlock()
	return x
}

// End implements [broker.ConnectTrace].
func (x *connect) End(code mqtt.ReasonCode, reason string) {
	x.t.mu.Lock()
	delete(x.t.connects, x.id)
	x.t.mu.Unlock()
	x.t.connecting.Add(-1)
	x.span.SetAttributes(attribute.String("mqtt.reason_code", code.String()))
	if code.Failed() {
		x.span.SetStatus(codes.Error, reason)
	}
	x.span.End()
}

var words = map[hook.Verdict]string{hook.Abstain: "abstain", hook.Allow: "allow", hook.Deny: "deny"}

// validated tells of one validator's decision about a connection that is followed.
func (t *Tracer) validated(r *hook.Report) {
	if r.Connect == nil {
		return
	}
	t.mu.Lock()
	x := t.connects[r.Connect.ConnectionID]
	t.mu.Unlock()
	if x == nil {
		return
	}
	name := "validate "
	if r.Exchange {
		name = "authenticate "
	}
	_, span := t.spans.Start(x.ctx, name+r.Hook, trace.WithTimestamp(r.Began), trace.WithAttributes(
		attribute.String("gatehouse.plugin", r.Hook), attribute.String("gatehouse.hook", r.Point.String()),
		attribute.Bool("gatehouse.kept", r.Kept), attribute.Int("gatehouse.attempts", r.Attempts),
	))
	if r.Decision != nil {
		span.SetAttributes(attribute.String("gatehouse.verdict", words[r.Decision.Verdict]))
	}
	if r.Err != nil {
		span.SetStatus(codes.Error, r.Err.Error())
	}
	span.End(trace.WithTimestamp(r.Began.Add(max(r.Took, r.Waited))))
}
