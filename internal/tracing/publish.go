package tracing

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// publish is one publish that is followed. It implements [broker.Trace].
type publish struct {
	t    *Tracer
	ctx  context.Context // has the span in it, and nothing else
	span trace.Span
	last atomic.Int64 // when the step began, in Unix nanoseconds

	// What follows is guarded by t.mu.
	known      []*mqtt.Message       // what it was and what it became
	size       int                   // of what it was
	receivers  int                   // that it was queued for
	settled    int                   // of them, that have it for good
	ended      time.Time             // when the publisher had its acknowledgement
	deliveries map[string]trace.Span // by receiver
	over       bool                  // forgotten
}

// step tells of a step that ends now.
func (p *publish) step(name string, began time.Time, attrs ...attribute.KeyValue) {
	_, span := p.t.spans.Start(p.ctx, name, trace.WithTimestamp(began), trace.WithAttributes(attrs...))
	span.End()
}

// Mark implements [broker.Trace].
func (p *publish) Mark() { p.last.Store(time.Now().UnixNano()) }

func (p *publish) since() time.Time { return time.Unix(0, p.last.Load()) }

// Stored implements [broker.Trace].
func (p *publish) Stored() { p.step("retain", p.since()) }

// Routed implements [broker.Trace].
func (p *publish) Routed(receivers int) {
	p.step("route", p.since(), attribute.Int("gatehouse.receivers", receivers))
	p.span.SetAttributes(attribute.Int("gatehouse.receivers", receivers))
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.receivers = receivers
}

var actions = map[hook.CallAction]string{
	hook.Pass: "pass", hook.Drop: "drop", hook.Refuse: "refuse", hook.Disconnect: "disconnect",
}

// End implements [broker.Trace].
func (p *publish) End(v hook.CallVerdict) {
	p.t.active.Add(-1)
	p.t.publisherDone(p)
	p.span.SetAttributes(attribute.String("gatehouse.verdict", actions[v.Action]))
	if v.By != "" {
		p.span.SetAttributes(attribute.String("gatehouse.verdict.by", v.By))
	}
	if v.Action == hook.Refuse || v.Action == hook.Disconnect {
		p.span.SetAttributes(attribute.String("mqtt.reason_code", v.Code.String()))
	}
	if v.Failed {
		p.span.SetStatus(codes.Error, v.Reason)
	}
	p.span.End()
}

var _ hook.Watcher = (*Tracer)(nil)

// Watches implements [hook.Watcher]: only while something is followed is a
// report worth making.
func (t *Tracer) Watches(_ string, p hook.Point) bool {
	return p == hook.PointConnect && t.connecting.Load() > 0 || (p == hook.PointPublish || p == hook.PointDeliver) && t.active.Load() > 0
}

// Watched implements [hook.Watcher].
func (t *Tracer) Watched(r *hook.Report) {
	if r.Point == hook.PointConnect {
		t.validated(r)
		return
	}
	for i := range r.Calls {
		c := &r.Calls[i]
		if p := t.find(c); p != nil {
			p.hook(r, c)
		}
	}
}

// find returns the publish that a call is about, which is known by the message
// that the hook made of it, too.
func (t *Tracer) find(c *hook.CallReport) *publish {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.of[c.Asked.Message]
	if p != nil && c.Message != nil && t.of[c.Message] == nil {
		t.of[c.Message] = p
		p.known = append(p.known, c.Message)
	}
	return p
}

// hook tells of one interceptor's call. A batch is decided at once: its calls
// took the same time.
func (p *publish) hook(r *hook.Report, c *hook.CallReport) {
	name := "intercept "
	if r.Point == hook.PointDeliver {
		name = "deliver "
	}
	_, span := p.t.spans.Start(p.ctx, name+r.Hook, trace.WithTimestamp(r.Began), trace.WithAttributes(
		attribute.String("gatehouse.plugin", r.Hook), attribute.String("gatehouse.hook", r.Point.String()),
		attribute.String("gatehouse.verdict", actions[c.Verdict.Action]), attribute.Bool("gatehouse.changed", c.Message != c.Asked.Message),
		attribute.Int("gatehouse.batch", len(r.Calls)), attribute.Int("gatehouse.attempts", r.Attempts),
	))
	if c.Asked.Receiver != "" {
		span.SetAttributes(attribute.String("gatehouse.receiver", c.Asked.Receiver))
	}
	if r.Err != nil {
		span.SetStatus(codes.Error, r.Err.Error())
	}
	span.End(trace.WithTimestamp(r.Began.Add(max(r.Took, r.Waited))))
}
