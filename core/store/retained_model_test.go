package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// tree is an index of retained messages on a store whose power may be cut at any
// moment.
type tree struct {
	t     *rapid.T
	disk  *vfs.MemFS
	store *Store
	index *retain.Index
	stop  func()
	next  int

	past     map[string][]version // of each topic, oldest first
	promised uint64               // every revision up to this one is durable
}

// version is what a topic had since a revision; "" for nothing.
type version struct {
	revision uint64
	payload  string
}

func (w *tree) open() {
	s, err := open(w.disk, "sessions", Options{}.withDefaults())
	if err != nil {
		w.t.Fatal(err)
	}
	if s.Aside() != "" {
		w.t.Fatal("the store was taken for corrupt")
	}
	w.store, w.index = s, retain.New(retain.Options{Store: s.Retained(), DrainTimeout: time.Millisecond})
	if err := w.index.Load(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx)
	}()
	written, quit := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = w.index.Run(written)
	}()
	w.stop = func() {
		cancel()
		<-ended
		quit()
		<-left
	}
}

// note remembers what a topic has from a revision on.
func (w *tree) note(topic string, revision uint64, payload string) {
	w.past[topic] = append(w.past[topic], version{revision, payload})
}

func (w *tree) wait() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	revision := w.index.Revision()
	if err := w.index.Wait(ctx, revision); err != nil {
		w.t.Fatal(err)
	}
	w.promised = revision
}

// cut ends the broker in the middle of what it does.
func (w *tree) cut(power bool) {
	w.store.files.retired.Store(true)
	if power {
		w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{})
	}
	w.stop()
	if w.store.log.Failure() == nil {
		w.store.retire()
	}
	_ = w.store.lock.Close()
	w.open()
	for topic, versions := range w.past {
		got := ""
		if m, found := w.index.Get(topic, time.Now()); found {
			got = string(m.Payload)
		}
		w.past[topic] = []version{{0, got}}
		allowed := false
		for i, v := range versions {
			replaced := i+1 < len(versions) && versions[i+1].revision <= w.promised
			allowed = allowed || v.payload == got && !replaced
		}
		if !allowed {
			w.t.Fatalf("%s is %q; promised up to %d was %v", topic, got, w.promised, versions)
		}
	}
	if n := w.index.Len(); n > len(w.past) {
		w.t.Fatalf("%d messages of %d topics", n, len(w.past))
	}
}

func testRetainedModel(t *testing.T, d retain.Durability, power bool) {
	rapid.Check(t, func(t *rapid.T) {
		w := &tree{t: t, disk: vfs.NewCrashableMem(), past: make(map[string][]version)}
		topic := rapid.SampledFrom([]string{"a", "a/b", "c", "d"})
		for _, name := range []string{"a", "a/b", "c", "d"} {
			w.note(name, 0, "")
		}
		w.open()
		defer func() {
			w.stop()
			_ = w.store.Close()
		}()
		set := func(name, payload string) {
			m := &mqtt.Message{Topic: name, Payload: []byte(payload), Retain: true, QoS: 1, Created: time.Now()}
			_, existed := w.index.Get(name, m.Created)
			revision, _, err := w.index.SetFor(m, m.Created, d)
			if err != nil {
				t.Fatal(err)
			}
			if existed || payload != "" {
				w.note(name, revision, payload)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				w.next++
				set(topic.Draw(t, "topic"), fmt.Sprint(w.next))
			},
			"set2": func(t *rapid.T) {
				w.next++
				set(topic.Draw(t, "topic"), fmt.Sprint(w.next))
			},
			"delete": func(t *rapid.T) { set(topic.Draw(t, "topic"), "") },
			"clear": func(t *rapid.T) {
				revision, err := w.index.Clear()
				if err != nil {
					t.Fatal(err)
				}
				for name := range w.past {
					w.note(name, revision, "")
				}
			},
			"wait": func(*rapid.T) { w.wait() },
			"cut":  func(*rapid.T) { w.cut(power) },
		})
	})
}

// A retained message that was promised is there after any crash, or what came
// later; one whose removal was promised does not come back.
func TestRetainedModelPowerCut(t *testing.T) {
	testRetainedModel(t, retain.DurabilitySync, true)
}

func TestRetainedModelKill(t *testing.T) {
	testRetainedModel(t, retain.DurabilityInterval, false)
}
