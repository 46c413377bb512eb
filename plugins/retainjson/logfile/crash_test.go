package logfile

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// workload is a sequence of batches with compactions between, the same every
// time, and what each leaves behind.
type workload struct {
	steps  []step
	states []map[string]string // before step i; one more at the end
}

type step struct {
	changes []pluginapi.Change // nil: compact
}

func newWorkload(seed uint64) *workload {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &workload{}
	state := make(map[string]string)
	rev := uint64(0)
	for range 24 {
		w.states = append(w.states, maps.Clone(state))
		if r.IntN(5) == 0 {
			w.steps = append(w.steps, step{})
			continue
		}
		var batch []pluginapi.Change
		for range []int{1, 1, 2, 7}[r.IntN(4)] {
			rev++
			topic := fmt.Sprintf("t/%d", r.IntN(8))
			switch r.IntN(10) {
			case 0, 1:
				batch = append(batch, del(topic, rev))
				delete(state, topic)
			case 2:
				batch = append(batch, wipe(rev))
				clear(state)
			default:
				payload := fmt.Sprintf("%0*d", r.IntN(200), r.IntN(1000))
				batch = append(batch, put1(topic, payload, rev))
				state[topic] = fmt.Sprintf("%s@%d", payload, rev)
			}
		}
		w.steps = append(w.steps, step{changes: batch})
	}
	w.states = append(w.states, state)
	return w
}

// do makes one step; a change that failed comes again, as the broker sends it.
func (w *workload) do(t *testing.T, s *Store, i int) error {
	t.Helper()
	if w.steps[i].changes == nil {
		return s.Compact(t.Context())
	}
	_, err := s.Apply(t.Context(), w.steps[i].changes)
	return err
}

// run makes the steps until the disk stops, and returns how many were
// acknowledged.
func (w *workload) run(t *testing.T, d *disk) (acked int) {
	t.Helper()
	s, err := Open(t.Context(), onDisk(d))
	if err != nil {
		if !d.stopped {
			t.Fatalf("Open: %v", err)
		}
		return 0
	}
	for i := range w.steps {
		err := w.do(t, s, i)
		for try := 0; err != nil && !d.stopped && try < 3; try++ {
			wantContents(t, s, w.states[i])
			err = w.do(t, s, i)
		}
		if err != nil {
			if !d.stopped {
				t.Fatalf("step %d: %v", i, err)
			}
			return i
		}
	}
	if err := s.Close(); err != nil && !d.stopped {
		t.Fatalf("Close: %v", err)
	}
	return len(w.steps)
}

// countCalls returns how many calls that change something an undisturbed run
// makes.
func (w *workload) countCalls(t *testing.T) int {
	t.Helper()
	d := newDisk()
	if acked := w.run(t, d); acked != len(w.steps) {
		t.Fatalf("an undisturbed run ends after %d steps", acked)
	}
	return d.calls
}

func at(k int, f fault) func(int, string) fault {
	return func(call int, _ string) fault {
		if call == k {
			return f
		}
		return faultNone
	}
}

