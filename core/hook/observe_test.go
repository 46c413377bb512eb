package hook_test

import (
	"context"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// recorder keeps what it is told; it can be made to wait.
type recorder struct {
	block   chan struct{}
	entered chan struct{}
	events  []hook.Event
	dropped uint64
}

func (r *recorder) Observe(_ context.Context, events []hook.Event, dropped uint64) {
	if r.entered != nil {
		r.entered <- struct{}{}
		<-r.block
		r.entered = nil
	}
	r.events = append(r.events, events...)
	r.dropped += dropped
}

func TestObserve(t *testing.T) {
	h := hook.NewHooks(nil)
	all, some := &recorder{}, &recorder{}
	h.SetObservers([]hook.ObserverEntry{
		{Observer: all},
		{Observer: some, Interests: []hook.Interest{
			{Point: hook.PointEvent, Events: []hook.EventKind{hook.Published}, Filters: []string{"a/#"}},
			{Point: hook.PointEvent, Events: []hook.EventKind{hook.Connected}},
		}},
	})
	h.Emit(&hook.Event{Kind: hook.Connected})
	h.Emit(&hook.Event{Kind: hook.Published, Message: &mqtt.Message{Topic: "a/b"}})
	h.Emit(&hook.Event{Kind: hook.Published, Message: &mqtt.Message{Topic: "b"}})
	h.Emit(&hook.Event{Kind: hook.Delivered, Message: &mqtt.Message{Topic: "a"}})
	h.Close()
	if len(all.events) != 4 || len(some.events) != 2 {
		t.Errorf("told %d and %d events", len(all.events), len(some.events))
	}
	h.Emit(&hook.Event{Kind: hook.Connected})
	if h.Observes(hook.Connected) {
		t.Error("somebody observes after Close")
	}
}

// A run of events reaches those who want the first of them, and of these each
// gets what is for him.
func TestEmitRun(t *testing.T) {
	h := hook.NewHooks(nil)
	all, other, odd, short := &recorder{}, &recorder{}, &recorder{}, &recorder{block: make(chan struct{}), entered: make(chan struct{})}
	of := func(filter string) []hook.Interest {
		return []hook.Interest{{Point: hook.PointEvent, Events: []hook.EventKind{hook.Published}, Filters: []string{filter}}}
	}
	h.SetObservers([]hook.ObserverEntry{
		{Observer: all, Interests: of("a/#")},
		{Observer: other, Interests: of("b")},
		{Observer: odd, Only: func(e *hook.Event) bool { return e.Seq%2 == 1 }},
		{Observer: short, Queue: 4},
	})
	h.Emit(&hook.Event{Kind: hook.Connected})
	<-short.entered
	events := make([]hook.Event, 10)
	for i := range events {
		events[i] = hook.Event{Kind: hook.Published, Seq: uint64(i), Message: &mqtt.Message{Topic: "a/b"}}
	}
	h.EmitRun(events)
	h.EmitRun(nil)
	clear(events) // they are ours again
	close(short.block)
	h.Close()
	if len(all.events) != 10 || len(other.events) != 0 || len(odd.events) != 5 || len(short.events) != 5 || short.dropped != 6 {
		t.Errorf("told %d, %d, %d and %d events, %d dropped", len(all.events), len(other.events), len(odd.events), len(short.events), short.dropped)
	}
	for i, e := range all.events {
		if e.Seq != uint64(i) {
			t.Errorf("event %d is %d", i, e.Seq)
		}
	}
	if short.events[1].Seq != 6 {
		t.Errorf("the oldest event that is left is %d", short.events[1].Seq)
	}
}

// A slow observer delays nobody and loses the oldest events, which it is told.
func TestSlowObserver(t *testing.T) {
	h := hook.NewHooks(nil)
	slow := &recorder{block: make(chan struct{}), entered: make(chan struct{})}
	var told uint64
	h.SetObservers([]hook.ObserverEntry{{Observer: slow, Queue: 100, Dropped: func(n uint64) { told += n }}})
	h.Emit(&hook.Event{Kind: hook.Published, Seq: 1})
	<-slow.entered
	for i := range 1000 {
		h.Emit(&hook.Event{Kind: hook.Published, Seq: uint64(2 + i)})
	}
	close(slow.block)
	h.Close()
	if len(slow.events) != 101 || slow.dropped != 900 || told != 900 {
		t.Fatalf("%d events, %d dropped, told %d", len(slow.events), slow.dropped, told)
	}
	if slow.events[0].Seq != 1 || slow.events[1].Seq != 902 || slow.events[100].Seq != 1001 {
		t.Errorf("not the newest: %d %d %d", slow.events[0].Seq, slow.events[1].Seq, slow.events[100].Seq)
	}
}

// An observer that stays in the list keeps its goroutine and its queue; one
// that goes is told everything first.
func TestReplaceObservers(t *testing.T) {
	h := hook.NewHooks(nil)
	stays, goes := &recorder{}, &recorder{}
	h.SetObservers([]hook.ObserverEntry{{Observer: stays}, {Observer: goes}})
	h.Emit(&hook.Event{Kind: hook.Connected})
	h.SetObservers([]hook.ObserverEntry{{Observer: stays}})
	if len(goes.events) != 1 {
		t.Error("the removed observer was not told")
	}
	h.Emit(&hook.Event{Kind: hook.Connected})
	h.Close()
	if len(stays.events) != 2 || len(goes.events) != 1 {
		t.Errorf("told %d and %d", len(stays.events), len(goes.events))
	}
}

func BenchmarkEmitNobody(b *testing.B) {
	h := hook.NewHooks(nil)
	b.ReportAllocs()
	for b.Loop() {
		if h.Observes(hook.Published) {
			h.Emit(&hook.Event{Kind: hook.Published})
		}
	}
}

// An observer that somebody adds comes and goes whatever is set meanwhile.
func TestAddObserver(t *testing.T) {
	h := hook.NewHooks(nil)
	set, added := &recorder{}, &recorder{}
	h.SetObservers([]hook.ObserverEntry{{Observer: set}})
	remove := h.AddObserver(hook.ObserverEntry{
		Observer: added, Only: func(e *hook.Event) bool { return e.ClientID == "c" },
	})
	h.Emit(&hook.Event{Kind: hook.Connected, ClientID: "c"})
	h.Emit(&hook.Event{Kind: hook.Connected, ClientID: "d"})
	h.SetObservers(nil)
	h.Emit(&hook.Event{Kind: hook.Disconnected, ClientID: "c"})
	remove()
	remove()
	h.Emit(&hook.Event{Kind: hook.Connected, ClientID: "c"})
	if len(set.events) != 2 || len(added.events) != 2 || added.events[1].Kind != hook.Disconnected {
		t.Errorf("told %v and %v", set.events, added.events)
	}
	if h.Observes(hook.Connected) {
		t.Error("somebody observes still")
	}
	remove = h.AddObserver(hook.ObserverEntry{Observer: added})
	h.Close()
	remove()
	h.AddObserver(hook.ObserverEntry{Observer: added})()
}
