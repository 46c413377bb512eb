package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// tenure is the time in which a plugin serves: one instance, or several that
// follow each other without a gap. It belongs to the supervisor's goroutine.
type tenure struct {
	*supervisor
	w      worker
	since  time.Time // when w took over
	missed int       // health checks in a row

	ruin    *Failure      // why no instance is left; nil while there is one
	heir    *succession   // nil unless a new instance is being started
	reserve *reserve      // stands by while w is on trial; nil if nobody does
	spurned *rejection    // nil unless another entry is in force than was ordered
	leaving chan struct{} // closed when all that were replaced and don't stand by are gone; nil if they are
	seen    looks         // the last, at the plugin's own files and the lock file
}

// tend watches an instance and those that follow it. It returns nil after it has
// taken the last one down because life ended; otherwise why the last one ended
// and for how long it was ready.
func (s *supervisor) tend(life, halt context.Context, w worker) (*Failure, time.Duration) {
	t := &tenure{supervisor: s, w: w, since: s.now(), seen: looks{own: s.tried.own, lock: s.tried.lock}}
	check := time.NewTicker(s.timing.healthEvery)
	defer check.Stop()
	look := time.NewTicker(s.timing.watch)
	defer look.Stop()
	t.check(life)
	for life.Err() == nil {
		select {
		case <-life.Done():
		case <-t.w.facts().instance.done:
			t.lost(life, halt)
		case <-t.reserveLost():
			t.letGo(life, halt)
		case <-t.provenAt():
			t.proven(life, halt)
		case <-check.C:
			t.check(life)
			t.checkReserve(life, halt)
		case <-look.C:
			t.lookAtFiles(life)
		case o := <-t.nextOrder():
			if !t.spurns(o) {
				t.obey(life, o)
			}
		case w := <-t.w.facts().instance.wishes:
			t.grant(life, w)
		case c := <-t.arrival():
			t.arrived(life, halt, c)
		case <-t.leaving:
			t.leaving = nil
		}
		if t.ruin != nil {
			t.leave()
			return t.ruin, s.now().Sub(t.since)
		}
	}
	t.giveUpHeir(halt)
	t.letGo(life, halt)
	s.takeDown(life, halt, t.w)
	t.leave()
	return nil, 0
}

// leave waits until the instance before the last one is gone.
func (t *tenure) leave() {
	if t.leaving != nil {
		<-t.leaving
	}
}

// nextOrder is where orders come from: nowhere while one is being followed.
func (t *tenure) nextOrder() <-chan order {
	if t.heir != nil || t.leaving != nil {
		return nil
	}
	return t.orders
}

// check makes one health check and ends an instance that missed too many.
func (t *tenure) check(life context.Context) {
	in := t.w.facts().instance
	err := t.examine(life, in)
	switch {
	case life.Err() != nil || in.err() != nil:
		return
	case err == nil:
		t.missed = 0
		return
	}
	t.missed++
	if in.trial.backed() {
		in.offend(&Failure{
			Plugin: t.Name, Kind: KindUnhealthy, Time: t.now(),
			What: fmt.Sprintf("it missed a health check (%s)", rpcError(err)),
		})
		return
	}
	t.log.Warn("plugin missed a health check", slog.Int("missed", t.missed), slog.String("error", rpcError(err)))
	fs := t.w.facts()
	if t.missed >= t.patience(&fs) {
		if fs.guest != "" {
			t.shunned = fs.guest
		}
		in.fail(&Failure{
			Plugin: t.Name, Kind: KindUnhealthy, Time: t.now(),
			What: fmt.Sprintf("it missed %d health checks in a row (%s)", t.missed, rpcError(err)),
			Do:   "look at its log for what it was doing",
		})
	}
}

// examine asks an instance for its health.
func (s *supervisor) examine(ctx context.Context, in *instance) error {
	ctx, cancel := context.WithTimeout(ctx, s.timing.healthLimit)
	defer cancel()
	// One that has ended meanwhile is not waited for.
	go func() {
		select {
		case <-in.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	limitation, err := s.health(ctx, in.conn)
	if err != nil {
		return err
	}
	if s.feels(limitation) {
		if limitation != "" {
			s.log.Warn("plugin is degraded", slog.String("health", limitation))
		} else {
			s.log.Info("plugin is well again")
		}
	}
	return nil
}

// lookAtFiles begins to replace the instance once its files have changed and
// stayed the same for one more look: a file that is being written is not
// started.
func (t *tenure) lookAtFiles(life context.Context) {
	before := t.seen
	t.seen = looks{own: t.ownFiles(), lock: t.lock()}
	changed := t.seen.own != t.tried.own || t.refusedByLock() && t.seen.lock != t.tried.lock
	if !changed || t.seen != before || t.heir != nil || t.leaving != nil {
		return
	}
	if err := t.gone(); err != nil {
		t.tried.own = t.seen.own
		t.log.Warn("files of plugin are gone, it goes on until it is stopped", slog.Any("error", err))
		return
	}
	t.log.Info("files of plugin changed")
	t.begin(life, t.verifier.found, nil)
}

// obey follows an order, or begins to.
func (t *tenure) obey(life context.Context, o order) {
	if o.entry == nil {
		t.begin(life, t.verifier.found, o.done)
		return
	}
	how := compare(t.verifier.found, *o.entry)
	if how == changesPolicy {
		t.adopt(*o.entry)
		o.done <- nil
		return
	}
	if how == changesConfig {
		err := t.reconfigure(life, t.w.facts().instance, o.entry)
		if !errors.Is(err, errRestart) {
			t.note(err)
			o.done <- err
			return
		}
	}
	t.begin(life, *o.entry, o.done)
}

// note writes down whether the instance took its new configuration.
func (t *tenure) note(err error) {
	var f *Failure
	if errors.As(err, &f) {
		t.log.Error("new configuration of plugin is refused, it goes on with the old one", slog.String("cause", f.What))
	}
	t.turnedDown(f)
}

// lost is what to do when the instance ended by itself, or was ended because of
// a defect: another one may stand by, or be about to take over.
func (t *tenure) lost(life, halt context.Context) {
	in := t.w.facts().instance
	if t.reserve != nil {
		if t.reserve.facts().instance.err() == nil && t.reinstate(life) {
			t.check(life)
			return
		}
		t.letGo(life, halt)
	}
	// Callers must not wait for the autopsy.
	t.slot.vacate(in, in.err())
	f := t.w.autopsy()
	if t.heir == nil {
		t.ruin = f
		return
	}
	t.log.Warn("plugin failed while its new instance starts", slog.String("cause", f.What))
	select {
	case c := <-t.heir.arrived:
		t.arrived(life, halt, c)
	case <-life.Done():
	}
	switch {
	case t.heir != nil: // life ended
		t.giveUpHeir(halt)
		t.ruin = f
	case t.ruin != nil:
	case t.w.facts().instance == in: // the heir is no good either
		t.ruin = f
	default:
		t.survived(f)
	}
}
