package clients

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

func TestMain(m *testing.M) {
	code := m.Run()
	program.Clean()
	os.Exit(code)
}

// story is something that every client can do.
type story struct {
	name string
	tell func(t *teller)
	only byte // the version it needs; 0 for any
}

var stories = []story{
	{name: "qos", tell: tellQoS},
	{name: "order", tell: tellOrder},
	{name: "retained", tell: tellRetained},
	{name: "will", tell: tellWill},
	{name: "session", tell: tellSession},
	{name: "takeover", tell: tellTakeover},
	{name: "share", tell: tellShare},
	{name: "large", tell: tellLarge},
	{name: "properties", tell: tellProperties, only: 5},
	{name: "will-properties", tell: tellWillProperties, only: 5},
	{name: "options", tell: tellOptions, only: 5},
	{name: "answers", tell: tellAnswers, only: 5},
}

// TestLibraries tells every story with every library.
func TestLibraries(t *testing.T) {
	t.Parallel()
	b := program.Gatehouse(t, program.Options{})
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			dial := l.open(t)
			for _, v := range l.versions {
				for _, s := range stories {
					if s.only != 0 && s.only != v {
						continue
					}
					t.Run(fmt.Sprintf("v%d/%s", v, s.name), func(t *testing.T) {
						prefix := strings.NewReplacer(".", "", "-", "").Replace(fmt.Sprintf("%s%d%s", l.name, v, s.name))
						s.tell(&teller{T: t, addr: b.Addr, dial: dial, library: l, version: v, prefix: prefix})
					})
				}
			}
		})
	}
}

// TestMixed has clients of all libraries and versions talk to each other.
func TestMixed(t *testing.T) {
	t.Parallel()
	b := program.Gatehouse(t, program.Options{})
	var all []*who
	for _, l := range libraries {
		dial := l.open(t)
		for _, v := range l.versions {
			w := &teller{T: t, addr: b.Addr, dial: dial, library: l, version: v, prefix: "mixed"}
			all = append(all, w.connect(fmt.Sprintf("%s%d", l.name, v)))
		}
	}
	for _, w := range all {
		w.sub(subscription{Filter: "mixed/+", QoS: 2})
	}
	for _, from := range all {
		for q := range byte(3) {
			m := message{Topic: "mixed/m", Payload: fmt.Sprint(from.name, q), QoS: q}
			from.pub(m)
			for _, w := range all {
				w.gets(m)
			}
		}
	}
}

// tellQoS: what arrives has the lower of the published and the granted QoS.
func tellQoS(t *teller) {
	pub := t.connect("p")
	for granted := range byte(3) {
		sub := t.connect("s")
		sub.sub(subscription{Filter: t.topic("+/q"), QoS: granted})
		for published := range byte(3) {
			m := message{Topic: t.topic("a/q"), Payload: fmt.Sprint(published, granted), QoS: published}
			pub.pub(m)
			m.QoS = min(published, granted)
			sub.gets(m)
		}
		if err := sub.unsubscribe(t.topic("+/q")); err != nil {
			t.Fatal(err)
		}
		sub.sub(subscription{Filter: t.topic("end")})
		pub.pub(message{Topic: t.topic("a/q"), Payload: "to nobody", QoS: 1})
		pub.pub(message{Topic: t.topic("end"), Payload: "end"})
		sub.gets(message{Topic: t.topic("end"), Payload: "end"})
		sub.bye()
	}
}

// tellOrder: many messages arrive once each and in order.
func tellOrder(t *teller) {
	pub, sub := t.connect("p"), t.connect("s")
	sub.sub(subscription{Filter: t.topic("#"), QoS: 2})
	for i := range 100 {
		m := message{Topic: t.topic("o"), Payload: fmt.Sprint(i), QoS: 1 + byte(i/50)}
		pub.pub(m)
	}
	for i := range 100 {
		sub.gets(message{Topic: t.topic("o"), Payload: fmt.Sprint(i), QoS: 1 + byte(i/50)})
	}
}

// tellRetained: a retained message waits for subscribers, until it is cleared.
func tellRetained(t *teller) {
	pub := t.connect("p")
	for q := range byte(3) {
		m := message{Topic: t.topic(fmt.Sprintf("r/%d", q)), Payload: "kept", QoS: q, Retain: true}
		pub.pub(message{Topic: m.Topic, Payload: "replaced", Retain: true})
		pub.pub(m)
		sub := t.connect("s")
		sub.sub(subscription{Filter: t.topic("r/+"), QoS: 2})
		sub.gets(m)
		m.Payload, m.Retain = "live", true
		pub.pub(m)
		m.Retain = false
		sub.gets(m)
		pub.pub(message{Topic: m.Topic, Retain: true, QoS: q})
		sub.gets(message{Topic: m.Topic, QoS: q})
		sub.bye()
		late := t.connect("s")
		late.sub(subscription{Filter: t.topic("r/+"), QoS: 2})
		pub.pub(message{Topic: t.topic("r/end"), Payload: "end"})
		late.gets(message{Topic: t.topic("r/end"), Payload: "end"})
		late.bye()
	}
}

