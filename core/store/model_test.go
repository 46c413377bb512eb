package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// world is a few sessions on a store whose power may be cut at any moment.
type world struct {
	t     *rapid.T
	disk  *vfs.MemFS
	store *Store
	names []string
	d     session.Durability
	live  map[string]*session.Session
	next  int // payload of the next message
	fate  map[string]map[string]*fate
	power bool
	sent  map[string]int              // the order of what was sent last, not again
	all   map[string][]session.Stored // what was in the store when it was opened
}

// fate is what became of one message in one session.
type fate struct {
	order    int
	qos      mqtt.QoS
	position uint64 // written up to here: it was promised
	id       uint16 // with which it was sent
	bound    uint64 // the position of that, QoS 1
	released uint64 // the position of its PUBREC
	gone     bool   // acknowledged
}

func (w *world) open() map[string]*session.State {
	s, err := open(w.disk, "sessions", Options{}.withDefaults())
	if err != nil {
		w.t.Fatal(err)
	}
	if s.Aside() != "" {
		w.t.Fatal("the store was taken for corrupt")
	}
	w.store = s
	w.verify()
	w.sent = make(map[string]int)
	w.live = make(map[string]*session.Session)
	states := make(map[string]*session.State)
	for st, err := range s.Load(context.Background()) {
		if err != nil {
			w.t.Fatal(err)
		}
		states[st.Profile.ClientID] = st
		w.whole(st)
		w.live[st.Profile.ClientID] = session.Restore(w.head(st), small, s.Log())
	}
	return states
}

// small has little room in memory.
var small = session.Limits{Kept: &session.KeptLimits{MemoryMessages: 3}}

// whole reads what the state leaves on disk, into w.all.
func (w *world) whole(st *session.State) {
	list := slices.Clone(st.Messages)
	for len(list) > 0 && list[len(list)-1].Sequence < st.Last {
		page, _, err := w.store.Page(st.Number, list[len(list)-1].Sequence+1, st.Last, 5, 1000)
		if err != nil || len(page) == 0 {
			w.t.Fatalf("%d messages, then %v", len(list), err)
		}
		list = append(list, page...)
	}
	if len(list) != st.Totals.Messages {
		w.t.Fatalf("%d messages, and it says %d", len(list), st.Totals.Messages)
	}
	w.all[st.Profile.ClientID] = list
}

// head takes messages off the end of a state that need not be in memory.
func (w *world) head(st *session.State) *session.State {
	sent := st.Sent
	for i := range st.Messages {
		if st.Messages[i].ID != 0 {
			sent = st.Messages[i].Sequence
		}
	}
	keep := rapid.IntRange(1, 20).Draw(w.t, "in memory")
	for n := len(st.Messages) - 1; n >= keep && st.Messages[n].Sequence > sent; n-- {
		st.Messages = st.Messages[:n]
	}
	return st
}

