package pluginhost

import (
	"context"
	"fmt"
	"log/slog"
	"os"
)

// succession is a new instance that is being started beside the one that
// serves.
type succession struct {
	done    chan<- error // who asked for it; nil: nobody
	arrived chan *candidate
	cancel  context.CancelFunc
}

// arrival is where a new instance comes from.
func (t *tenure) arrival() <-chan *candidate {
	if t.heir == nil {
		return nil
	}
	return t.heir.arrived
}

// begin starts a new instance, under an entry, beside the one that serves. One
// that may not run beside it is only looked at.
func (t *tenure) begin(life context.Context, entry found, done chan<- error) {
	ctx, cancel := context.WithCancel(life)
	t.heir = &succession{done: done, arrived: make(chan *candidate, 1), cancel: cancel}
	t.swapping()
	v := *t.verifier
	v.found = entry
	in, arrived := t.w.facts().instance, t.heir.arrived
	go func() {
		c := t.inspect(ctx, &v)
		if c.failure == nil && !c.exclusive(in) {
			t.prove(ctx, c)
		}
		arrived <- c
	}()
}

// giveUpHeir ends a new instance that has not taken over.
func (t *tenure) giveUpHeir(halt context.Context) {
	if t.heir == nil {
		return
	}
	t.heir.cancel()
	c := <-t.heir.arrived
	if c.worker != nil && c.failure == nil {
		c.worker.stop(halt)
	}
	t.conclude(c, t.refusal(KindExited, "its start was given up"))
}

// conclude tells how a succession ended.
func (t *tenure) conclude(c *candidate, f *Failure) {
	done := t.heir.done
	t.heir.cancel()
	t.heir = nil
	t.tried, t.seen = c.looks, looks{own: c.looks.own, lock: c.looks.lock}
	t.swapped(f)
	if done == nil {
		return
	}
	if f != nil {
		done <- f
	} else {
		done <- nil
	}
}

// arrived puts a new instance into the place of the old one, or says why not:
// then the old one goes on.
func (t *tenure) arrived(life, halt context.Context, c *candidate) {
	switch {
	case life.Err() != nil:
		t.heir.arrived <- c // for giveUpHeir
		return
	case c.failure != nil:
		t.refuse(c)
		return
	case c.worker == nil:
		t.replaceExclusive(life, halt, c)
		return
	}
	before, dead := t.asReserve(), t.ended()
	tried := !dead && t.triable(c)
	guest := !dead && t.visits(c)
	if tried {
		c.worker.facts().instance.trial.begin()
	}
	if c.failure = t.install(c); c.failure != nil {
		t.refuse(c)
		return
	}
	goes := before.worker
	switch {
	case tried, guest:
		goes = t.standBy(before, guest)
	case dead:
		goes = nil
	default:
		t.letGo(life, halt)
	}
	t.takeOver(life, c)
	if goes != nil {
		t.dismiss(life, halt, goes)
	}
}

// ended reports whether the instance has ended by itself.
func (t *tenure) ended() bool { return t.w.facts().instance.err() != nil }

// refuse leaves the old instance where it is.
func (t *tenure) refuse(c *candidate) {
	if c.failure.Kind == KindUnfinished {
		c.looks.own = fingerprint{} // look again
	}
	t.log.Error("new instance of plugin is no good, the old one goes on serving",
		slog.String("cause", c.failure.What), c.failure.remedy())
	t.conclude(c, c.failure)
}

// takeOver makes a candidate, which is in the slot, the instance that is tended.
func (t *tenure) takeOver(life context.Context, c *candidate) {
	before := t.w.facts()
	t.w, t.since, t.missed, t.spurned = c.worker, t.now(), 0, nil
	t.adopt(c.verifier.found)
	*t.verifier = *c.verifier
	t.learn(c.manifest)
	t.writes(c.out)
	t.publish(life)
	t.log.Info("plugin was replaced", slog.Int("pid", c.worker.facts().pid), slog.Int("old_pid", before.pid),
		slog.String("old_version", before.instance.init.GetVersion()))
	t.conclude(c, nil)
}

// dismiss lets an instance that was replaced answer what it has, and stops it,
// while t goes on. It follows those that were dismissed before.
func (t *tenure) dismiss(life, halt context.Context, w worker) {
	fs := w.facts()
	before, leaving := t.leaving, make(chan struct{})
	t.leaving = leaving
	t.slot.retire(fs.instance, awaited, errReplaced)
	if before == nil {
		t.leaves(&fs)
	}
	go func() {
		defer close(leaving)
		defer t.leaves(nil)
		if before != nil {
			<-before
			t.leaves(&fs)
		}
		answering, cancel := context.WithCancel(halt)
		defer cancel()
		defer context.AfterFunc(life, func() {
			if !removal(life) {
				cancel() // the broker ends, and has no calls any more
			}
		})()
		if !t.slot.facades.settled(answering, fs.instance, t.timing.handover) {
			t.log.Warn("replaced instance of plugin did not answer everything that it had", slog.Int("pid", fs.pid))
		}
		t.end(halt, w)
	}()
}

// end ends a replaced instance that has answered what it could.
func (t *tenure) end(halt context.Context, w worker) {
	in := w.facts().instance
	if in.err() == nil {
		w.drain(halt)
	}
	t.slot.vacate(in, errReplaced)
	if in.err() == nil {
		w.stop(halt)
		return
	}
	f := w.autopsy()
	t.log.Warn("replaced instance of plugin was lost", slog.String("cause", f.What))
}

// replaceExclusive stops the instance before it starts the new one, which may
// not run beside it. Calls wait meanwhile, whatever their policy. If the new one
// fails under another entry, the old one is tried again; its files are what they
// are, so that after a change of files no instance is left.
func (t *tenure) replaceExclusive(life, halt context.Context, c *candidate) {
	t.letGo(life, halt)
	t.leave()
	t.leaving = nil
	if in := t.w.facts().instance; !t.ended() {
		t.enter(Draining)
		t.slot.retire(in, paused, errReplaced)
		if !t.slot.facades.settled(halt, in, t.timing.handover) {
			t.log.Warn("replaced instance of plugin did not answer everything that it had")
		}
		t.end(halt, t.w)
	}
	t.slot.explain(errReplaced, paused)
	t.enter(Starting)
	if t.try(life, c); c.failure == nil {
		t.takeOver(life, c)
		return
	}
	f := c.failure
	t.log.Error("new instance of plugin is no good, and it may not run beside the old one, which was stopped",
		slog.String("cause", f.What), f.remedy())
	again := c
	if compare(t.verifier.found, c.start.found) != changesPolicy && life.Err() == nil {
		if again = t.inspect(life, t.verifier); again.failure == nil {
			t.try(life, again)
		}
	}
	t.conclude(c, f)
	if t.ruin = again.failure; t.ruin != nil {
		return
	}
	t.w, t.since, t.missed, t.tried = again.worker, t.now(), 0, again.looks
	t.writes(again.out)
}

// try launches a candidate and puts it into the slot.
func (t *tenure) try(life context.Context, c *candidate) {
	if t.prove(life, c); c.failure == nil {
		c.failure = t.install(c)
	}
}

// gone says why the plugin's files can't be found at all.
func (v *verifier) gone() error {
	for _, path := range []string{v.place.folder, v.place.file} {
		if path == "" {
			continue
		}
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("it can't be started again: %w", err)
		}
	}
	return nil
}
