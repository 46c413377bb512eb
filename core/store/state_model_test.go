package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// What a model of the state of a session calls its parts.
const (
	theProfile = "profile"
	aFilter    = "filter "
	anID       = "received "
)

// states is a session, beside its queue, on a store whose power may be cut at any
// moment; and another one that gets its messages of QoS 2.
type states struct {
	t     *rapid.T
	disk  *vfs.MemFS
	store *Store
	d     session.Durability
	own   *session.Session
	other *session.Session

	next     int
	profile  session.Profile
	past     map[string][]version // of every part, oldest first
	messages map[string]string    // that came with an identifier that is held
	asked    bool                 // something that gathers is promised
	promised uint64               // up to here
}

func (w *states) note(part, text string) {
	w.past[part] = append(w.past[part], version{w.store.Log().End(), text})
}

// open makes the sessions, or takes them up.
func (w *states) open() {
	s, err := open(w.disk, "sessions", Options{}.withDefaults())
	if err != nil {
		w.t.Fatal(err)
	}
	if s.Aside() != "" {
		w.t.Fatal("the store was taken for corrupt")
	}
	w.store = s
	found := make(map[string]string)
	var queue []string
	kept := make(map[string]*session.Session)
	for st, err := range s.Load(context.Background()) {
		if err != nil {
			w.t.Fatal(err)
		}
		kept[st.Profile.ClientID] = session.Restore(st, session.Limits{}, s.Log())
		if st.Profile.ClientID == "own" {
			found = parts(st)
			w.profile = st.Profile
		}
		for _, m := range st.Messages {
			queue = append(queue, string(m.Delivery.Message.Payload))
		}
	}
	if len(kept) == 2 {
		w.own, w.other = kept["own"], kept["other"]
		w.compare(found, queue)
		w.promised = 0 // positions begin anew
		return
	}
	w.own, w.other = session.New("own", session.Limits{}), session.New("other", session.Limits{})
	for _, s := range []*session.Session{w.own, w.other} {
		s.Keep(w.store.Log(), w.d)
	}
	w.profile = session.Profile{ClientID: "own", Expiry: 100}
	w.other.Describe(&session.Profile{ClientID: "other", Expiry: 100})
	w.subscribe("first", 0)
	w.describe()
	w.subscribe("first", 1)
	w.write()
}

// parts is the state of a session as the model notes it.
func parts(st *session.State) map[string]string {
	found := map[string]string{theProfile: profileText(&st.Profile)}
	for _, sub := range st.Subscriptions {
		found[aFilter+sub.Filter] = fmt.Sprint(sub.QoS)
	}
	for _, id := range st.Received {
		found[anID+fmt.Sprint(id)] = "held"
	}
	return found
}

func profileText(p *session.Profile) string {
	text := fmt.Sprint(p.Expiry, p.WillDelay, p.Since.UnixNano())
	for _, name := range slices.Sorted(maps.Keys(p.Items)) {
		text += fmt.Sprintf(" %s=%s", name, p.Items[name])
	}
	if p.Will != nil {
		text += fmt.Sprintf(" will %s %s %d", p.Will.Topic, p.Will.Payload, p.Will.QoS)
	}
	return text
}

// compare holds what is there against what was promised, and goes on from it.
func (w *states) compare(found map[string]string, queue []string) {
	for part, versions := range w.past {
		got, allowed := found[part], false
		for i, v := range versions {
			replaced := i+1 < len(versions) && versions[i+1].revision <= w.promised
			allowed = allowed || v.payload == got && !replaced
		}
		if !allowed {
			w.t.Fatalf("%s is %q; promised up to %d was %v", part, got, w.promised, versions)
		}
		w.past[part] = []version{{0, got}}
	}
	for part := range found {
		if w.past[part] == nil {
			w.t.Fatalf("%s comes from nowhere", part)
		}
	}
	for id, payload := range w.messages {
		held, queued := found[anID+id] != "", slices.Contains(queue, payload)
		if held && !queued {
			w.t.Fatalf("identifier %s is held, and its message is lost", id)
		}
		if !held && queued {
			w.t.Fatalf("the message of identifier %s is kept, and would be taken again", id)
		}
		if !held {
			delete(w.messages, id)
		}
	}
}

func (w *states) subscribe(filter string, q mqtt.QoS) {
	w.own.Subscribe(mqtt.Subscription{Filter: filter, QoS: q})
	w.note(aFilter+filter, fmt.Sprint(q))
	w.asked = true
}

// describe tells what the profile is now, which nobody is promised at once.
func (w *states) describe() {
	p := w.profile
	w.own.Describe(&p)
	w.note(theProfile, profileText(&p))
}

