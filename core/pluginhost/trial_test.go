//go:build unix

package pluginhost

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// change touches the plugin's files and waits until a new instance is there.
func (n *nursery) change(t *testing.T) (next *fakeWorker) {
	t.Helper()
	before := n.births.Load()
	text := []byte(time.Now().String())
	must(t, os.WriteFile(filepath.Join(n.place.folder, "rules.txt"), text, 0o600))
	time.Sleep(3 * n.timing.watch)
	synctest.Wait()
	if n.births.Load() != before+1 {
		t.Fatalf("%d instances were started", n.births.Load()-before)
	}
	return n.worker
}

// order gives an order and waits for its end.
func (n *nursery) order(t *testing.T, entry *found) error {
	t.Helper()
	err := n.do(t.Context(), entry)
	synctest.Wait()
	return err
}

// current is the instance that is asked.
func (n *nursery) current(t *testing.T) *instance {
	t.Helper()
	synctest.Wait()
	in, err := n.slot.current()
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// did is what was done with a worker so far.
func (w *fakeWorker) did() string {
	synctest.Wait()
	var list []string
	for {
		select {
		case c := <-w.calls:
			list = append(list, c)
		default:
			return strings.Join(list, " ")
		}
	}
}

// inTrial runs f with a plugin whose second version has just taken over.
func inTrial(t *testing.T, c Config, f func(t *testing.T, n *nursery, first, second *fakeWorker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, c)
		n.begin()
		n.expect(t, Ready)
		first := n.worker
		second := n.change(t)
		f(t, n, first, second)
		n.finish()
		n.expect(t, Stopped)
		if err := n.slot.WaitReady(t.Context()); err == nil {
			t.Error("something is left in the slot")
		}
	})
}

func TestTrialIsPassed(t *testing.T) {
	inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
		s := n.expect(t, Ready)
		if n.current(t) != second.in || s.StandbyPID != 1 || s.StandbyVersion != "1" || time.Until(s.ProvenAt) <= 0 || s.LeavingPID != 0 {
			t.Errorf("status is %+v", s)
		}
		if got := first.did(); got != "" {
			t.Errorf("the old one: %s", got)
		}
		time.Sleep(n.timing.probation)
		if got := first.did(); got != "drain stop" {
			t.Errorf("the old one: %s", got)
		}
		if s := n.expect(t, Ready); s.StandbyPID != 0 || !s.ProvenAt.IsZero() || s.Swaps != 1 {
			t.Errorf("status is %+v", s)
		}
		// From now on a defect is one among many.
		second.in.offend(errors.New("it answers nonsense"))
		if n.current(t) != second.in {
			t.Error("it was ended")
		}
	})
}

// Whatever a new version does wrong while it is on trial, the old one is back at
// once, the reason can be read, and the same files are not tried again.
func TestVersionIsRejected(t *testing.T) {
	defects := map[string]struct {
		show func(n *nursery, bad *instance)
		want string
	}{
		"nonsense": {func(_ *nursery, bad *instance) { bad.offend(errors.New("no answer to call 3")) }, "no answer to call 3"},
		"exit": {func(_ *nursery, bad *instance) {
			bad.fail(&Failure{Kind: KindExited, What: "it exited with status 2"})
		}, "it exited with status 2"},
		"undeclared change": {func(_ *nursery, bad *instance) {
			(&binding{in: bad}).Overstepped(1)
		}, "it changed what it has not declared: topic"},
		"health": {func(n *nursery, bad *instance) {
			n.sick.Store(bad)
			time.Sleep(n.timing.healthEvery)
		}, "it missed a health check"},
	}
	for name, d := range defects {
		t.Run(name, func(t *testing.T) {
			inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
				d.show(n, second.in)
				if n.current(t) != first.in {
					t.Fatal("the old one is not back")
				}
				s := n.expect(t, Ready)
				if s.RejectedVersion != "2" || s.Version != "1" || s.SwapFailure == nil || s.StandbyPID != 0 || s.Restarts != 0 ||
					!strings.Contains(s.SwapFailure.What, "its new version 2 was rejected and the one before it is back: "+d.want) {
					t.Errorf("status is %+v, %v", s, s.SwapFailure)
				}
				if got := second.did(); got != "autopsy" {
					t.Errorf("the bad one: %s", got)
				}
				time.Sleep(time.Minute)
				if n.births.Load() != 2 || n.current(t) != first.in || first.did() != "" {
					t.Error("it was tried again")
				}
				third := n.change(t)
				if s := n.expect(t, Ready); n.current(t) != third.in || s.RejectedVersion != "" || s.SwapFailure != nil {
					t.Errorf("status is %+v", s)
				}
			})
		})
	}
}

