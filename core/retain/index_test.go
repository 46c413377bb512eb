package retain_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

func TestIndexWithoutStore(t *testing.T) {
	x := retain.New(retain.Options{})
	if err := x.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	r1 := set(t, x, "a/b", "1")
	r2 := set(t, x, "a/c", "2")
	r3 := set(t, x, "a/b", "3")
	if r1 >= r2 || r2 >= r3 {
		t.Errorf("revisions %d, %d, %d", r1, r2, r3)
	}
	if err := x.Wait(t.Context(), r3); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if d := cmp.Diff(map[string]string{"a/b": "3", "a/c": "2"}, inIndex(x)); d != "" {
		t.Error(d)
	}
	if m, ok := x.Get("a/b", now); !ok || string(m.Payload) != "3" {
		t.Errorf("Get = %v, %v", m, ok)
	}
	if x.Len() != 2 || x.Bytes() != 2*len("a/b1") || x.Pending() != 0 {
		t.Errorf("Len %d, Bytes %d, Pending %d", x.Len(), x.Bytes(), x.Pending())
	}
	set(t, x, "a/b", "") // [MQTT-3.3.1-6]
	if _, ok := x.Get("a/b", now); ok {
		t.Error("an empty payload did not remove the message")
	}
	set(t, x, "never", "")
	if _, existed, err := x.Delete("a/c"); !existed || err != nil {
		t.Errorf("Delete = %v, %v", existed, err)
	}
	if _, existed, err := x.Delete("a/c"); existed || err != nil {
		t.Errorf("Delete again = %v, %v", existed, err)
	}
	if x.Len() != 0 || x.Bytes() != 0 {
		t.Errorf("Len %d, Bytes %d", x.Len(), x.Bytes())
	}
}

func TestMatch(t *testing.T) {
	x := retain.New(retain.Options{})
	for _, topic := range []string{"a", "a/b", "a/b/c", "b", "$SYS/a", "/a"} {
		set(t, x, topic, "1")
	}
	for filter, want := range map[string]int{"#": 5, "a/#": 3, "+": 2, "+/+": 2, "$SYS/#": 1, "a/b": 1, "x": 0} {
		n := 0
		x.Match(filter, time.Now(), func(*mqtt.Message) bool { n++; return true })
		if n != want {
			t.Errorf("%q finds %d, want %d", filter, n, want)
		}
	}
	n := 0
	x.Match("#", time.Now(), func(*mqtt.Message) bool { n++; return false })
	if n != 1 {
		t.Errorf("Match went on to %d", n)
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		x := retain.New(retain.Options{Store: store})
		start(t, x)
		begin := time.Now()
		for i := range 10 {
			if _, err := x.Set(expiring(fmt.Sprint(i), begin, uint32(10*(i+1))), begin); err != nil {
				t.Fatal(err)
			}
		}
		set(t, x, "for ever", "1")
		// One is replaced by a message that expires later, one by one that never does.
		if _, err := x.Set(expiring("0", begin, 1000), begin); err != nil {
			t.Fatal(err)
		}
		set(t, x, "1", "1")

		now := begin.Add(50 * time.Second) // 2, 3 and 4 have expired
		if _, ok := x.Get("4", now); ok {
			t.Error("an expired message is found")
		}
		n := 0
		x.Match("#", now, func(*mqtt.Message) bool { n++; return true })
		if n != 8 || x.Len() != 11 {
			t.Errorf("%d match of %d", n, x.Len())
		}
		if got := x.Reap(now, 2); got != 2 {
			t.Errorf("reaped %d, want the limit of 2", got)
		}
		if got := x.Reap(now, 100); got != 1 || x.Len() != 8 {
			t.Errorf("reaped %d more, %d are left", got, x.Len())
		}
		synctest.Wait()
		if got := len(store.payloads()); got != 8 {
			t.Errorf("%d in the store", got)
		}

		// A message that expires at once removes what was there.
		if _, err := x.Set(expiring("1", begin, 0), now); err != nil {
			t.Fatal(err)
		}
		if _, ok := x.Get("1", now); ok || x.Len() != 7 {
			t.Error("a message with an interval of zero is retained")
		}
		if got := x.Reap(begin.Add(time.Hour), 100); got != 6 || x.Len() != 1 || x.Bytes() != len("for ever1") {
			t.Errorf("reaped %d, %d left, %d bytes", got, x.Len(), x.Bytes())
		}
	})
}

