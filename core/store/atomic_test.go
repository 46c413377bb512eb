package store

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// pair is an index of retained messages and a session that gets every message, on a
// store whose power may be cut at any moment.
type pair struct {
	t     *rapid.T
	d     session.Durability
	disk  *vfs.MemFS
	store *Store
	index *retain.Index
	sess  *session.Session
	next  int

	queued    map[string]last // in the store, when it was opened
	promised  map[string]last
	unwritten map[string]last
}

// last is the message that a topic had last.
type last struct {
	number  int // in the order of all messages; 0 for none
	removes bool
}

// lastOf reads it of a message that says its number, also when it has no payload.
func lastOf(m *mqtt.Message) (l last) {
	_, _ = fmt.Sscan(m.Properties.ContentType, &l.number)
	l.removes = len(m.Payload) == 0
	return l
}

func (w *pair) open() {
	s, err := open(w.disk, "sessions", Options{}.withDefaults())
	if err != nil {
		w.t.Fatal(err)
	}
	if s.Aside() != "" {
		w.t.Fatal("the store was taken for corrupt")
	}
	w.store, w.index, w.sess = s, retain.New(retain.Options{Store: s.Retained()}), nil
	if err := w.index.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	for st := range s.Load(context.Background()) {
		w.read(st)
		w.sess = session.Restore(st, session.Limits{}, s.Log())
	}
	if w.sess == nil {
		w.sess = session.New("c", session.Limits{})
		w.sess.Keep(s.Log(), w.d)
		w.sess.Describe(&session.Profile{ClientID: "c", Expiry: 100})
	}
}

// read finds out which message each topic has last in the queue.
func (w *pair) read(st *session.State) {
	list := st.Messages
	for len(list) > 0 && list[len(list)-1].Sequence < st.Last {
		page, _, err := w.store.Page(st.Number, list[len(list)-1].Sequence+1, st.Last, 1000, 1<<20)
		if err != nil {
			w.t.Fatal(err)
		}
		list = append(list, page...)
	}
	for _, m := range list {
		w.queued[m.Delivery.Message.Topic] = lastOf(m.Delivery.Message)
	}
}

// publish retains a message and queues it, as a group. between is called in it.
func (w *pair) publish(topic string, removes bool, between func()) {
	w.next++
	m := &mqtt.Message{
		Topic: topic, Payload: []byte("x"), QoS: 1, Retain: true, Created: time.Now(), Properties: &mqtt.Properties{ContentType: fmt.Sprint(w.next)},
	}
	if removes {
		m.Payload = nil
	}
	_, had := w.index.Get(topic, m.Created)
	log := w.store.Log()
	group := log.Begin()
	_, recorded, err := w.index.SetFor(m, m.Created, retain.Durability(w.d))
	if err != nil || !recorded && (had || !removes) {
		w.t.Fatalf("not recorded: %v", err)
	}
	between()
	w.sess.Enqueue(mqtt.Delivery{Message: m, QoS: 1}, m.Created)
	log.Finish(group)
	w.unwritten[topic] = lastOf(m)
}

func (w *pair) write() {
	if _, _, err := w.store.round(context.Background(), nil, false); err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(w.promised, w.unwritten)
	clear(w.unwritten)
}

// cut ends the broker in the middle of what it does. What the queue has last of a
// topic has to be what is retained, and nothing that was promised before.
func (w *pair) cut(power bool, torn int) {
	w.store.files.retired.Store(true)
	_ = w.store.database.Close()
	_ = w.store.lock.Close()
	if power {
		w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: torn, RNG: rand.New(rand.NewPCG(1, uint64(w.next)))}) //nolint:gosec // a test
	}
	w.queued = make(map[string]last)
	w.open()
	for _, topic := range []string{"a", "b", "c"} {
		now, retained := w.queued[topic], last{}
		if m, found := w.index.Get(topic, time.Now()); found {
			retained = lastOf(m)
		}
		want := now
		if now.removes {
			want = last{}
		}
		if retained != want {
			w.t.Fatalf("%s: %+v was queued last, and %+v is retained", topic, now, retained)
		}
		if now.number < w.promised[topic].number && (!power || w.d == session.DurabilitySync) {
			w.t.Fatalf("%s: %+v was queued last, and %+v was promised", topic, now, w.promised[topic])
		}
		w.promised[topic] = now
	}
	clear(w.unwritten)
}

// A message and the queues that it goes into are written together or not at all,
// whenever the power goes, and whatever the disk has of what was not synced.
func TestRetainedWithQueue(t *testing.T) {
	for _, d := range []session.Durability{session.DurabilitySync, session.DurabilityInterval} {
		t.Run(d.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := &pair{
					t: t, d: d, disk: vfs.NewCrashableMem(),
					promised: make(map[string]last), unwritten: make(map[string]last),
				}
				w.open()
				defer func() { _ = w.store.Close() }()
				publish := func(t *rapid.T) {
					between := func() {}
					if rapid.IntRange(0, 3).Draw(t, "between") == 0 {
						between = func() { w.write() }
					}
					w.publish(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic"), rapid.IntRange(0, 3).Draw(t, "removes") == 0, between)
				}
				t.Repeat(map[string]func(*rapid.T){
					"publish": publish, "publish2": publish, "publish3": publish,
					"write": func(*rapid.T) { w.write() },
					"cut": func(t *rapid.T) {
						w.cut(rapid.Bool().Draw(t, "power"), rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "torn"))
					},
				})
			})
		})
	}
}
