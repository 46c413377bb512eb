package tracing

import (
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Bounds of the publishes that are remembered for receivers to acknowledge them. A
// message that is remembered can't leave the memory.
const (
	mostWaiting      = 1000
	mostWaitingBytes = 16 << 20
	waitingFor       = time.Minute
)

// waiting are publishes that some receivers have not acknowledged, oldest first,
// and some that have been settled since.
type waiting struct {
	list  []*publish
	bytes int
}

// publisherDone remembers a publish until its receivers have it, for a while.
func (t *Tracer) publisherDone(p *publish) {
	now := time.Now()
	t.mu.Lock()
	p.ended = now
	var left []trace.Span
	w := &t.waiting
	for len(w.list) > 0 && (w.list[0].over || now.Sub(w.list[0].ended) > waitingFor) {
		left = append(left, t.forgetOldest()...)
	}
	if p.settled >= p.receivers {
		p.size = 0 // it is not in the list
		left = append(left, t.forget(p)...)
	} else {
		w.list = append(w.list, p)
		w.bytes += p.size
	}
	if len(w.list) > mostWaiting {
		w.list = slices.DeleteFunc(w.list, func(p *publish) bool { return p.over })
	}
	for len(w.list) > mostWaiting || w.bytes > mostWaitingBytes {
		left = append(left, t.forgetOldest()...)
	}
	t.mu.Unlock()
	unacknowledged(left)
}

// forgetOldest forgets the publish that waits longest. The caller holds mu.
func (t *Tracer) forgetOldest() []trace.Span {
	w := &t.waiting
	p := w.list[0]
	w.list[0] = nil
	w.list = w.list[1:]
	return t.forget(p)
}

// forget ends what is known of a publish, and returns deliveries that have no
// acknowledgement. The caller holds mu.
func (t *Tracer) forget(p *publish) []trace.Span {
	if p.over {
		return nil
	}
	p.over = true
	for _, m := range p.known {
		delete(t.of, m)
	}
	p.known = nil // it may be large
	if p.listed() {
		t.waiting.bytes -= p.size
	}
	t.remembered.Add(-1)
	left := slices.Collect(maps.Values(p.deliveries))
	p.deliveries = nil
	return left
}

// unacknowledged ends deliveries of which nothing more will be told.
func unacknowledged(spans []trace.Span) {
	for _, span := range spans {
		span.SetAttributes(attribute.Bool("gatehouse.acknowledged", false))
		span.End()
	}
}

// Sent implements [broker.Tracer].
func (t *Tracer) Sent(m *mqtt.Message, receiver string, qos mqtt.QoS) {
	if t.remembered.Load() == 0 {
		return
	}
	t.mu.Lock()
	p := t.of[m]
	var before trace.Span
	if p != nil {
		before = p.deliveries[receiver]
	}
	t.mu.Unlock()
	switch {
	case p == nil:
		return
	case before != nil:
		before.AddEvent("sent again")
		return
	}
	_, span := t.spans.Start(p.ctx, "send", trace.WithTimestamp(p.since()), trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("gatehouse.receiver", receiver), attribute.Int("mqtt.qos", int(qos)),
	))
	span.AddEvent("sent")
	if qos == mqtt.AtMostOnce {
		span.End()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.settle(p)
		return
	}
	if !t.awaits(p, receiver, span) {
		unacknowledged([]trace.Span{span})
	}
}

// awaits keeps a delivery until it is acknowledged, unless its publish has been
// forgotten.
func (t *Tracer) awaits(p *publish, receiver string, span trace.Span) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.over {
		return false
	}
	if p.deliveries == nil {
		p.deliveries = make(map[string]trace.Span)
	}
	p.deliveries[receiver] = span
	return true
}

// Acknowledged implements [broker.Tracer].
func (t *Tracer) Acknowledged(m *mqtt.Message, receiver string, code mqtt.ReasonCode) {
	if t.remembered.Load() == 0 {
		return
	}
	if span := t.acknowledged(m, receiver); span != nil {
		span.SetAttributes(attribute.Bool("gatehouse.acknowledged", true), attribute.String("mqtt.reason_code", code.String()))
		span.End()
	}
}

// acknowledged returns the delivery to a receiver, which has it for good now.
func (t *Tracer) acknowledged(m *mqtt.Message, receiver string) trace.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.of[m]
	if p == nil || p.deliveries[receiver] == nil {
		return nil
	}
	span := p.deliveries[receiver]
	delete(p.deliveries, receiver)
	t.settle(p)
	return span
}

// settle counts a receiver that has a message for good. The caller holds mu, and
// has taken away what is known of that receiver.
func (t *Tracer) settle(p *publish) {
	p.settled++
	if p.listed() && p.settled >= p.receivers {
		t.forget(p) // nothing is left of it; it leaves the list in its time
	}
}

// listed reports whether the publisher has had its acknowledgement. The caller holds
// mu.
func (p *publish) listed() bool { return !p.ended.IsZero() }

// forgetAll ends what waits.
func (t *Tracer) forgetAll() {
	t.mu.Lock()
	var left []trace.Span
	for len(t.waiting.list) > 0 {
		left = append(left, t.forgetOldest()...)
	}
	t.mu.Unlock()
	unacknowledged(left)
}