// Versions that follow each other faster than they can prove themselves: the
// last one that did stands by.
func TestTrialWhileVersionsChange(t *testing.T) {
	inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
		third := n.change(t)
		if n.current(t) != third.in || first.did() != "" || second.did() != "drain stop" {
			t.Error("the second did not make room for the third, beside the first")
		}
		third.in.offend(errors.New("it answers nonsense"))
		if n.current(t) != first.in {
			t.Error("the first is not back")
		}
		if err := n.order(t, nil); err != nil { // somebody asks for it
			t.Error(err)
		}
		if fourth := n.worker; n.current(t) != fourth.in || third.did() != "autopsy" {
			t.Error("it was not tried again")
		}
	})
}

// A defect comes while the next version starts: the old one serves meanwhile.
func TestRejectedWhileAnotherStarts(t *testing.T) {
	inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
		n.gestation = 5 * time.Second
		asked := make(chan error, 1)
		go func() { asked <- n.do(t.Context(), nil) }()
		synctest.Wait()
		second.in.offend(errors.New("it answers nonsense"))
		if n.current(t) != first.in {
			t.Error("the first is not back")
		}
		if err := <-asked; err != nil {
			t.Error(err)
		}
		if s := n.expect(t, Ready); n.current(t) != n.worker.in || n.worker == second || s.StandbyVersion != "1" {
			t.Errorf("status is %+v", s)
		}
	})
}

// Without anybody to come back, a new version is like any.
func TestReserveIsLost(t *testing.T) {
	lose := map[string]func(n *nursery, first *instance){
		"exit":   func(_ *nursery, first *instance) { first.fail(&Failure{Kind: KindExited, What: "it exited"}) },
		"health": func(n *nursery, first *instance) { n.sick.Store(first); time.Sleep(n.timing.healthEvery) },
	}
	for name, lose := range lose {
		t.Run(name, func(t *testing.T) {
			inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
				lose(n, first.in)
				if s := n.expect(t, Ready); s.StandbyPID != 0 || n.current(t) != second.in || s.LeavingPID != 0 {
					t.Errorf("status is %+v", s)
				}
				second.in.offend(errors.New("it answers nonsense"))
				if n.current(t) != second.in {
					t.Error("the new one was ended")
				}
			})
		})
	}
}

// An entry whose instance is rejected is not in force, and the same entry is
// turned down until something changes. What it says of the broker's side holds.
func TestEntryIsRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNursery(t, Config{Env: map[string]string{"COLOUR": "red"}})
		n.begin()
		n.expect(t, Ready)
		first := n.worker
		next := n.settings()
		next.Env, next.Order = map[string]string{"COLOUR": "blue"}, 7
		must(t, n.order(t, &next))
		n.worker.in.offend(errors.New("it answers nonsense"))
		if n.current(t) != first.in {
			t.Error("the first is not back")
		}
		if now := n.settings(); now.Env["COLOUR"] != "red" || now.Order != 7 {
			t.Errorf("in force is %+v", now)
		}
		next.Order = 8
		if err := n.order(t, &next); err == nil || !strings.Contains(err.Error(), "it answers nonsense") {
			t.Errorf("the same entry again: %v", err)
		}
		if now := n.settings(); n.births.Load() != 2 || now.Order != 8 {
			t.Errorf("in force is %+v", now)
		}
		next.Env = map[string]string{"COLOUR": "green"}
		must(t, n.order(t, &next))
		if now := n.settings(); n.births.Load() != 3 || now.Env["COLOUR"] != "green" {
			t.Errorf("in force is %+v", now)
		}
		n.finish()
	})
}

// A store, an exclusive plugin, one that somebody else runs, and one that is
// configured so have nobody stand by.
func TestNobodyStandsBy(t *testing.T) {
	tests := map[string]func(n *nursery){
		"store":      func(n *nursery) { n.init.Services = hookServices },
		"exclusive":  func(n *nursery) { n.init.Capabilities = &pluginv1.Capabilities{Exclusive: true} },
		"attached":   func(n *nursery) { n.pid = 0 },
		"configured": func(n *nursery) { n.Probation = -1 },
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNursery(t, Config{})
				edit(n)
				n.begin()
				n.expect(t, Ready)
				first := n.worker
				second := n.change(t)
				if s := n.expect(t, Ready); s.StandbyPID != 0 || n.current(t) != second.in || first.did() != "drain stop" {
					t.Errorf("status is %+v", s)
				}
				second.in.offend(errors.New("it answers nonsense"))
				if n.current(t) != second.in {
					t.Error("it was ended")
				}
				n.finish()
			})
		})
	}
}

// A new version that may not run beside any other waits for all of them to go.
func TestExclusiveVersionEndsATrial(t *testing.T) {
	inTrial(t, Config{}, func(t *testing.T, n *nursery, first, second *fakeWorker) {
		m := chaosManifest("chaos", "run", "single")
		must(t, storeManifest(n.place.folder, m))
		third := n.change(t)
		if n.current(t) != third.in || first.did() != "drain stop" || second.did() != "drain stop" {
			t.Error("somebody is left beside it")
		}
	})
}
