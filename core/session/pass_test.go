package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// parcelOf makes a parcel of messages whose payloads are their names. What is
// before a payload stands for the rest of the packet.
func parcelOf(topic string, names ...string) *session.Parcel {
	l := &session.Parcel{Topic: topic, Publisher: "p", Created: t0, Version: mqtt.V311}
	for _, name := range names {
		from := len(l.Packets)
		l.Packets = append(append(l.Packets, "<"+topic+">"...), name...)
		end := len(l.Packets)
		l.Payloads = append(l.Payloads, session.Span{From: end - len(name), To: end})
		l.Largest = max(l.Largest, end-from)
	}
	return l
}

func TestPass(t *testing.T) {
	woken := 0
	s := session.New("c", session.Limits{})
	s.Attach(session.Attachment{Version: mqtt.V31, PassUpTo: 10, Wake: func() { woken++ }})
	if !s.Pass(parcelOf("t", "one", "two")) || !s.Pass(parcelOf("u", "3")) {
		t.Fatal("not passed")
	}
	equal(t, woken, 1)
	n, bytes := s.QueueLen()
	equal(t, []int{n, bytes}, []int{3, 10})
	enqueue(t, s, message(0, "four"))
	out := s.Next(nil, 10, t0, nil)
	equal(t, len(out), 2)
	equal(t, out[0].Kind, session.SendPassed)
	p := out[0].Passed
	equal(t, []any{string(p.Packets), p.Messages, p.Payload}, []any{"<t>one<t>two<u>3", 3, 7})
	p.Release()
	equal(t, string(out[1].Delivery.Message.Payload), "four")
	equal(t, len(s.Next(nil, 10, t0, nil)), 0)
	s.Pass(parcelOf("t", "five"))
	equal(t, woken, 2)
}

func TestPassRefuses(t *testing.T) {
	enough := session.Attachment{Version: mqtt.V311, PassUpTo: 100}
	for _, tt := range []struct {
		name   string
		limits session.Limits
		attach session.Attachment
		before func(*session.Session)
	}{
		{name: "away", before: func(s *session.Session) { s.Detach() }},
		{name: "ended", before: func(s *session.Session) { _ = s.Drain(func([]mqtt.Delivery) {}) }},
		{name: "something waits", before: func(s *session.Session) { s.Enqueue(message(0, "x"), t0) }},
		{name: "something is to be sent again", before: func(s *session.Session) {
			s.Enqueue(message(1, "x"), t0)
			s.Next(nil, 1, t0, nil)
			s.Attach(enough)
		}},
		{name: "another version", attach: session.Attachment{Version: mqtt.V5, PassUpTo: 100}},
		{name: "nothing is to be passed", attach: session.Attachment{Version: mqtt.V311}},
		{name: "too large", attach: session.Attachment{Version: mqtt.V311, PassUpTo: 5}},
		{name: "too many", limits: session.Limits{QueueMessages: 1}},
		{name: "too many bytes", limits: session.Limits{QueueBytes: 7}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := session.New("c", tt.limits)
			if tt.attach.Version == 0 {
				tt.attach = enough
			}
			s.Attach(tt.attach)
			if tt.before != nil {
				tt.before(s)
			}
			if s.Pass(parcelOf("t", "one", "two")) {
				t.Error("passed")
			}
		})
	}
}

// What is passed to a client that takes nothing is bounded.
func TestPassIsBounded(t *testing.T) {
	s := session.New("c", session.Limits{QueueMessages: 1 << 20, QueueBytes: 1 << 30})
	s.Attach(session.Attachment{Version: mqtt.V311, PassUpTo: 1 << 20})
	one := parcelOf("t", string(make([]byte, 1000)))
	n := 0
	for s.Pass(one) {
		n++
	}
	equal(t, n, (64<<10)/len(one.Packets))
}

// twins are two sessions to which the same happens, but that the second has
// messages passed where it takes them so.
type twins struct {
	t      *rapid.T
	both   [2]*session.Session
	log    [2][]string
	number int
	passed bool
}

func (w *twins) each(f func(i int, s *session.Session)) {
	for i, s := range w.both {
		f(i, s)
	}
}

func (w *twins) note(i int, format string, args ...any) {
	w.log[i] = append(w.log[i], fmt.Sprintf(format, args...))
}

func (w *twins) noteAll(i int, what string, list []mqtt.Delivery) {
	for _, d := range list {
		m := d.Message
		w.note(i, "%s %s %s of %s at %v with %d", what, m.Topic, m.Payload, m.Publisher, m.Created.Sub(t0), d.QoS)
	}
}

