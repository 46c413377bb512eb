package tracing

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// newTracer makes one that nobody listens to.
func newTracer(t *testing.T, sample float64) *Tracer {
	t.Helper()
	tr, err := New(Options{Endpoint: "http://127.0.0.1:1", Sample: sample, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.forgetAll)
	return tr
}

// What is not followed costs no memory, at none of the places where the broker asks.
func TestNotFollowedAllocatesNothing(t *testing.T) {
	tr := newTracer(t, 0)
	m := &mqtt.Message{Topic: "t", Properties: &mqtt.Properties{User: []mqtt.UserProperty{{Key: "k", Value: "v"}}}}
	plain := &mqtt.Message{Topic: "t"}
	c := &hook.Connect{ConnectionID: 1}
	now := time.Now()
	for name, f := range map[string]func(){
		"publish":         func() { _ = tr.Begin(plain, now) },
		"delivery":        func() { tr.Sent(m, "r", 1) },
		"acknowledgement": func() { tr.Acknowledged(m, "r", 0) },
		"connection":      func() { _ = tr.Connecting(c) },
		"hook":            func() { _ = tr.Watches("h", hook.PointPublish) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// What waits for acknowledgements that do not come is bounded by number and
// bytes, and all of it is forgotten in the end.
func TestWaitingIsBounded(t *testing.T) {
	for name, tt := range map[string]struct{ size, most int }{
		"number": {10, mostWaiting},
		"bytes":  {1 << 20, mostWaitingBytes >> 20},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTracer(t, 1)
			payload := make([]byte, tt.size)
			var settled *mqtt.Message
			for i := range 2 * mostWaiting {
				tr.inSecond.Store(0)
				m := &mqtt.Message{Topic: fmt.Sprint(i), Payload: payload, QoS: 1}
				p := tr.Begin(m, time.Now())
				p.Mark()
				tr.Sent(m, "slow", 1)
				if i%2 == 0 {
					tr.Sent(m, "quick", 1)
					tr.Acknowledged(m, "quick", 0)
					settled = m
				}
				p.Routed(1 + (i+1)%2)
				p.End(hook.CallVerdict{})
			}
			check := func(most int) {
				t.Helper()
				tr.mu.Lock()
				defer tr.mu.Unlock()
				bytes := 0
				for _, p := range tr.waiting.list {
					bytes += p.size
				}
				if n := len(tr.waiting.list); n > most || n != int(tr.remembered.Load()) || n != len(tr.of) || bytes != tr.waiting.bytes {
					t.Errorf("%d are listed, %d remembered, %d known; %d bytes, not %d", n, tr.remembered.Load(), len(tr.of), bytes, tr.waiting.bytes)
				}
			}
			check(tt.most)
			before := tr.remembered.Load()
			tr.Acknowledged(settled, "slow", 0)
			if now := tr.remembered.Load(); now != before-1 {
				t.Errorf("%d are remembered after the last acknowledgement, %d before", now, before)
			}
			tr.forgetAll()
			check(0)
		})
	}
}