func TestQuota(t *testing.T) {
	x := retain.New(retain.Options{MaxMessages: 2})
	begin := time.Now()
	set(t, x, "a", "1")
	if _, err := x.Set(expiring("b", begin, 10), begin); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Set(message("c", "1"), begin); !errors.Is(err, retain.ErrQuota) {
		t.Errorf("a third message: %v", err)
	}
	set(t, x, "a", "2")
	if _, err := x.Set(message("c", "1"), begin.Add(time.Minute)); err != nil {
		t.Errorf("an expired message does not make room: %v", err)
	}
	if d := cmp.Diff(map[string]string{"a": "2", "c": "1"}, inIndex(x)); d != "" {
		t.Error(d)
	}
	set(t, x, "a", "")
	set(t, x, "d", "1")
}

func TestClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &fake{t: t}
		x := retain.New(retain.Options{Store: store, QueueChanges: 3})
		for i := range 3 {
			set(t, x, fmt.Sprint(i), "1")
		}
		revision, err := x.Clear()
		if err != nil || x.Len() != 0 || x.Bytes() != 0 || x.Pending() != 1 {
			t.Errorf("Clear: %v, Len %d, Bytes %d, Pending %d", err, x.Len(), x.Bytes(), x.Pending())
		}
		set(t, x, "after", "1")
		start(t, x)
		if err := x.Wait(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
		if err := x.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := cmp.Diff(map[string]string{"after": "1"}, store.payloads()); d != "" {
			t.Error(d)
		}
		if got := len(store.batches[0]); got != 2 {
			t.Errorf("%d changes were written, want the Clear and one behind it", got)
		}
		if x.Reap(time.Now().Add(time.Hour), 10) != 0 {
			t.Error("something was reaped")
		}
	})
}

// TestConcurrently has many publishers to the same topics, who wait for each
// of their changes, and readers; the store fails now and then.
func TestConcurrently(t *testing.T) {
	store := &fake{t: t}
	store.before = failEvery(7)
	store.after = failEvery(5)
	x := retain.New(retain.Options{Store: store, BatchChanges: 3})
	synctest.Test(t, func(t *testing.T) {
		stop := start(t, x)
		var publishers, readers sync.WaitGroup
		ended := make(chan struct{})
		for p := range 8 {
			publishers.Go(func() {
				for i := range 60 {
					payload := fmt.Sprint(p, i)
					if i%9 == 8 {
						payload = ""
					}
					if err := x.Wait(t.Context(), set(t, x, fmt.Sprint("t/", (p+i)%11), payload)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		readers.Go(func() {
			for {
				inIndex(x)
				select {
				case <-ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
		publishers.Wait()
		close(ended)
		readers.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(inIndex(x), store.payloads()); d != "" {
			t.Errorf("index and store differ: %s", d)
		}
		if x.Pending() != 0 {
			t.Errorf("%d pending", x.Pending())
		}
	})
}

func TestChanges(t *testing.T) {
	x := retain.New(retain.Options{})
	expiring := mqtt.Message{Topic: "e", Payload: []byte("1"), Properties: &mqtt.Properties{Expiry: 1, HasExpiry: true}, Created: time.Now()}
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"a new topic", func() error { set(t, x, "a", "1"); return nil }},
		{"the same again", func() error { set(t, x, "a", "1"); return nil }},
		{"an empty payload", func() error { set(t, x, "a", ""); return nil }},
		{"one that expires", func() error { _, err := x.Set(&expiring, time.Now()); return err }},
		{"expiry", func() error { x.Reap(time.Now().Add(time.Minute), 1); return nil }},
		{"one more", func() error { set(t, x, "b", "1"); return nil }},
		{"deletion", func() error { _, _, err := x.Delete("b"); return err }},
		{"and another", func() error { set(t, x, "c", "1"); return nil }},
		{"all of them", func() error { _, err := x.Clear(); return err }},
	} {
		before := x.Changes()
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		if x.Changes() == before {
			t.Errorf("%s: not counted", change.name)
		}
	}
	before := x.Changes()
	x.Get("c", time.Now())
	x.Match("#", time.Now(), func(*mqtt.Message) bool { return true })
	if x.Changes() != before {
		t.Error("a search is counted")
	}
}
