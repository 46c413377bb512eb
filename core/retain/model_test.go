package retain_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// step is one change that the index accepted.
type step struct {
	revision uint64
	topic    string // "" for all
	payload  string // "" for none
}

// promise is a revision that somebody waits for.
type promise struct {
	revision uint64
	kept     <-chan error
}

// possible returns what a topic may have in the store once a revision is
// durable: what it had then, or after any later change.
func possible(history []step, revision uint64, topic string) []string {
	states := []string{""}
	for _, s := range history {
		if s.topic != topic && s.topic != "" {
			continue
		}
		if s.revision <= revision {
			states = states[:0]
		}
		states = append(states, s.payload)
	}
	return states
}

// TestWhatWaitPromises makes random changes while the store lets single calls
// through, fails before or after it applied them, and takes its time. Whenever
// Wait has returned for a revision, the store alone must know that change or a
// later one of its topic: the broker could be killed at that moment.
func TestWhatWaitPromises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a testing.T for its deadline, which has no meaning here.
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) {
			outcomes := make(chan int)
			store := &fake{t: t}
			failed := 0
			store.before = func(context.Context, int) error {
				if failed = <-outcomes; failed == 1 {
					return errAway
				}
				return nil
			}
			store.after = func(context.Context, int) error {
				if failed == 2 {
					return errAway
				}
				return nil
			}
			x := retain.New(retain.Options{
				Store:        store,
				BatchChanges: rapid.IntRange(1, 4).Draw(r, "batch"),
				QueueChanges: rapid.IntRange(4, 30).Draw(r, "queue"),
			})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- x.Run(ctx) }()
			stop := sync.OnceValue(func() error {
				cancel()
				close(outcomes) // from now on every call succeeds
				return <-ended
			})
			defer stop()

			topics := []string{"a", "b", "c/d", "c/e", "f"}
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
			r.Repeat(map[string]func(*rapid.T){
				"set": func(r *rapid.T) {
					n++
					s := step{topic: rapid.SampledFrom(topics).Draw(r, "topic"), payload: fmt.Sprint(n)}
					var err error
					s.revision, err = x.Set(message(s.topic, s.payload), time.Now())
					accepted(s, err)
				},
				"delete": func(r *rapid.T) {
					s := step{topic: rapid.SampledFrom(topics).Draw(r, "topic")}
					var err error
					s.revision, _, err = x.Delete(s.topic)
					accepted(s, err)
				},
				"clear": func(r *rapid.T) {
					if rapid.IntRange(0, 4).Draw(r, "really") == 0 {
						revision, err := x.Clear()
						accepted(step{revision: revision}, err)
					}
				},
				"answer": func(r *rapid.T) {
					select {
					case outcomes <- rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(r, "outcome"):
					case <-time.After(3 * time.Second): // longer than any pause
					}
				},
				"": func(r *rapid.T) {
					synctest.Wait()
					stored := store.payloads()
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
				},
			})

			if err := stop(); err != nil {
				r.Fatalf("Run: %v", err)
			}
			synctest.Wait()
			for _, p := range promises {
				if !returned(p.kept) || <-p.kept != nil {
					r.Fatalf("Wait for %d did not return nil in the end", p.revision)
				}
			}
			if d := cmp.Diff(inIndex(x), store.payloads()); d != "" {
				r.Fatalf("index and store differ: %s", d)
			}
			again := retain.New(retain.Options{Store: store})
			if err := again.Load(context.Background()); err != nil {
				r.Fatal(err)
			}
			if d := cmp.Diff(inIndex(x), inIndex(again)); d != "" {
				r.Fatalf("a new index differs: %s", d)
			}
		})
	})
}