// tellWill: a will is published when the connection breaks, and not after a
// goodbye.
func tellWill(t *teller) {
	watcher := t.connect("w")
	watcher.sub(subscription{Filter: t.topic("will/#"), QoS: 2})
	for q := range byte(3) {
		will := message{Topic: t.topic("will/x"), Payload: fmt.Sprint("gone ", q), QoS: q, Retain: q == 1}
		leaves := func(o *options) { o.Will = &will }
		t.connect("polite", leaves).bye()
		t.connect("rude", leaves).drop()
		want := will
		want.Retain = false
		watcher.gets(want)
	}
	late := t.connect("l")
	late.sub(subscription{Filter: t.topic("will/#"), QoS: 2})
	late.gets(message{Topic: t.topic("will/x"), Payload: "gone 1", QoS: 1, Retain: true})
}

// tellSession: a session keeps subscriptions and messages while its client is
// away.
func tellSession(t *teller) {
	pub := t.connect("p")
	first := t.connect("s", lasting)
	if first.Present {
		t.Error("a session was there before")
	}
	first.sub(subscription{Filter: t.topic("#"), QoS: 2})
	first.bye()
	const each = 5
	for i := range 2 * each {
		q := byte(1 + i%2)
		pub.pub(message{Topic: t.topic(fmt.Sprint("m", q)), Payload: fmt.Sprint(i), QoS: q})
	}
	pub.pub(message{Topic: t.topic("m"), Payload: "QoS 0 is not kept"})
	again := t.connect("s", lasting)
	if !again.Present && t.version != 3 {
		t.Error("the session is not present")
	}
	// Libraries hand a QoS 2 message over when it is complete.
	next := [3]int{1: 0, 2: 1}
	for range 2 * each {
		m := again.next()
		if m.Payload != fmt.Sprint(next[m.QoS]) {
			t.Errorf("message %q with QoS %d came too early or too late", m.Payload, m.QoS)
		}
		next[m.QoS] += 2
	}
	pub.pub(message{Topic: t.topic("m"), Payload: "live", QoS: 1})
	again.gets(message{Topic: t.topic("m"), Payload: "live", QoS: 1})
	again.bye()
	clean := t.connect("s")
	if clean.Present {
		t.Error("the session is present after a clean start")
	}
	clean.sub(subscription{Filter: t.topic("end")})
	pub.pub(message{Topic: t.topic("m"), Payload: "nobody is subscribed", QoS: 1})
	pub.pub(message{Topic: t.topic("end"), Payload: "end", QoS: 1})
	clean.gets(message{Topic: t.topic("end"), Payload: "end"})
	clean.bye()
}

// tellTakeover: a second connection takes the session of the first over.
func tellTakeover(t *teller) {
	first := t.connect("s", lasting)
	first.sub(subscription{Filter: t.topic("t"), QoS: 1})
	second := t.connect("s", lasting)
	first.ends()
	second.pub(message{Topic: t.topic("t"), Payload: "to me", QoS: 1})
	second.gets(message{Topic: t.topic("t"), Payload: "to me", QoS: 1})
	second.bye()
	t.connect("s").bye()
}

// tellShare: each message goes to one member of a group, and all members get
// some.
func tellShare(t *teller) {
	const messages = 30
	pub := t.connect("p")
	members := []*who{t.connect("a"), t.connect("b"), t.connect("c")}
	for _, m := range members {
		m.sub(subscription{Filter: "$share/group/" + t.topic("s/#"), QoS: 1})
	}
	for i := range messages {
		pub.pub(message{Topic: t.topic("s/x"), Payload: fmt.Sprint(i), QoS: 1})
	}
	seen := make(map[string]bool)
	got := make([]int, len(members))
	for range messages {
		var m message
		i := 0
		select {
		case m = <-members[0].messages():
		case m = <-members[1].messages():
			i = 1
		case m = <-members[2].messages():
			i = 2
		}
		if seen[m.Payload] {
			t.Fatalf("%q came twice", m.Payload)
		}
		seen[m.Payload] = true
		got[i]++
	}
	for i, n := range got {
		if n == 0 {
			t.Errorf("member %d got none of %v", i, got)
		}
	}
}

// tellLarge: a message of half a mebibyte arrives whole.
func tellLarge(t *teller) {
	c := t.connect("c")
	c.sub(subscription{Filter: t.topic("l"), QoS: 2})
	m := message{Topic: t.topic("l"), Payload: strings.Repeat("0123456789abcdef", 1<<15), QoS: 2}
	c.pub(m)
	if got := c.next(); !got.same(m) {
		t.Errorf("%d bytes arrived of %d", len(got.Payload), len(m.Payload))
	}
}
