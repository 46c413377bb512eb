//go:build unix

package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// fakeWorker is a plugin without a process.
type fakeWorker struct {
	in    *instance
	pid   int
	calls chan string // what the supervisor did with it
}

func (w *fakeWorker) facts() facts          { return facts{instance: w.in, pid: w.pid} }
func (w *fakeWorker) expose()               {}
func (w *fakeWorker) drain(context.Context) { w.calls <- "drain" }
func (w *fakeWorker) stop(context.Context)  { w.calls <- "stop" }
func (w *fakeWorker) autopsy() *Failure {
	w.calls <- "autopsy"
	var f *Failure
	if !errors.As(w.in.err(), &f) {
		f = &Failure{Kind: KindUntrusted, What: w.in.err().Error()}
	}
	return f
}

// health is the outcome of a health check.
type health struct {
	limitation string
	err        error
}

// nursery launches fake workers as a test tells it.
type nursery struct {
	*supervisor
	born      []time.Time
	births    atomic.Int64 // len(born), for a test that looks at any time
	failing   *Failure     // if set, launches fail with it
	worker    *fakeWorker
	health    atomic.Pointer[health]   // what health checks find; nil: all is well
	sick      atomic.Pointer[instance] // fails its health checks
	init      pluginv1.InitResponse    // what they answer, but for the version: the first is 1
	pid       int
	gestation time.Duration // of a launch
	end       context.CancelFunc
	over      chan struct{}
}

// newNursery makes a supervisor with a fake launcher, for use in a bubble. The
// plugin's file is real and can be changed.
func newNursery(t *testing.T, c Config) *nursery {
	t.Helper()
	dir := t.TempDir()
	linkSelf(t, filepath.Join(dir, "chaos"))
	writeManifest(t, dir, chaosManifest("chaos", "run"))
	real, err := filepath.EvalSymlinks(dir)
	must(t, err)
	c.Name = "auth"
	l := &launcher{now: time.Now, timing: defaultTiming}
	n := &nursery{over: make(chan struct{}), pid: 1}
	n.init.Services = hookServices[:1]
	n.supervisor = newSupervisor(found{Config: c, place: place{root: real, folder: real}, named: true}, l,
		slog.New(slog.DiscardHandler), func() {}, func(context.Context) {})
	n.fit = func(context.Context, *grpc.ClientConn) error { return nil }
	n.retry.random = func(d time.Duration) time.Duration { return d - 1 }
	n.launch = n.bear
	n.supervisor.health = func(_ context.Context, conn *grpc.ClientConn) (string, error) {
		if sick := n.sick.Load(); sick != nil && sick.conn == conn {
			return "", errors.New("no answer")
		}
		if h := n.health.Load(); h != nil {
			return h.limitation, h.err
		}
		return "", nil
	}
	return n
}

func (n *nursery) bear(context.Context, *start) (worker, *Failure) {
	n.born = append(n.born, time.Now())
	n.births.Add(1)
	if n.failing != nil {
		return nil, n.failing
	}
	time.Sleep(n.gestation)
	init := proto.CloneOf(&n.init)
	init.Version = strconv.Itoa(len(n.born))
	n.worker = &fakeWorker{
		// A connection of its own, which nobody uses.
		in:    newInstance(uint64(len(n.born)), new(grpc.ClientConn), init),
		pid:   n.pid,
		calls: make(chan string, 8),
	}
	return n.worker, nil
}

func (n *nursery) begin() {
	life, end := context.WithCancel(context.Background())
	n.end = end
	go func() {
		defer close(n.over)
		n.run(life, context.Background())
	}()
	synctest.Wait()
}

func (n *nursery) finish() {
	n.end()
	<-n.over
}

// crash ends the worker of the moment.
func (n *nursery) crash() {
	n.worker.in.fail(&Failure{Kind: KindExited, What: "it exited"})
	synctest.Wait()
}

func (n *nursery) expect(t *testing.T, state State) Status {
	t.Helper()
	synctest.Wait()
	var s Status
	n.read(&s)
	if s.State != state {
		t.Fatalf("state is %v, want %v", s.State, state)
	}
	return s
}

func TestSupervisorRestartsWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{MaxFailures: -1})
		n.begin()
		for _, want := range []time.Duration{250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000} {
			n.expect(t, Ready)
			n.crash()
			crashed := time.Now()
			s := n.expect(t, Backoff)
			if got := s.NextStart.Sub(crashed); got != want*time.Millisecond {
				t.Errorf("pause is %v, want %v ms", got, int64(want))
			}
			if _, err := n.slot.current(); !errors.Is(err, hook.ErrUnavailable) {
				t.Errorf("a call meanwhile: %v", err)
			}
			time.Sleep(want * time.Millisecond)
		}
		// Ready for a minute: pauses are short again.
		n.expect(t, Ready)
		time.Sleep(time.Minute)
		n.crash()
		if s := n.expect(t, Backoff); time.Until(s.NextStart) != 250*time.Millisecond || s.Restarts != 9 {
			t.Errorf("next start in %v, restart %d", time.Until(s.NextStart), s.Restarts)
		}
		n.finish()
		n.expect(t, Stopped)
	})
}

func TestSupervisorGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		for range 4 {
			n.expect(t, Ready)
			n.crash()
			n.expect(t, Backoff)
			time.Sleep(2 * time.Second)
		}
		n.expect(t, Ready)
		n.crash()
		s := n.expect(t, Failed)
		if len(s.Failures) != 5 || s.Health != "it exited" {
			t.Errorf("status is %+v", s)
		}
		// Nobody waits for a plugin that will not come.
		if err := n.slot.WaitReady(t.Context()); !errors.Is(err, hook.ErrUnavailable) {
			t.Errorf("WaitReady: %v", err)
		}
		time.Sleep(11 * time.Minute) // longer than failures are counted
		if s := n.expect(t, Failed); s.Restarts != 4 {
			t.Errorf("%d restarts", s.Restarts)
		}
		// A new file: it is worth another try, with a clean record.
		must(t, os.WriteFile(filepath.Join(n.place.folder, "rules.txt"), nil, 0o600))
		time.Sleep(time.Second)
		n.expect(t, Ready)
		n.crash()
		if s := n.expect(t, Backoff); time.Until(s.NextStart) != 250*time.Millisecond {
			t.Errorf("next start in %v", time.Until(s.NextStart))
		}
		n.finish()
	})
}

// Failures that are far apart don't add up.
func TestSupervisorForgetsOldFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		for range 20 {
			n.expect(t, Ready)
			time.Sleep(3 * time.Minute)
			n.crash()
			n.expect(t, Backoff)
			time.Sleep(time.Second)
		}
		n.finish()
	})
}

func TestSupervisorDoesNotRepeatWhatCannotSucceed(t *testing.T) {
	for _, kind := range []FailureKind{KindRefused, KindUnrunnable, KindIncompatible, KindIncomplete} {
		synctest.Test(t, func(t *testing.T) {
			n := newNursery(t, Config{})
			n.failing = &Failure{Plugin: "auth", Kind: kind, What: "it can't"}
			n.begin()
			n.expect(t, Failed)
			<-n.settled
			n.finish()
		})
	}
}

func TestSupervisorEndsWhatMissesItsHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		n.expect(t, Ready)
		n.health.Store(&health{err: errors.New("no answer")})
		time.Sleep(10*time.Second + time.Millisecond) // two checks
		n.expect(t, Ready)
		n.health.Store(nil)
		time.Sleep(5 * time.Second)
		n.health.Store(&health{err: errors.New("no answer")})
		first := n.worker
		time.Sleep(15*time.Second + time.Millisecond) // three in a row
		n.expect(t, Backoff)
		n.health.Store(nil)
		time.Sleep(time.Second)
		s := n.expect(t, Ready)
		if n.worker == first || s.Failures[0].Kind != KindUnhealthy || <-first.calls != "autopsy" {
			t.Errorf("failures are %+v", s.Failures)
		}
		n.finish()
	})
}

func TestSupervisorTellsOfHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.health.Store(&health{limitation: "users file is old"})
		n.begin()
		if s := n.expect(t, Degraded); s.Health != "users file is old" {
			t.Errorf("health is %q", s.Health)
		}
		if _, err := n.slot.current(); err != nil {
			t.Errorf("a degraded plugin is not called: %v", err)
		}
		n.health.Store(nil)
		time.Sleep(6 * time.Second)
		if s := n.expect(t, Ready); s.Health != "" {
			t.Errorf("health is %q", s.Health)
		}
		n.finish()
	})
}

func TestSupervisorStopsGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		n.expect(t, Ready)
		w := n.worker
		n.finish()
		close(w.calls)
		var calls []string
		for c := range w.calls {
			calls = append(calls, c)
		}
		if !slices.Equal(calls, []string{"drain", "stop"}) {
			t.Errorf("it did %q", calls)
		}
		if err := n.slot.WaitReady(t.Context()); !errors.Is(err, hook.ErrUnavailable) {
			t.Errorf("WaitReady: %v", err)
		}
	})
}

// A facade that trusts a plugin's answers no more ends the instance.
func TestSupervisorReplacesWhatIsNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{})
		n.begin()
		n.expect(t, Ready)
		n.worker.in.fail(errors.New("it answers nonsense"))
		n.expect(t, Backoff)
		waited := make(chan error, 1)
		go func() { waited <- n.slot.WaitReady(context.Background()) }()
		time.Sleep(time.Second)
		n.expect(t, Ready)
		if err := <-waited; err != nil {
			t.Errorf("WaitReady: %v", err)
		}
		n.finish()
	})
}

// While the host starts, a required plugin that crashes gets a few tries; any
// other failure is the answer at once.
func TestSupervisorSettles(t *testing.T) {
	tests := []struct {
		name   string
		kind   FailureKind
		needed bool
		tries  int
	}{
		{"required, crashes", KindExited, true, crashesAtStart},
		{"optional, crashes", KindExited, false, 1},
		{"required, hangs", KindHung, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNursery(t, Config{Required: &tt.needed})
				n.failing = &Failure{Plugin: "auth", Kind: tt.kind, What: "it failed"}
				n.begin()
				<-n.settled
				if len(n.born) != tt.tries {
					t.Errorf("settled after %d tries, want %d", len(n.born), tt.tries)
				}
				n.finish()
			})
		})
	}
}
