package retain_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// ledger is a recorder in memory: what it was told of is written when the test says
// so.
type ledger struct {
	fake
	mu       sync.Mutex
	failing  bool
	recorded []retain.Change
	written  int
	waiters  []chan struct{}
	at       []int // what those wait for
}

func (l *ledger) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing {
		return errAway
	}
	return nil
}

func (l *ledger) Record(c retain.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recorded = append(l.recorded, c)
}

func (l *ledger) Recorded(ctx context.Context) error {
	l.mu.Lock()
	n, done := len(l.recorded), make(chan struct{})
	if n <= l.written {
		l.mu.Unlock()
		return nil
	}
	l.waiters, l.at = append(l.waiters, done), append(l.at, n)
	l.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *ledger) Apply(ctx context.Context, changes []retain.Change) error {
	for _, c := range changes {
		l.Record(c)
	}
	return l.Recorded(ctx)
}

// write writes some of what was recorded, unless it fails.
func (l *ledger) write(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n = min(n, len(l.recorded)-l.written); n == 0 || l.failing {
		return
	}
	l.apply(l.recorded[l.written : l.written+n])
	l.written += n
	for i := 0; i < len(l.waiters); i++ {
		if l.at[i] <= l.written {
			close(l.waiters[i])
			l.waiters, l.at = slices.Delete(l.waiters, i, i+1), slices.Delete(l.at, i, i+1)
			i--
		}
	}
}

func (l *ledger) fail(failing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = failing
}

// TestWhatRecorderPromises makes random changes while the recorder writes some of
// what it was told of, or can write nothing, and while all is moved to another
// store and back. Whenever Wait has returned, or the change was recorded and is
// written, the store in use alone must know it or a later one of its topic.
func TestWhatRecorderPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) {
			l, other := &ledger{fake: fake{t: t}}, &fake{t: t}
			other.before = func(context.Context, int) error { time.Sleep(3 * time.Millisecond); return nil }
			var inUse atomic.Pointer[fake]
			inUse.Store(&l.fake)
			x := retain.New(retain.Options{Store: l, QueueChanges: rapid.IntRange(1, 10).Draw(r, "queue")})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- x.Run(ctx) }()
			finished := make(chan struct{})
			stop := sync.OnceValue(func() error {
				l.fail(false)
				cancel()
				go func() {
					for {
						select {
						case <-finished:
							return
						case <-time.After(time.Millisecond):
							l.write(1000)
						}
					}
				}()
				return <-ended
			})
			defer close(finished)
			defer func() { _ = stop() }()

			topics := []string{"a", "b", "c/d", "c/e"}
			var history []step
			var promises []promise
			n := 0
			accepted := func(s step, err error) {
				if err != nil {
					return // the queue is full
				}
				if len(history) == 0 || s.revision > history[len(history)-1].revision {
					history = append(history, s)
				}
				promises = append(promises, promise{s.revision, waiting(x, s.revision)})
			}
			set := func(payload string) {
				s := step{topic: rapid.SampledFrom(topics).Draw(r, "topic"), payload: payload}
				revision, recorded, err := x.SetFor(message(s.topic, s.payload), time.Now(), retain.DurabilitySync)
				s.revision = revision
				how := rapid.SampledFrom([]string{"waits", "watches", "does not care"}).Draw(r, "publisher")
				if how == "waits" {
					accepted(s, err)
					return
				}
				if recorded && how == "watches" {
					kept := make(chan error, 1)
					go func() { kept <- l.Recorded(context.Background()) }()
					promises = append(promises, promise{s.revision, kept})
				}
				if err == nil && (len(history) == 0 || s.revision > history[len(history)-1].revision) {
					history = append(history, s)
				}
			}
			check := func() {
				synctest.Wait()
				stored := inUse.Load().payloads()
				promises = slices.DeleteFunc(promises, func(p promise) bool {
					if !returned(p.kept) {
						return false
					}
					for _, topic := range topics {
						if ok := possible(history, p.revision, topic); !slices.Contains(ok, stored[topic]) {
							r.Fatalf("revision %d is durable, but %q is %q, not one of %q", p.revision, topic, stored[topic], ok)
						}
					}
					return true
				})
			}
			r.Repeat(map[string]func(*rapid.T){
				"set":    func(*rapid.T) { n++; set(fmt.Sprint(n)) },
				"set2":   func(*rapid.T) { n++; set(fmt.Sprint(n)) },
				"delete": func(*rapid.T) { set("") },
				"clear": func(r *rapid.T) {
					if rapid.IntRange(0, 4).Draw(r, "really") == 0 {
						revision, err := x.Clear()
						accepted(step{revision: revision}, err)
					}
				},
				"write": func(r *rapid.T) { l.write(rapid.IntRange(1, 5).Draw(r, "changes")) },
				"fail":  func(r *rapid.T) { l.fail(rapid.Bool().Draw(r, "failing")) },
				"move": func(r *rapid.T) {
					if rapid.IntRange(0, 3).Draw(r, "really") > 0 {
						return
					}
					var target retain.Store = other
					next := other
					if inUse.Load() == other {
						target, next = l, &l.fake
					}
					moved := make(chan error, 1)
					go func() {
						_, err := x.Move(ctx, target, retain.MoveOptions{
							Replace: true, Commit: func(context.Context, uint64) error {
								inUse.Store(next)
								time.Sleep(3 * time.Millisecond)
								return nil
							},
						})
						moved <- err
					}()
					for len(moved) == 0 {
						if check(); rapid.Bool().Draw(r, "meanwhile") {
							n++
							set(fmt.Sprint(n))
							check()
						}
						l.fail(false)
						l.write(rapid.IntRange(1, 20).Draw(r, "changes"))
						time.Sleep(time.Millisecond)
					}
					if err := <-moved; err != nil {
						r.Log("not moved: ", err)
					}
				},
				"": func(*rapid.T) { check() },
			})
			if err := stop(); err != nil {
				r.Fatalf("Run: %v", err)
			}
			time.Sleep(time.Second)
			check()
			if len(promises) > 0 {
				r.Fatalf("%d promises were not kept in the end", len(promises))
			}
			if d := cmp.Diff(inIndex(x), inUse.Load().payloads()); d != "" {
				r.Fatalf("index and store differ: %s", d)
			}
		})
	})
}

