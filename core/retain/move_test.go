package retain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/retain"
)

// shaky is a fake whose calls take their time, and fail, as it was drawn.
type shaky struct {
	*fake
	outcomes []int // of calls, over and over: 0 is well, 1 fails before, 2 fails after it has changed the store
	delays   []int // milliseconds
}

func drawShaky(t *testing.T, r *rapid.T, name string) *shaky {
	s := &shaky{
		fake:     &fake{t: t},
		outcomes: append(rapid.SliceOfN(rapid.IntRange(0, 2), 0, 6).Draw(r, name+" outcomes"), 0),
		delays:   rapid.SliceOfN(rapid.IntRange(0, 40), 1, 6).Draw(r, name+" delays"),
	}
	s.before = func(ctx context.Context, call int) error {
		select {
		case <-time.After(time.Duration(s.delays[call%len(s.delays)]) * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.outcomes[call%len(s.outcomes)] == 1 {
			return errAway
		}
		return nil
	}
	s.after = func(_ context.Context, call int) error {
		if s.outcomes[call%len(s.outcomes)] == 2 {
			return errAway
		}
		return nil
	}
	return s
}

// moving is a run of the model: an index that moves between two stores while it
// is changed.
type moving struct {
	*testing.T
	x       *retain.Index
	history []step

	mu       sync.Mutex
	official *shaky // the one that a broker would start with if it were killed now
	acked    uint64 // highest revision that Wait has returned for
}

// check wants everything that was acknowledged in the store that counts, and
// nothing there that was gone before.
func (m *moving) check(when string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := m.official.payloads()
	for i := range 6 {
		topic := fmt.Sprint("t/", i)
		if want := possible(m.history, m.acked, topic); !slices.Contains(want, stored[topic]) {
			m.Errorf("%s: %s is %q in the store, and may be %q after revision %d", when, topic, stored[topic], want, m.acked)
		}
	}
}

// change makes one change, and waits for it in the background.
func (m *moving) change(r *rapid.T, waits *sync.WaitGroup) {
	s := step{topic: fmt.Sprint("t/", rapid.IntRange(0, 5).Draw(r, "topic"))}
	var err error
	switch kind := rapid.IntRange(0, 11).Draw(r, "kind"); {
	case kind == 0:
		s.topic = ""
		s.revision, err = m.x.Clear()
	case kind < 4:
		s.revision, _, err = m.x.Delete(s.topic)
	default:
		s.payload = fmt.Sprint(len(m.history))
		s.revision, err = m.x.Set(message(s.topic, s.payload), time.Now())
	}
	if err != nil {
		m.Fatal(err)
	}
	m.mu.Lock()
	m.history = append(m.history, s)
	m.mu.Unlock()
	waits.Go(func() {
		if err := m.x.Wait(context.Background(), s.revision); err != nil {
			return // the run was ended
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.acked = max(m.acked, s.revision)
	})
}

// move moves to a store. One that fails leaves everything as it was.
func (m *moving) move(to *shaky) {
	m.mu.Lock()
	from := m.official
	m.mu.Unlock()
	_, err := m.x.Move(context.Background(), to, retain.MoveOptions{
		Patience: 300 * time.Millisecond,
		Commit: func(context.Context, uint64) error {
			m.mu.Lock()
			m.official = to
			m.mu.Unlock()
			m.check("at the switch")
			return nil
		},
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	if (err == nil) != (m.official == to && from != to) {
		m.Errorf("Move: %v", err)
	}
}

// TestMove makes random changes while the index moves to another store and
// back, and both stores fail and take their time. Whenever the broker is killed,
// the store that counts has what was acknowledged; in the end it has what the
// index has: nothing is lost, and nothing rises from the dead.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// rapid asks a testing.T for its deadline, which has no meaning here.
		rapid.Check(struct{ rapid.TB }{t}, func(r *rapid.T) {
			stores := []*shaky{drawShaky(t, r, "old"), drawShaky(t, r, "new")}
			m := &moving{T: t, official: stores[0]}
			m.x = retain.New(retain.Options{Store: stores[0], BatchChanges: rapid.IntRange(1, 4).Draw(r, "batch")})
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- m.x.Run(ctx) }()
			var waits, moves sync.WaitGroup
			defer waits.Wait()
			defer moves.Wait()
			defer cancel() // also where a draw ends the run
			begin := rapid.IntRange(0, 20).Draw(r, "begin")
			back := begin + rapid.IntRange(1, 60).Draw(r, "back")
			for i := range rapid.IntRange(10, 80).Draw(r, "changes") {
				switch i {
				case begin:
					moves.Go(func() { m.move(stores[1]) })
				case back:
					moves.Wait()
					if m.official == stores[1] {
						moves.Go(func() { m.move(stores[0]) })
					}
				}
				m.change(r, &waits)
				time.Sleep(time.Duration(rapid.IntRange(0, 30).Draw(r, "pause")) * time.Millisecond)
				m.check("while it is changed")
			}
			moves.Wait()
			waits.Wait()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			m.check("in the end")
			if diff := cmp.Diff(inIndex(m.x), m.official.payloads()); diff != "" {
				t.Errorf("index (-) and store (+) differ:\n%s", diff)
			}
			if t.Failed() {
				r.FailNow()
			}
		})
	})
}

// TestMoveDropsWhatWasThere moves to a store that has what was deleted since.
func TestMoveDropsWhatWasThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, target := &fake{t: t}, &fake{t: t}
		target.apply([]retain.Change{{Op: retain.Put, Topic: "stale", Message: message("stale", "x"), Revision: 2}})
		x := retain.New(retain.Options{Store: old})
		stop := start(t, x)
		for i := range 2000 {
			set(t, x, fmt.Sprint("t/", i), "x")
		}
		if _, err := x.Move(t.Context(), target, retain.MoveOptions{}); err != nil {
			t.Fatal(err)
		}
		set(t, x, "after", "x")
		// What is not there is durable as it is, whatever revisions were used up.
		revision, existed, err := x.Delete("never")
		if existed || err != nil || x.Wait(t.Context(), revision) != nil {
			t.Errorf("Delete of nothing: %v", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(inIndex(x), target.payloads()); diff != "" {
			t.Errorf("index (-) and store (+) differ:\n%s", diff)
		}
		if _, found := old.payloads()["after"]; found {
			t.Error("the old store got what came after the move")
		}
	})
}