// verify opens what a crash left, and checks that everything acknowledged is
// there and that of the step under way there is all or nothing.
func (w *workload) verify(t *testing.T, d *disk, acked int) {
	t.Helper()
	s, err := Open(t.Context(), onDisk(d))
	if err != nil {
		t.Fatalf("Open after a crash: %v", err)
	}
	got := contents(t, s)
	next := min(acked+1, len(w.states)-1)
	if !maps.Equal(w.states[acked], got) && !maps.Equal(w.states[next], got) {
		t.Fatalf("after %d acknowledged steps (-want +got):\n%s", acked, cmp.Diff(w.states[acked], got))
	}
	if err := s.Problems(); err != nil {
		t.Errorf("a crash is taken for damage: %v", err)
	}
	if _, err := s.Apply(t.Context(), []pluginapi.Change{put1("after", "x", 1<<40)}); err != nil {
		t.Errorf("Apply after a crash: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// TestCrashAtEveryCall stops the machine at each call in turn, in the middle
// of the call and right after it, once by killing the process and several
// times by cutting the power.
func TestCrashAtEveryCall(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorkload(seed)
		n := w.countCalls(t)
		for k := 1; k <= n; k++ {
			for _, f := range []fault{faultCrash, faultCrashed} {
				d := newDisk()
				d.fault = at(k, f)
				acked := w.run(t, d)
				name := fmt.Sprintf("seed %d call %d %s", seed, k, f)
				t.Run(name+" kill", func(t *testing.T) { w.verify(t, d.killed(), acked) })
				for cut := range uint64(6) {
					t.Run(fmt.Sprintf("%s power %d", name, cut), func(t *testing.T) {
						w.verify(t, d.unplugged(rand.New(rand.NewPCG(seed, cut))), acked)
					})
				}
			}
		}
	}
}

// TestCrashDuringRecovery stops the machine again at each call of the start
// after a crash.
func TestCrashDuringRecovery(t *testing.T) {
	w := newWorkload(7)
	n := w.countCalls(t)
	for k := 1; k <= n; k++ {
		first := newDisk()
		first.fault = at(k, faultCrash)
		acked := w.run(t, first)
		for again := 1; ; again++ {
			r := rand.New(rand.NewPCG(uint64(k), uint64(again)))
			d := first.unplugged(r)
			d.fault = at(again, faultCrash)
			s, err := Open(t.Context(), onDisk(d))
			if err == nil {
				if err := s.Close(); err != nil && !d.stopped {
					t.Fatal(err)
				}
			}
			if !d.stopped {
				break
			}
			w.verify(t, d.unplugged(r), acked)
		}
	}
}

// TestErrorAtEveryCall makes each call fail once. The change comes again and
// must get through; then the power is cut.
func TestErrorAtEveryCall(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorkload(seed)
		n := w.countCalls(t)
		for k := 1; k <= n; k++ {
			for _, f := range []fault{faultError, faultHalf} {
				t.Run(fmt.Sprintf("seed %d call %d %s", seed, k, f), func(t *testing.T) {
					d := newDisk()
					d.fault = at(k, f)
					s, err := Open(t.Context(), onDisk(d))
					if err != nil {
						if s, err = Open(t.Context(), onDisk(d)); err != nil {
							t.Fatalf("second Open: %v", err)
						}
					}
					for i := range w.steps {
						if err := w.do(t, s, i); err != nil {
							wantContents(t, s, w.states[i])
							if err := w.do(t, s, i); err != nil {
								t.Fatalf("step %d fails twice: %v", i, err)
							}
						}
						wantContents(t, s, w.states[i+1])
					}
					for cut := range uint64(4) {
						w.verify(t, d.unplugged(rand.New(rand.NewPCG(seed, cut))), len(w.steps))
					}
				})
			}
		}
	}
}

// TestBrokenDiskAcknowledgesNothing makes all calls of one kind fail from the
// k-th call on, for a while: what is acknowledged meanwhile must be there.
func TestBrokenDiskAcknowledgesNothing(t *testing.T) {
	for _, f := range []fault{faultError, faultHalf} {
		for _, kind := range []string{"sync", "sync folder", "write", "truncate", "open", "rename"} {
			for k := 6; k < 40; k += 3 {
				t.Run(fmt.Sprintf("%s %s from %d", f, kind, k), func(t *testing.T) { brokenDisk(t, f, kind, k) })
			}
		}
	}
}

func brokenDisk(t *testing.T, f fault, kind string, from int) {
	w := newWorkload(11)
	d := newDisk()
	d.fault = func(call int, op string) fault {
		if call >= from && call < from+30 && len(op) >= len(kind) && op[:len(kind)] == kind {
			return f
		}
		return faultNone
	}
	s, err := Open(t.Context(), onDisk(d))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(from), 5))
	for i := range w.steps {
		for w.do(t, s, i) != nil {
			if w.steps[i].changes == nil {
				break // compaction is no promise
			}
			if d.calls > 500 {
				t.Fatal("the store does not recover")
			}
			if s.Problems() == nil {
				t.Error("a store that cannot write says that all is well")
			}
			w.verify(t, d.unplugged(r), i)
		}
		w.verify(t, d.unplugged(r), i+1)
	}
}

func TestDiskFull(t *testing.T) {
	d := newDisk()
	s := mustOpen(t, onDisk(d))
	mustApply(t, s, put1("a", "1", 1))
	size := len(d.names[testPath].data)
	d.fault = func(_ int, op string) fault {
		if op == "write retained.jsonl" {
			return faultHalf
		}
		return faultNone
	}
	for range 3 {
		if _, err := s.Apply(t.Context(), []pluginapi.Change{put1("b", "2", 2)}); !errors.Is(err, errDisk) {
			t.Fatalf("Apply on a full disk: %v", err)
		}
		if got := len(d.names[testPath].data); got != size {
			t.Errorf("the file has %d bytes after a failed write, want %d", got, size)
		}
	}
	if s.Problems() == nil {
		t.Error("no problem reported")
	}
	d.fault = nil
	mustApply(t, s, put1("b", "2", 2))
	if err := s.Problems(); err != nil {
		t.Errorf("Problems once there is room: %v", err)
	}
	wantContents(t, mustOpen(t, onDisk(d.killed())), map[string]string{"a": "1@1", "b": "2@2"})
}