// publish has some messages of QoS 0 with one topic go to both.
func (w *twins) publish() {
	n := rapid.IntRange(1, 4).Draw(w.t, "messages")
	var names []string
	for range n {
		w.number++
		names = append(names, fmt.Sprint(w.number))
	}
	l := parcelOf(rapid.SampledFrom([]string{"t", "u"}).Draw(w.t, "topic"), names...)
	l.Created = t0.Add(time.Duration(rapid.IntRange(0, 1).Draw(w.t, "second")) * time.Second)
	w.each(func(i int, s *session.Session) {
		if i == 1 && s.Pass(l) {
			w.passed = true
			for range names {
				w.note(i, "queued")
			}
			return
		}
		for n := range names {
			w.enqueue(i, mqtt.Delivery{Message: l.Message(n)})
		}
	})
}

func (w *twins) enqueue(i int, d mqtt.Delivery) {
	outcome, drops := w.both[i].Enqueue(d, t0)
	w.note(i, "%v", outcome)
	for _, d := range drops {
		w.noteAll(i, "dropped", []mqtt.Delivery{d.Delivery})
	}
}

// enqueueOne has one message of any QoS go to both.
func (w *twins) enqueueOne() {
	w.number++
	d := message(mqtt.QoS(rapid.IntRange(0, 2).Draw(w.t, "qos")), fmt.Sprint(w.number))
	d.Message.Topic = "t"
	w.each(func(i int, _ *session.Session) { w.enqueue(i, d) })
}

func (w *twins) takeAll() {
	w.each(func(i int, s *session.Session) {
		for _, o := range s.Next(nil, 1<<20, t0, nil) {
			if o.Kind == session.SendPassed {
				w.note(i, "%s", o.Passed.Packets)
				o.Passed.Release()
			} else if o.Delivery.QoS == 0 {
				w.note(i, "<%s>%s", o.Delivery.Message.Topic, o.Delivery.Message.Payload)
			} else {
				w.note(i, "[%d %v %s]", o.ID, o.Dup, o.Delivery.Message.Payload)
			}
		}
	})
}

func (w *twins) attach() {
	w.each(func(_ int, s *session.Session) {
		s.Attach(session.Attachment{Version: mqtt.V311, PassUpTo: 100})
	})
}

// Nobody can see which messages were passed.
func TestPassingIsNotSeen(t *testing.T) {
	passed := false
	rapid.Check(t, func(t *rapid.T) {
		limits := session.Limits{
			QueueMessages:    rapid.IntRange(1, 12).Draw(t, "queue"),
			QueueBytes:       rapid.IntRange(1, 100).Draw(t, "bytes"),
			QueueQoS0Offline: rapid.Bool().Draw(t, "offline"),
			Overflow:         session.Overflow(rapid.IntRange(0, 1).Draw(t, "overflow")),
			InFlight:         2,
		}
		w := &twins{t: t, both: [2]*session.Session{session.New("c", limits), session.New("c", limits)}}
		w.attach()
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				w.each(func(i int, s *session.Session) {
					n, bytes := s.QueueLen()
					w.note(i, "%d messages of %d bytes, %d pending", n, bytes, s.Pending())
				})
				// Packets that were passed are written at once, others one by one.
				if a, b := joined(w.log[0]), joined(w.log[1]); a != b {
					t.Fatalf("queued:\n%s\npassed:\n%s", a, b)
				}
				w.log = [2][]string{}
				passed = passed || w.passed
			},
			"publish":       func(*rapid.T) { w.publish() },
			"publish again": func(*rapid.T) { w.publish() },
			"enqueue":       func(*rapid.T) { w.enqueueOne() },
			"take":          func(*rapid.T) { w.takeAll() },
			"acknowledge": func(*rapid.T) {
				w.each(func(_ int, s *session.Session) { s.Puback(1); s.Puback(2) })
			},
			"attach": func(*rapid.T) { w.attach() },
			"detach": func(*rapid.T) {
				w.each(func(i int, s *session.Session) { w.noteAll(i, "detached", s.Detach()) })
			},
			"clear": func(*rapid.T) {
				w.each(func(i int, s *session.Session) {
					list, _ := s.Clear()
					w.noteAll(i, "cleared", list)
				})
			},
			"filter": func(*rapid.T) {
				w.each(func(i int, s *session.Session) {
					n, _ := s.Filter(func(d mqtt.Delivery) bool { return d.Message.Topic == "t" })
					w.note(i, "%d filtered", n)
				})
			},
		})
		w.each(func(i int, s *session.Session) {
			if err := s.Drain(func(list []mqtt.Delivery) { w.noteAll(i, "drained", list) }); err != nil {
				t.Fatal(err)
			}
		})
		if !slices.Equal(w.log[0], w.log[1]) {
			t.Fatalf("queued:\n%s\npassed:\n%s", joined(w.log[0]), joined(w.log[1]))
		}
	})
	if !passed {
		t.Error("nothing was ever passed")
	}
}

func joined(list []string) (all string) {
	for _, s := range list {
		all += s
	}
	return all
}
