package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Options say what is followed, and who is told.
type Options struct {
	// Endpoint is the collector's address, http://HOST:PORT or https://HOST:PORT.
	Endpoint string
	// Sample is the share of the publishes and connections that are followed, 0
	// to 1.
	Sample  float64
	Version string
	// Logger hears, at most once a minute, that the collector does not take
	// what it is told.
	Logger *slog.Logger
}

// maxPerSecond bounds the publishes and connections that are followed: clients can ask for it.
const maxPerSecond = 1000

// closeTimeout bounds how long Close waits for the collector.
const closeTimeout = 2 * time.Second

// Tracer implements [broker.Tracer] and is a watcher of hooks. Its methods may be
// called from many goroutines.
type Tracer struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer
	sample   float64

	second   atomic.Int64 // in which publishes are counted
	inSecond atomic.Int64

	// What follows spares mu: publishes whose publisher waits, publishes that are
	// remembered, connections.
	active, remembered, connecting atomic.Int64

	mu       sync.Mutex // guards the fields below
	of       map[*mqtt.Message]*publish
	waiting  waiting
	connects map[uint64]*connect // by connection
}

// New makes a tracer. It connects to nobody yet; Close has to follow.
func New(o Options) (*Tracer, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(u.Host), otlptracegrpc.WithTimeout(5 * time.Second)}
	if u.Scheme == "http" {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	otel.SetErrorHandler(&complaints{log: o.Logger})
	t := &Tracer{
		provider: sdktrace.NewTracerProvider(
			sdktrace.WithBatcher(exporter), // it drops what it has no room for
			sdktrace.WithSampler(sdktrace.AlwaysSample()),
			sdktrace.WithResource(resource.NewSchemaless(
				attribute.String("service.name", "gatehouse"), attribute.String("service.version", o.Version))),
		),
		sample: o.Sample, of: make(map[*mqtt.Message]*publish), connects: make(map[uint64]*connect),
	}
	t.spans = t.provider.Tracer("github.com/gatehouse-mqtt/gatehouse")
	return t, nil
}

// Close tells the collector what waits to be told, for a moment. It may be called
// on nil.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	t.forgetAll()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what is lost is lost
}

// complaints are the exporter's.
type complaints struct {
	log *slog.Logger

	mu     sync.Mutex // guards the fields below
	last   time.Time
	silent int
}

// Handle implements [otel.ErrorHandler].
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) < time.Minute {
		c.silent++
		return
	}
	c.log.Warn("traces are not taken", slog.Any("error", err), slog.Int("not_logged_before", c.silent))
	c.last, c.silent = time.Now(), 0
}

var _ broker.Tracer = (*Tracer)(nil)

// Begin implements [broker.Tracer].
func (t *Tracer) Begin(m *mqtt.Message, arrived time.Time) broker.Trace {
	var user []mqtt.UserProperty
	if m.Properties != nil {
		user = m.Properties.User
	}
	ctx := t.choose(user, arrived)
	if ctx == nil {
		return nil
	}
	p := &publish{t: t, known: []*mqtt.Message{m}, size: m.Size()}
	p.ctx, p.span = t.spans.Start(ctx, "publish", trace.WithTimestamp(arrived), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			attribute.String("messaging.system", "mqtt"), attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", m.Topic), attribute.String("messaging.client.id", m.Publisher),
			attribute.Int("messaging.message.body.size", len(m.Payload)),
			attribute.Int("mqtt.qos", int(m.QoS)), attribute.Bool("mqtt.retain", m.Retain),
		))
	p.Mark()
	p.step("receive", arrived)
	t.active.Add(1)
	t.remembered.Add(1)
	t.mu.Lock()
	t.of[m] = p
	t.mu.Unlock()
	return p
}

// choose returns the context of a new root, which may be in a trace of the
// client's; nil if it is not to be followed.
func (t *Tracer) choose(user []mqtt.UserProperty, now time.Time) context.Context {
	parent, told := parentOf(user)
	if told && !parent.IsSampled() || !told && rand.Float64() >= t.sample || !t.admit(now) { //nolint:gosec // sampling needs no secrecy
		return nil
	}
	ctx := context.Background()
	if told {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	return ctx
}

// admit counts what is followed in a second.
func (t *Tracer) admit(now time.Time) bool {
	second := now.Unix()
	if old := t.second.Load(); old != second && t.second.CompareAndSwap(old, second) {
		t.inSecond.Store(0)
	}
	return t.inSecond.Add(1) <= maxPerSecond
}

// parentOf reads what the client says of its own trace.
func parentOf(user []mqtt.UserProperty) (trace.SpanContext, bool) {
	if len(user) == 0 {
		return trace.SpanContext{}, false
	}
	carrier := make(propagation.MapCarrier)
	for _, u := range user {
		if u.Key == "traceparent" || u.Key == "tracestate" {
			carrier[u.Key] = u.Value
		}
	}
	if carrier["traceparent"] == "" {
		return trace.SpanContext{}, false
	}
	sc := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
	return sc, sc.IsValid()
}
