package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// ruler decides by the last letter of a payload. It keeps every message that it
// may keep, and what it was then.
type ruler struct {
	borrows bool

	mu    sync.Mutex
	asked [][]string // a batch each
	kept  []*mqtt.Message
	was   []string
}

func (r *ruler) Borrows() bool { return r.borrows }

func (r *ruler) Intercept(_ context.Context, b *hook.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var asked []string
	for _, c := range b.Calls {
		said := c.Message.Topic + " " + string(c.Message.Payload)
		asked = append(asked, said)
		if !b.Lent {
			r.kept, r.was = append(r.kept, c.Message), append(r.was, said)
		}
		m := c.Message.Clone()
		switch said[len(said)-1] {
		case 'd':
			c.Verdict.Action = hook.Drop
		case 'r':
			c.Verdict.Action = hook.Refuse
		case 't':
			m.Topic += "/moved"
			c.Message = m
		case 'p':
			m.Payload = append(bytes.Clone(m.Payload), '!')
			c.Message = m
		case 'o': // retained from now on
			m.Retain = true
			c.Message = m
		}
	}
	r.asked = append(r.asked, asked)
	return nil
}

// audience keeps all reports.
type audience struct {
	mu   sync.Mutex
	told []string
	kept []*mqtt.Message
}

func (*audience) Watches(string, hook.Point) bool { return true }

func (a *audience) Watched(r *hook.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range r.Calls {
		m := r.Calls[i].Asked.Message
		a.told, a.kept = append(a.told, m.Topic+" "+string(m.Payload)), append(a.kept, m)
	}
}

// What interceptors let pass as it came is passed on, everything else goes on as
// they want it; receivers cannot tell which it was. An interceptor is asked once
// about all that one read brings, whatever the topics and QoS, and what somebody
// keeps stays as it was.
func TestLoan(t *testing.T) {
	for _, borrows := range []bool{true, false} {
		for _, watched := range []bool{false, true} {
			for _, version := range []mqtt.Version{mqtt.V311, mqtt.V5} {
				t.Run(fmt.Sprintf("borrows=%v,watched=%v,%v", borrows, watched, version), func(t *testing.T) {
					testLoan(t, borrows, watched, version)
				})
			}
		}
	}
}