// TestMoveRefused holds each reason not to move against an index that goes on
// as before.
func TestMoveRefused(t *testing.T) {
	ahead := func(t *testing.T) *fake {
		f := &fake{t: t}
		f.apply([]retain.Change{{Op: retain.Put, Topic: "newer", Message: message("newer", "x"), Revision: 900}})
		return f
	}
	errCommit := errors.New("disk is full")
	for name, tt := range map[string]struct {
		target  func(t *testing.T) retain.Store
		options retain.MoveOptions
		want    error
		says    string
	}{
		"ahead": {func(t *testing.T) retain.Store { return ahead(t) }, retain.MoveOptions{}, retain.ErrAhead, "holds 1 messages and is at revision 900"},
		"away": {func(t *testing.T) retain.Store {
			return &fake{t: t, before: func(context.Context, int) error { return errAway }}
		}, retain.MoveOptions{}, errAway, "the new store failed"},
		"not readable": {func(t *testing.T) retain.Store { return &fake{t: t, loadErr: errAway} }, retain.MoveOptions{}, errAway, "look at the new store"},
		"small": {func(t *testing.T) retain.Store {
			l := &limited{fake: &fake{t: t}}
			l.bytes.Store(3)
			return l
		}, retain.MoveOptions{}, retain.ErrTooLarge, `topic "a" does not fit`},
		"not committed": {func(t *testing.T) retain.Store { return &fake{t: t} }, retain.MoveOptions{
			Commit: func(context.Context, uint64) error { return errCommit },
		}, errCommit, "disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := &fake{t: t}
				x := retain.New(retain.Options{Store: old})
				stop := start(t, x)
				set(t, x, "a", "123")
				_, err := x.Move(t.Context(), tt.target(t), tt.options)
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("Move: %v", err)
				}
				if err := x.Wait(t.Context(), set(t, x, "b", "1")); err != nil {
					t.Error(err)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(map[string]string{"a": "123", "b": "1"}, old.payloads()); diff != "" {
					t.Errorf("old store (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestMoveReplaces moves to a store that is ahead because it was asked to, and
// still changes count on above what that has seen.
func TestMoveReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, target := &fake{t: t}, &fake{t: t}
		target.apply([]retain.Change{{Op: retain.Put, Topic: "newer", Message: message("newer", "x"), Revision: 900}})
		x := retain.New(retain.Options{Store: old})
		stop := start(t, x)
		set(t, x, "a", "1")
		if _, err := x.Move(t.Context(), target, retain.MoveOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
		if revision := set(t, x, "b", "2"); revision <= 901 {
			t.Errorf("a change has revision %d", revision)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, target.payloads()); diff != "" {
			t.Errorf("new store (-want +got):\n%s", diff)
		}
	})
}

// TestMoveFromADeadStore moves away from a store that hangs: what waits for it
// is acknowledged once the new one has it.
func TestMoveFromADeadStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, target := &fake{t: t}, &fake{t: t}
		old.before = func(ctx context.Context, _ int) error {
			<-ctx.Done()
			return ctx.Err()
		}
		x := retain.New(retain.Options{Store: old})
		stop := start(t, x)
		revision := set(t, x, "a", "1")
		synctest.Wait()
		if _, err := x.Move(t.Context(), target, retain.MoveOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := x.Wait(t.Context(), revision); err != nil {
			t.Error(err)
		}
		if err := x.Wait(t.Context(), set(t, x, "b", "2")); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(map[string]string{"a": "1", "b": "2"}, target.payloads()); diff != "" {
			t.Errorf("new store (-want +got):\n%s", diff)
		}
	})
}
