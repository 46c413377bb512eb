package pluginhost

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// reserve is an instance that was replaced and stands by: it answers what it
// had, gets nothing new, and comes back if its successor is no good.
type reserve struct {
	worker
	verifier verifier
	manifest *pluginapi.Manifest
	interest []*pluginv1.HookInterest
	out      *output
	ends     <-chan time.Time // when its successor has proven itself
}

// rejection is a new version that lost its place, and with it an entry that is
// not in force although it was ordered.
type rejection struct {
	entry   found
	own     fingerprint
	failure *Failure
}

// probation is for how long a new instance is on trial; zero means not at all.
func (t *tenure) probation() time.Duration {
	switch p := t.Probation; {
	case p < 0:
		return 0
	case p > 0:
		return p
	default:
		return t.timing.probation
	}
}

// triable reports whether an instance may stand by for the candidate. A store
// is not: what it holds in memory is soon not what the new one has written. Of a
// plugin that somebody else runs there is one process, not two.
func (t *tenure) triable(c *candidate) bool {
	return t.probation() > 0 && t.w.facts().pid != 0 && c.worker.facts().pid != 0 &&
		!keepsMessages(t.w.facts().instance) && !keepsMessages(c.worker.facts().instance)
}

func keepsMessages(in *instance) bool {
	return servedBy(in.init.GetServices()).store
}

// asReserve is the instance of the moment with what it takes to bring it back.
func (t *tenure) asReserve() *reserve {
	return &reserve{
		worker: t.w, verifier: *t.verifier, manifest: t.latestManifest(), interest: t.latestInterest(), out: t.output(),
	}
}

// standBy makes an instance, whose place a candidate has just taken, the
// reserve. If there is one already, that stays, because it has proven itself and
// the other has not: then it returns the other, which has to go. For a guest it
// stands by until that is gone.
func (t *tenure) standBy(r *reserve, guest bool) (goes worker) {
	if t.reserve != nil {
		r.facts().instance.trial.pass()
		goes = r.worker
	} else {
		t.reserve = r
		t.slot.retire(r.facts().instance, awaited, errReplaced)
	}
	fs := t.reserve.facts()
	if guest {
		t.reserve.ends = nil
		t.standsBy(&fs, time.Time{})
		return goes
	}
	t.reserve.ends = time.After(t.probation())
	t.standsBy(&fs, t.now().Add(t.probation()))
	return goes
}

// provenAt is when the instance of the moment has proven itself.
func (t *tenure) provenAt() <-chan time.Time {
	if t.reserve == nil {
		return nil
	}
	return t.reserve.ends
}

// reserveLost is closed when nobody stands by any more, though somebody should.
func (t *tenure) reserveLost() <-chan struct{} {
	if t.reserve == nil {
		return nil
	}
	return t.reserve.facts().instance.done
}

// proven ends the trial of the instance of the moment.
func (t *tenure) proven(life, halt context.Context) {
	if t.w.facts().instance.trial.pass() {
		t.letGo(life, halt)
		t.log.Info("new instance of plugin has proven itself")
	}
}

// letGo does without a reserve from now on.
func (t *tenure) letGo(life, halt context.Context) {
	if t.reserve == nil {
		return
	}
	r := t.reserve
	t.reserve = nil
	t.standsBy(nil, time.Time{})
	t.w.facts().instance.trial.pass()
	t.dismiss(life, halt, r.worker)
}

// checkReserve makes sure that the reserve is of use.
func (t *tenure) checkReserve(life, halt context.Context) {
	if t.reserve == nil {
		return
	}
	ctx, cancel := context.WithTimeout(life, t.timing.healthLimit)
	defer cancel()
	if _, err := t.health(ctx, t.reserve.facts().instance.conn); err != nil && life.Err() == nil {
		t.log.Warn("replaced instance of plugin missed a health check and stands by no more", slog.String("error", rpcError(err)))
		t.letGo(life, halt)
	}
}

// reinstate puts the reserve back into the place of an instance that has ended
// or showed a defect, and reports whether it could. New calls, and those that
// the bad one was not given yet, go to the reserve at once.
func (t *tenure) reinstate(life context.Context) bool {
	r, bad := t.reserve, t.w
	back, gone := r.facts(), bad.facts()
	if err := t.slot.occupy(back.instance, r.interest); err != nil {
		return false
	}
	t.slot.vacate(gone.instance, errRejected)
	t.reserve, t.w, t.since, t.missed = nil, r.worker, t.now(), 0
	t.standsBy(nil, time.Time{})
	spurned := t.found
	*t.verifier = r.verifier
	t.adopt(t.found.underPolicyOf(spurned))
	t.learn(r.manifest)
	t.writes(r.out)
	r.expose()
	t.ready(back)
	t.listens(r.interest)
	t.publish(life)
	t.releaseOlder(back.instance)
	if gone.guest != "" {
		t.leftBy(bad, &back)
		return true
	}

	f := *bad.autopsy()
	f.What = fmt.Sprintf("its new version %s was rejected and the one before it is back: %s", gone.instance.init.GetVersion(), f.What)
	f.Do = "it is tried again when its files or its configuration change"
	t.survived(&f)
	t.rejects(&f, gone.instance.init.GetVersion())
	if compare(t.found, spurned) != changesPolicy {
		t.spurned = &rejection{entry: spurned, own: t.tried.own, failure: &f}
	}
	t.log.Error("new instance of plugin is rejected, the old one is back", slog.Int("pid", back.pid),
		slog.Int("rejected_pid", gone.pid), slog.String("cause", f.What), f.remedy())
	return true
}

// releaseOlder ends the bindings of an instance but its latest, once the calls
// in them are answered. It does not wait for that.
func (t *tenure) releaseOlder(in *instance) {
	current := t.slot.state.Load().bound
	for _, b := range t.slot.facades.bindingsOf(in) {
		if b == current {
			continue
		}
		before, done := t.leaving, make(chan struct{})
		t.leaving = done
		go func() {
			defer close(done)
			b.settled(context.Background(), t.timing.handover)
			t.slot.release(b)
			if before != nil {
				<-before
			}
		}()
	}
}

// spurns answers an order for an entry that was rejected before, if nothing has
// changed since.
func (t *tenure) spurns(o order) bool {
	r := t.spurned
	if r == nil || o.entry == nil || compare(r.entry, *o.entry) != changesPolicy || r.own != t.ownFiles() {
		return false
	}
	t.adopt(t.found.underPolicyOf(*o.entry))
	o.done <- r.failure
	return true
}