func testLoan(t *testing.T, borrows, watched bool, version mqtt.Version) {
	rules, seen, told := &ruler{borrows: borrows}, new(audience), watcher{make(chan hook.Event, 1000)}
	h := hook.NewHooks(nil)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "rules", Interceptor: rules,
		Interests: []hook.Interest{{Point: hook.PointPublish, MayChange: hook.FieldAll, Filters: []string{"t/#"}}},
	}})
	h.SetObservers([]hook.ObserverEntry{{Observer: told, Interests: []hook.Interest{{
		Point: hook.PointEvent, Events: []hook.EventKind{hook.Dropped},
	}}}})
	if watched {
		defer h.Watch().Add(seen)()
	}
	b := brokertest.Start(t, broker.Options{Hooks: h})
	pub := b.Connect("pub", func(p *packet.Connect) { p.Version = version })
	subs := map[string]*brokertest.Client{
		"3.1.1": b.Connect("three", func(p *packet.Connect) { p.Version = mqtt.V311 }), "5": b.Connect("five"),
		"share": b.Connect("share"),
	}
	for name, s := range subs {
		if name == "share" {
			s.Subscribe(1, "$share/g/#")
		} else {
			s.Subscribe(1, "#")
		}
	}

	const rounds = 120
	var sent []packet.Packet
	var asked, want, dropped []string
	retained := make(map[string]string)
	for i := range rounds {
		m := mqtt.Message{Topic: fmt.Sprintf("t/%d", i/5%3), Payload: fmt.Appendf(nil, "%d%c", i, "....dr..tp.o"[i%12])}
		if i%17 == 3 {
			m.Topic = "other" // it is not asked about that
		}
		p := &packet.Publish{Message: m}
		if i%9 == 4 {
			p.Message.QoS, p.ID = 1, uint16(i)
		}
		sent = append(sent, p)
		said := m.Topic + " " + string(m.Payload)
		if m.Topic == "other" {
			want = append(want, said)
			continue
		}
		asked = append(asked, said)
		switch said[len(said)-1] {
		case 'd', 'r':
			dropped = append(dropped, said)
		case 't':
			want = append(want, strings.Replace(said, " ", "/moved ", 1))
		case 'p':
			want = append(want, said+"!")
		case 'o':
			retained[m.Topic] = string(m.Payload)
			want = append(want, said)
		default:
			want = append(want, said)
		}
	}
	pub.Send(sent...)
	for name, s := range subs {
		for _, w := range want {
			p, ok := s.Next().(*packet.Publish)
			if !ok || p.Message.Topic+" "+string(p.Message.Payload) != w {
				t.Fatalf("%s got %+v, want %q", name, p, w)
			}
			if p.ID != 0 {
				s.Send(&packet.Ack{Kind: packet.PUBACK, ID: p.ID})
			}
		}
		s.ExpectNothing()
	}
	for i := range rounds {
		if i%9 != 4 {
			continue
		}
		if a, ok := pub.Next().(*packet.Ack); !ok || a.ID != uint16(i) {
			t.Fatalf("got %+v for %d", a, i)
		}
	}
	overwrite(pub, rounds)
	late := b.Connect("late")
	late.Subscribe(0, "t/#")
	for range retained {
		p, ok := late.Next().(*packet.Publish)
		if !ok || retained[p.Message.Topic] != string(p.Message.Payload) {
			t.Errorf("%+v is retained, want %q", p, retained)
		}
	}
	late.ExpectNothing()
	b.Stop()
	h.Close()
	close(told.events)

	var gone []string
	for e := range told.events {
		if e.Message.Topic != "other" { // which come when the receivers may have gone
			gone = append(gone, e.Message.Topic+" "+string(e.Message.Payload))
		}
	}
	if !slices.Equal(gone, dropped) {
		t.Errorf("told that %q were dropped, not %q", gone, dropped)
	}
	if got := slices.Concat(rules.asked...); !slices.Equal(got, asked) {
		t.Errorf("asked about %q, not %q", got, asked)
	}
	if n := len(rules.asked); n > 3 { // one, if the network kept it together
		t.Errorf("asked %d times about %d messages", n, len(asked))
	}
	if keeps := !borrows || watched; keeps != (len(rules.kept) > 0) {
		t.Errorf("it could keep %d messages", len(rules.kept))
	}
	same(t, "the interceptor", rules.kept, rules.was)
	if watched != (len(seen.told) == len(asked)) {
		t.Errorf("%d calls were watched", len(seen.told))
	}
	same(t, "the watcher", seen.kept, seen.told)
}

// overwrite has the broker use again what it had lent.
func overwrite(pub *brokertest.Client, n int) {
	var sent []packet.Packet
	for range n {
		sent = append(sent, &packet.Publish{Message: mqtt.Message{Topic: "other", Payload: []byte("#######")}})
	}
	pub.Send(append(sent, &packet.Publish{ID: 1, Message: mqtt.Message{Topic: "other", QoS: 1}})...)
	pub.Next()
}

// same fails if messages are not any more what they were.
func same(t *testing.T, whose string, kept []*mqtt.Message, was []string) {
	t.Helper()
	for i, m := range kept {
		if now := m.Topic + " " + string(m.Payload); now != was[i] {
			t.Errorf("%s kept %q, which is %q now", whose, was[i], now)
		}
	}
}

// What came before the message for which a hook disconnects a client is delivered.
func TestLoanEnds(t *testing.T) {
	h := hook.NewHooks(nil)
	h.SetInterceptors([]hook.InterceptorEntry{{
		Name: "rules", Interests: []hook.Interest{{Point: hook.PointPublish}},
		Interceptor: hook.InterceptorFunc(func(_ context.Context, b *hook.Batch) error {
			for _, c := range b.Calls {
				if string(c.Message.Payload) == "2" {
					c.Verdict.Action = hook.Disconnect
				}
			}
			return nil
		}),
	}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	sub, pub := b.Connect("sub"), b.Connect("pub")
	sub.Subscribe(0, "t")
	var sent []packet.Packet
	for i := range 3 {
		sent = append(sent, &packet.Publish{Message: mqtt.Message{Topic: "t", Payload: fmt.Append(nil, i)}})
	}
	pub.Send(sent...)
	if d, ok := pub.Next().(*packet.Disconnect); !ok || d.Code != mqtt.AdministrativeAction {
		t.Fatalf("got %+v", d)
	}
	sub.ExpectMessage("t", "0")
	sub.ExpectMessage("t", "1")
	sub.ExpectNothing()
}
