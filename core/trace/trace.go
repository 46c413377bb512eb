// Package trace lets somebody follow the calls of hooks while they happen.
//
// A [Tracer] is a [hook.Watcher] with a filter and a bounded ring. Clients put
// calls into it and never wait; whoever follows takes them out. What finds no
// room is dropped and counted.
package trace

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Filter says which calls are followed. An empty field matches all.
type Filter struct {
	Hook     string        // name of the hook's entry
	Point    string        // as [hook.Point] prints it
	ClientID string        // who acts, or the receiver of a delivery
	Topic    string        // filter that the topic matches, or the filter to be subscribed overlaps
	Slow     time.Duration // only what took at least so long
}

// Call is one call of a report: of an interceptor the one at At among the
// report's Calls, of an observer the one at At among its Events. For all other
// reports At is 0.
type Call struct {
	*hook.Report
	At int
}

// Bounds of what waits to be taken.
const (
	maxCalls = 8192
	maxBytes = 64 << 20
)

// Tracer follows calls. Its methods may be called from many goroutines; Next
// from one at a time.
type Tracer struct {
	filter Filter
	wake   chan struct{} // holds a token while there may be something to take

	mu      sync.Mutex // guards the fields below
	ring    []Call     // as large as it had to be so far
	head, n int
	bytes   int
	dropped uint64
}

// New makes a tracer; it sees calls once it was added to a [hook.Watch].
func New(f Filter) *Tracer { return &Tracer{filter: f, wake: make(chan struct{}, 1)} }

var _ hook.Watcher = (*Tracer)(nil)

// Watches implements [hook.Watcher].
func (t *Tracer) Watches(name string, p hook.Point) bool {
	return (t.filter.Hook == "" || t.filter.Hook == name) && (t.filter.Point == "" || t.filter.Point == p.String())
}

// Watched implements [hook.Watcher].
func (t *Tracer) Watched(r *hook.Report) {
	if r.Took < t.filter.Slow || !t.Watches(r.Hook, r.Point) {
		return
	}
	switch r.Point {
	case hook.PointConnect:
		if t.filter.wants(r.Connect.ClientID, "") {
			t.put(Call{r, 0}, len(r.Connect.Password)+len(r.Connect.AuthData))
		}
	case hook.PointEvent:
		for i := range r.Events {
			e := &r.Events[i]
			if t.filter.wantsEvent(e) {
				t.put(Call{r, i}, size(e.Message))
			}
		}
	case hook.PointRetain:
		if t.filter.wants("", "") {
			t.put(Call{r, 0}, 0)
		}
	default:
		for i := range r.Calls {
			if t.filter.wantsCall(&r.Calls[i]) {
				t.put(Call{r, i}, size(r.Calls[i].Asked.Message)+size(r.Calls[i].Message))
			}
		}
	}
}

func size(m *mqtt.Message) int {
	if m == nil {
		return 0
	}
	return m.Size()
}

func (f *Filter) wants(clientID, name string) bool {
	return (f.ClientID == "" || f.ClientID == clientID) && (f.Topic == "" || name != "" && topic.Match(f.Topic, name))
}

func (f *Filter) wantsEvent(e *hook.Event) bool {
	name := ""
	if e.Message != nil {
		name = e.Message.Topic
	}
	if e.Subscription.Filter != "" {
		return (f.ClientID == "" || f.ClientID == e.ClientID) && f.overlaps(e.Subscription.Filter)
	}
	return f.wants(e.ClientID, name)
}

func (f *Filter) wantsCall(c *hook.CallReport) bool {
	if f.ClientID != "" && !f.concerns(&c.Asked) {
		return false
	}
	if f.Topic == "" {
		return true
	}
	if m := c.Asked.Message; m != nil {
		return topic.Match(f.Topic, m.Topic) || c.Message != nil && topic.Match(f.Topic, c.Message.Topic)
	}
	return f.overlaps(c.Asked.Subscription.Filter)
}

// concerns reports whether the client takes part in a call.
func (f *Filter) concerns(c *hook.Call) bool {
	return c.Client != nil && c.Client.ID == f.ClientID || c.Receiver == f.ClientID ||
		c.Message != nil && c.Message.Publisher == f.ClientID
}

func (f *Filter) overlaps(filter string) bool {
	if strings.HasPrefix(filter, "$share/") {
		if sh, ok, err := topic.ParseShared(filter); ok && err == nil {
			filter = sh.Filter
		}
	}
	return f.Topic == "" || topic.Overlaps(f.Topic, filter)
}

// put lets a call wait to be taken. It never waits itself.
func (t *Tracer) put(c Call, bytes int) {
	t.mu.Lock()
	if t.n == maxCalls || t.n > 0 && t.bytes+bytes > maxBytes {
		t.dropped++
		t.mu.Unlock()
		return
	}
	if t.n == len(t.ring) {
		t.grow()
	}
	t.ring[(t.head+t.n)%len(t.ring)] = c
	t.n++
	t.bytes += bytes
	first := t.n == 1
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// grow doubles the ring up to its bound. The caller holds mu.
func (t *Tracer) grow() {
	ring := make([]Call, min(max(64, 2*len(t.ring)), maxCalls))
	for i := range t.n {
		ring[i] = t.ring[(t.head+i)%len(t.ring)]
	}
	t.ring, t.head = ring, 0
}

// Next waits for calls and takes those that wait, in the order in which they
// were decided, and how many were dropped before them. The error is ctx's.
func (t *Tracer) Next(ctx context.Context) (calls []Call, dropped uint64, err error) {
	for {
		if calls, dropped = t.take(); len(calls) > 0 || dropped > 0 {
			return calls, dropped, nil
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

func (t *Tracer) take() (calls []Call, dropped uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.n {
		at := (t.head + i) % len(t.ring)
		calls = append(calls, t.ring[at])
		t.ring[at] = Call{}
	}
	dropped = t.dropped
	t.head, t.n, t.bytes, t.dropped = 0, 0, 0, 0
	return calls, dropped
}