// verify reads all of the store.
func (w *world) verify() {
	l, err := load(w.store.DB)
	if err == nil {
		var r Report
		if r, err = verify(w.store.DB, l); r.Unused > 0 {
			w.t.Fatalf("%d messages are in no queue", r.Unused)
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) round() {
	if _, _, err := w.store.round(context.Background(), nil, false); err != nil {
		w.t.Fatal(err)
	}
}

// ensure makes the session of a name.
func (w *world) ensure(name string) *session.Session {
	s := w.live[name]
	if s == nil {
		s = session.New(name, small)
		s.Keep(w.store.Log(), w.d)
		s.Describe(&session.Profile{ClientID: name, Expiry: 100})
		w.live[name], w.fate[name] = s, make(map[string]*fate)
	}
	return s
}

func (w *world) publish(to []string, qos mqtt.QoS) {
	w.next++
	payload := fmt.Sprint(w.next)
	m := &mqtt.Message{Topic: "t", Payload: []byte(payload), QoS: qos, Created: time.Now()}
	d := mqtt.Delivery{Message: m, QoS: qos}
	if len(to) > 1 {
		d.Shared = w.store.Log().Number()
	}
	for _, name := range to {
		if outcome, _ := w.ensure(name).Enqueue(d, m.Created); outcome != session.Queued {
			w.t.Fatalf("%s: %v", name, outcome)
		}
		w.fate[name][payload] = &fate{order: w.next, qos: qos, position: w.store.Log().End()}
	}
}

// fill publishes more than there is room for in memory.
func (w *world) fill(names ...string) {
	names = slices.Compact(names)
	for range rapid.IntRange(1, 30).Draw(w.t, "messages") {
		w.publish(names, mqtt.QoS(rapid.IntRange(1, 2).Draw(w.t, "qos")))
	}
}

// clear drops what waits for a client.
func (w *world) clear(name string) {
	s := w.ensure(name)
	before := s.Pending() - s.InFlight()
	dropped, more := s.Clear()
	if len(dropped)+more != before || s.Pending() != s.InFlight() {
		w.t.Fatalf("%d messages were queued, %d and %d dropped", before, len(dropped), more)
	}
	for _, f := range w.fate[name] {
		if f.id == 0 || f.qos == mqtt.AtLeastOnce {
			f.position = math.MaxUint64 // promised no more
		}
	}
}

// serve lets a client take what there is and answer some of it.
func (w *world) serve(name string) {
	s := w.ensure(name)
	if !s.Attached() {
		s.Attach(session.Attachment{Version: mqtt.V5})
	}
	for _, o := range s.Next(nil, rapid.IntRange(1, 8).Draw(w.t, "most"), time.Now(), nil) {
		f := w.fate[name][string(o.Delivery.Message.Payload)]
		if f == nil {
			w.t.Fatalf("%s was sent what it was never given", name)
		}
		if o.Kind == session.SendPublish && !o.Dup {
			if f.order <= w.sent[name] {
				w.t.Fatalf("%s: %s is out of order", name, o.Delivery.Message.Payload)
			}
			w.sent[name] = f.order
		}
		if f.gone && f.qos == mqtt.ExactlyOnce && o.Kind == session.SendPublish {
			w.t.Fatalf("%s: %s is published again", name, o.Delivery.Message.Payload)
		}
		if o.Kind == session.SendPublish && f.qos == mqtt.ExactlyOnce {
			if f.released != 0 && w.store.Log().Done() >= f.released {
				w.t.Fatalf("%s: published after its PUBREC", name)
			}
			if f.id != 0 && f.id != o.ID {
				w.t.Fatalf("%s: sent as %d, then as %d", name, f.id, o.ID)
			}
			f.id = o.ID
		}
		if f.qos == mqtt.AtLeastOnce {
			if o.Dup && f.id != 0 && f.id != o.ID {
				w.t.Fatalf("%s: sent as %d, then as %d", name, f.id, o.ID)
			}
			if f.id != o.ID {
				f.id, f.bound = o.ID, s.Position()
			}
		}
		if !rapid.Bool().Draw(w.t, "answers") {
			continue
		}
		switch {
		case o.Kind == session.SendPubrel:
			s.Pubcomp(o.ID)
			f.gone = true
		case f.qos == mqtt.AtLeastOnce:
			s.Puback(o.ID)
			f.gone = true
		default:
			s.Pubrec(o.ID, mqtt.Success)
			f.released = s.Position()
			if rapid.Bool().Draw(w.t, "completes") {
				s.Pubcomp(o.ID)
				f.gone = true
			}
		}
	}
}

// cut ends the broker, and with power the disk forgets what was not synced.
func (w *world) cut(power bool) {
	log := w.store.Log()
	done := log.Done()
	w.store.files.retired.Store(true)
	_ = w.store.database.Close()
	_ = w.store.lock.Close()
	unsynced := 100
	if power {
		unsynced = 0
	}
	_ = unsynced
	w.disk = w.crashed(power)
	states := w.open()
	for name, fates := range w.fate {
		w.compare(name, fates, states[name], done)
	}
}

func (w *world) crashed(power bool) *vfs.MemFS {
	if !power {
		return w.disk
	}
	return w.disk.CrashClone(vfs.CrashCloneCfg{})
}

// compare holds what is there against what was promised.
func (w *world) compare(name string, fates map[string]*fate, st *session.State, done uint64) {
	if st == nil {
		for payload, f := range fates {
			if f.position <= done {
				w.t.Fatalf("%s is gone, with %s", name, payload)
			}
		}
		delete(w.fate, name)
		return
	}
	seen := make(map[string]bool)
	last := 0
	for _, m := range w.all[name] {
		payload := string(m.Delivery.Message.Payload)
		f := fates[payload]
		switch {
		case f == nil:
			w.t.Fatalf("%s: %s comes from nowhere", name, payload)
		case f.order <= last:
			w.t.Fatalf("%s: %s is out of order", name, payload)
		case f.id != 0 && m.ID != f.id && (f.qos == mqtt.ExactlyOnce || !w.power && f.bound <= done):
			w.t.Fatalf("%s: %s was sent as %d and is kept as %d", name, payload, f.id, m.ID)
		case f.released != 0 && f.released <= done && !m.Released:
			w.t.Fatalf("%s: the PUBREC for %s is forgotten", name, payload)
		}
		last, seen[payload] = f.order, true
		if f.qos == mqtt.AtLeastOnce {
			f.id, f.bound = m.ID, 0
		}
		f.position, f.gone = 0, false
		if f.released != 0 && !m.Released {
			f.released = 0
		}
	}
	for payload, f := range fates {
		if seen[payload] {
			continue
		}
		if !f.gone && f.position <= done {
			w.t.Fatalf("%s: %s was promised and is lost", name, payload)
		}
		delete(fates, payload)
	}
}

func testModel(t *testing.T, d session.Durability, power bool) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, disk: vfs.NewCrashableMem(), names: []string{"a", "b", "c"}, d: d,
			power: power, fate: make(map[string]map[string]*fate), all: make(map[string][]session.Stored),
		}
		w.open()
		defer func() { _ = w.store.Close() }()
		name := rapid.SampledFrom(w.names)
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				to := rapid.SliceOfNDistinct(name, 1, 3, rapid.ID).Draw(t, "to")
				slices.Sort(to)
				w.publish(to, mqtt.QoS(rapid.IntRange(1, 2).Draw(t, "qos")))
			},
			"serve":  func(t *rapid.T) { w.serve(name.Draw(t, "client")) },
			"serve2": func(t *rapid.T) { w.serve(name.Draw(t, "client")) },
			"leave":  func(t *rapid.T) { w.ensure(name.Draw(t, "client")).Detach() },
			"write":  func(*rapid.T) { w.round() },
			"write2": func(*rapid.T) { w.round() },
			"end": func(t *rapid.T) {
				id := name.Draw(t, "client")
				s := w.ensure(id)
				s.Detach()
				if err := s.Drain(func([]mqtt.Delivery) {}); err != nil {
					t.Fatal(err)
				}
				s.End()
				delete(w.live, id)
				delete(w.sent, id)
				for _, f := range w.fate[id] {
					f.gone = true
				}
				w.round()
				delete(w.fate, id)
			},
			"clear":    func(t *rapid.T) { w.clear(name.Draw(t, "client")) },
			"fill":     func(t *rapid.T) { w.fill(name.Draw(t, "client"), name.Draw(t, "other")) },
			"everyone": func(*rapid.T) { w.publish(w.names, 1) },
			"cut":      func(*rapid.T) { w.cut(power) },
		})
	})
}

// What was promised is there after any crash, in order, and nothing of QoS 2 is
// sent under two identifiers, or again after its PUBREC.
func TestModelPowerCut(t *testing.T) { testModel(t, session.DurabilitySync, true) }
func TestModelKill(t *testing.T)     { testModel(t, session.DurabilityInterval, false) }
