package main

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// otlp is a collector of traces.
type otlp struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex // guards the field below
	spans []*tracev1.Span
}

// Export takes spans.
func (o *otlp) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			o.spans = append(o.spans, s.GetSpans()...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// collect starts a collector and returns its address.
func (o *otlp) collect(t *testing.T) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(ln)
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return "http://" + ln.Addr().String()
}

// tree are the spans of a trace by name, each with the name of its parent, and
// some attributes.
func (o *otlp) tree(traceID string) map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := make(map[string]string)
	for _, s := range o.spans {
		names[string(s.GetSpanId())] = s.GetName()
	}
	out := make(map[string]string)
	for _, s := range o.spans {
		if hex.EncodeToString(s.GetTraceId()) != traceID {
			continue
		}
		parent, ok := names[string(s.GetParentSpanId())]
		if !ok {
			parent = hex.EncodeToString(s.GetParentSpanId())
		}
		for _, a := range s.GetAttributes() {
			switch a.GetKey() {
			case "gatehouse.receivers", "gatehouse.verdict", "messaging.destination.name", "messaging.client.id":
				parent += " " + strings.TrimSpace(strings.SplitN(a.GetValue().String(), ":", 2)[1])
			}
		}
		if s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() {
			parent += " ends before it begins"
		}
		out[s.GetName()] = parent
	}
	return out
}

// A client's trace goes on in the broker, through the plugin, the store and the
// router, and its messages that are not sampled are left alone.
func TestTraces(t *testing.T) {
	o := new(otlp)
	s := newSite(t, "traces: {endpoint: '"+o.collect(t)+"', sample: 0}\n", "badday", "retainjson")
	p := s.start()
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub")
	sub.Subscribe(0, "day/#")
	const one, two = "0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"
	pub := b.Connect("pub")
	publish := func(topic, parent string, retain bool, want mqtt.ReasonCode) {
		pub.Publish(mqtt.Message{
			Topic: topic, Payload: []byte("x"), QoS: 1, Retain: retain,
			Properties: &mqtt.Properties{User: []mqtt.UserProperty{{Key: "traceparent", Value: parent}}},
		}, want)
	}
	publish("day/good", "00-"+one+"-b7ad6b7169203331-01", true, 0)
	publish("day/good", "00-"+two+"-b7ad6b7169203331-00", true, 0)
	publish("day/code", "00-"+strings.Replace(one, "0af", "2af", 1)+"-b7ad6b7169203331-01", false, mqtt.ImplementationSpecificError)
	publish("day/good", "nonsense", false, 0)
	for range 3 {
		sub.ExpectMessage("day/good", "x")
	}
	p.stop() // what waits is told
	if d := cmp.Diff(map[string]string{
		"publish": `b7ad6b7169203331 "day/good" "pub" 1 "pass"`, "receive": "publish", "intercept badday": `publish "pass"`,
		"retain": "publish", "route": "publish 1", "send": "publish",
	}, o.tree(one)); d != "" {
		t.Errorf("the sampled one:\n%s", d)
	}
	if got := o.tree(two); len(got) > 0 {
		t.Errorf("the one that is not sampled: %v", got)
	}
	if d := cmp.Diff(map[string]string{
		"publish": `b7ad6b7169203331 "day/code" "pub" "refuse"`, "receive": "publish", "intercept badday": `publish "refuse"`,
	}, o.tree(strings.Replace(one, "0af", "2af", 1))); d != "" {
		t.Errorf("the refused one:\n%s", d)
	}
	if n := len(o.spans); n != 9 {
		t.Errorf("%d spans", n)
	}
}

// span returns the only span of a name for which f holds.
func (o *otlp) span(t *testing.T, name string, f func(attrs map[string]string) bool) (s *tracev1.Span, attrs map[string]string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, one := range o.spans {
		of := make(map[string]string)
		for _, a := range one.GetAttributes() {
			_, v, _ := strings.Cut(a.GetValue().String(), ":")
			of[a.GetKey()] = strings.Trim(v, `"`)
		}
		if one.GetName() != name || !f(of) {
			continue
		}
		if s != nil {
			t.Errorf("%s is there twice", name)
		}
		s, attrs = one, of
	}
	if s == nil {
		t.Fatalf("there is no span %s", name)
	}
	return s, attrs
}