// receive takes a message of QoS 2 for the other session. A client uses an
// identifier again once it has PUBCOMP, which waits until that is written.
func (w *states) receive(id uint16) {
	versions := w.past[anID+fmt.Sprint(id)]
	if last := versions[len(versions)-1]; last.revision > w.store.Log().Done() {
		return
	}
	if r, _ := w.own.Receive(id, mqtt.ExactlyOnce); r == session.Duplicate {
		return
	}
	w.next++
	m := &mqtt.Message{Topic: "t", Payload: fmt.Append(nil, w.next), QoS: 2, Created: time.Now()}
	group := w.store.Log().Begin()
	w.other.Enqueue(mqtt.Delivery{Message: m, QoS: 2}, m.Created)
	w.own.KeepReceived(id)
	w.store.Log().Finish(group)
	w.own.Acknowledge(id, mqtt.ExactlyOnce, mqtt.Success)
	w.note(anID+fmt.Sprint(id), "held")
	w.messages[fmt.Sprint(id)] = fmt.Sprint(w.next)
	w.asked = true
}

// release frees an identifier. Its message may be anywhere then.
func (w *states) release(id uint16) {
	if w.own.Release(id) {
		w.note(anID+fmt.Sprint(id), "")
		delete(w.messages, fmt.Sprint(id))
		w.asked = true
	}
}

func (w *states) write() {
	if _, _, err := w.store.round(context.Background(), nil, false); err != nil {
		w.t.Fatal(err)
	}
	if w.asked || w.d != session.DurabilitySync {
		w.promised, w.asked = w.store.Log().Done(), false
	}
}

// sync does what is done a moment after something was written.
func (w *states) sync() {
	w.write()
	if err := w.store.files.sync(); err != nil {
		w.t.Fatal(err)
	}
	w.promised = w.store.Log().Done()
}

func (w *states) cut(power bool) {
	w.store.files.retired.Store(true)
	_ = w.store.database.Close()
	_ = w.store.lock.Close()
	if power {
		w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{})
	}
	w.asked = false
	w.open()
}

func testStateModel(t *testing.T, d session.Durability, power bool) {
	rapid.Check(t, func(t *rapid.T) {
		w := &states{t: t, disk: vfs.NewCrashableMem(), d: d, past: make(map[string][]version), messages: make(map[string]string)}
		w.begin()
		w.open()
		defer func() { _ = w.store.Close() }()
		filter := rapid.SampledFrom([]string{"a", "a/#", "first"})
		id := rapid.Uint16Range(1, 4)
		t.Repeat(map[string]func(*rapid.T){
			"subscribe": func(t *rapid.T) { w.subscribe(filter.Draw(t, "filter"), mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos"))) },
			"unsubscribe": func(t *rapid.T) {
				if f := filter.Draw(t, "filter"); w.own.Unsubscribe(f) {
					w.note(aFilter+f, "")
					w.asked = true
				}
			},
			"item": func(t *rapid.T) {
				w.next++
				items := maps.Clone(w.profile.Items)
				if items == nil {
					items = make(map[string][]byte)
				}
				items[filter.Draw(t, "name")] = fmt.Append(nil, w.next)
				w.profile.Items = items
				w.describe()
			},
			"will": func(t *rapid.T) {
				w.profile.Will, w.profile.WillDelay = nil, 0
				if rapid.Bool().Draw(t, "has one") {
					w.next++
					w.profile.Will = &mqtt.Message{Topic: "w", Payload: fmt.Append(nil, w.next), QoS: 1, Created: time.Unix(0, 1)}
					w.profile.WillDelay = time.Duration(rapid.IntRange(0, 100).Draw(t, "delay")) * time.Second
				}
				w.describe()
			},
			"expiry": func(t *rapid.T) {
				w.profile.Expiry = rapid.Uint32Range(1, 1000).Draw(t, "expiry")
				w.profile.Since = time.Unix(0, rapid.Int64Range(1, 1<<60).Draw(t, "since"))
				w.describe()
			},
			"receive":  func(t *rapid.T) { w.receive(id.Draw(t, "id")) },
			"receive2": func(t *rapid.T) { w.receive(id.Draw(t, "id")) },
			"release":  func(t *rapid.T) { w.release(id.Draw(t, "id")) },
			"write":    func(*rapid.T) { w.write() },
			"sync":     func(*rapid.T) { w.sync() },
			"cut":      func(*rapid.T) { w.cut(power) },
		})
	})
}

// begin says that there is nothing of any part yet.
func (w *states) begin() {
	for _, part := range []string{
		theProfile, aFilter + "a", aFilter + "a/#", aFilter + "first",
		anID + "1", anID + "2", anID + "3", anID + "4",
	} {
		w.past[part] = []version{{0, ""}}
	}
}

// Subscriptions, received identifiers, items, wills with their delays and the
// session's time are after any crash as they were promised, or as they were later;
// a message of QoS 2 is kept if and only if its identifier is.
func TestStateModelPowerCut(t *testing.T) { testStateModel(t, session.DurabilitySync, true) }
func TestStateModelKill(t *testing.T)     { testStateModel(t, session.DurabilityInterval, false) }