// A recorder has a change when SetFor returns, in order, with what was queued while
// nothing could be written; and it is asked for no more than that.
func TestRecorderHasItAtOnce(t *testing.T) {
	l := &ledger{fake: fake{t: t}}
	x := retain.New(retain.Options{Store: l})
	if !x.Records() {
		t.Fatal("it is not recorded")
	}
	give := func(topic, payload string, want bool) {
		t.Helper()
		if _, recorded, err := x.SetFor(message(topic, payload), time.Now(), retain.DurabilitySync); err != nil || recorded != want {
			t.Errorf("%s: recorded %v, %v", topic, recorded, err)
		}
	}
	give("a", "1", true)
	l.fail(true)
	for range 100 {
		give("b", "2", false)
	}
	give("b", "", false)
	l.fail(false)
	give("b", "", true) // the removal before it, which it repeats
	give("a", "3", true)
	l.write(1000)
	if got := l.payloads(); !maps.Equal(got, map[string]string{"a": "3"}) || len(l.recorded) != 3 {
		t.Errorf("%v after %d changes", got, len(l.recorded))
	}
}

// Who waits for what was made before a move need not wait until that is over.
func TestRecorderBeforeMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, away := &ledger{fake: fake{t: t}}, make(chan struct{})
		x := retain.New(retain.Options{Store: l})
		start(t, x)
		revision := set(t, x, "a", "1")
		other := &fake{t: t, before: func(context.Context, int) error { <-away; return nil }}
		moved := make(chan error, 1)
		go func() {
			_, err := x.Move(t.Context(), other, retain.MoveOptions{})
			moved <- err
		}()
		synctest.Wait()
		w := waiting(x, revision)
		synctest.Wait()
		if returned(w) {
			t.Error("it is not written")
		}
		l.write(10)
		if synctest.Wait(); !returned(w) || returned(moved) {
			t.Error("it waits for the move")
		}
		close(away)
		if err := <-moved; err != nil {
			t.Error(err)
		}
	})
}