// A message is followed until its receivers have acknowledged it, each by itself.
func TestTracesOfDeliveries(t *testing.T) {
	o := new(otlp)
	s := newSite(t, "traces: {endpoint: '"+o.collect(t)+"', sample: 1}\n")
	p := s.start()
	b := brokertest.At(t, p.addr)
	receivers := make([]*brokertest.Client, 3)
	for i, id := range []string{"zero", "one", "two"} {
		receivers[i] = b.Connect(id)
		receivers[i].Subscribe(mqtt.QoS(i), "t")
	}
	silent := b.Connect("silent")
	silent.Subscribe(1, "t")
	pub := b.Connect("pub")
	pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 2}, 0)
	for _, c := range receivers {
		c.ExpectMessage("t", "x")
		c.Subscribe(0, "other") // what the broker has answered comes behind what it has read
	}
	if _, ok := silent.Next().(*packet.Publish); !ok {
		t.Fatal("no message came")
	}
	p.stop()
	root, _ := o.span(t, "publish", func(map[string]string) bool { return true })
	for id, want := range map[string]string{"zero": "", "one": "true", "two": "true", "silent": "false"} {
		s, attrs := o.span(t, "send", func(of map[string]string) bool { return of["gatehouse.receiver"] == id })
		if string(s.GetParentSpanId()) != string(root.GetSpanId()) || string(s.GetTraceId()) != string(root.GetTraceId()) {
			t.Errorf("%s: not below the publish", id)
		}
		if got := attrs["gatehouse.acknowledged"]; got != want {
			t.Errorf("%s: acknowledged %q, want %q", id, got, want)
		}
		if len(s.GetEvents()) == 0 || s.GetEndTimeUnixNano() < s.GetStartTimeUnixNano() || s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() {
			t.Errorf("%s: %v", id, s)
		}
	}
}

// A connection is followed through its validators to CONNACK.
func TestTracesOfConnections(t *testing.T) {
	o := new(otlp)
	s := newSite(t, "traces: {endpoint: '"+o.collect(t)+"', sample: 1}\nplugins: {authfile: {config: {file: users.yaml}}}\n", "authfile")
	s.alice()
	p := s.start()
	if _, _, err := p.dial5("good", "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.dial5("bad", "alice", "wrong"); err == nil {
		t.Fatal("a wrong password is good")
	}
	p.stop()
	for id, want := range map[string][2]string{"good": {"success", "allow"}, "bad": {"bad user name or password", "deny"}} {
		root, attrs := o.span(t, "connect", func(of map[string]string) bool { return of["messaging.client.id"] == id })
		if got := attrs["mqtt.reason_code"]; got != want[0] {
			t.Errorf("%s: %v, want %s", id, attrs, want[0])
		}
		s, attrs := o.span(t, "validate authfile", func(of map[string]string) bool { return of["gatehouse.verdict"] == want[1] })
		if string(s.GetParentSpanId()) != string(root.GetSpanId()) || s.GetStartTimeUnixNano() < root.GetStartTimeUnixNano() ||
			s.GetEndTimeUnixNano() > root.GetEndTimeUnixNano() || attrs["gatehouse.plugin"] != "authfile" {
			t.Errorf("%s: %v is not within %v", id, s, root)
		}
		if failed := root.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR; failed != (id == "bad") {
			t.Errorf("%s: the status is %v", id, root.GetStatus())
		}
	}
}

// A collector that is away changes nothing for clients, and is not told of once
// a message.
func TestTracesWithoutCollector(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	s := newSite(t, "traces: {endpoint: 'http://"+ln.Addr().String()+"', sample: 1}\n")
	p := s.start()
	b := brokertest.At(t, p.addr)
	sub := b.Connect("sub")
	sub.Subscribe(1, "t")
	pub := b.Connect("pub")
	for range 500 {
		pub.Publish(mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}, 0)
		sub.ExpectMessage("t", "x")
	}
	began := time.Now()
	p.stop()
	if n := strings.Count(p.log(), "traces are not taken"); n > 3 {
		t.Errorf("logged %d times within %v", n, time.Since(began))
	}
}
