//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// killAndStart kills the broker, with a fault around that, and starts it again.
func (r *run) killAndStart(ctx context.Context, f fault) error {
	if f == failing || f == slow {
		if err := r.damage.order(f); err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(r.random.IntN(400))*time.Millisecond); err != nil {
			return err
		}
	}
	if err := wait(ctx, time.Duration(r.random.IntN(20_000))*time.Microsecond); err != nil {
		return err
	}
	r.broker.kill()
	r.brokerKills++
	r.book.Killed()
	r.note("killed", f)
	if err := r.disk.free(); err != nil {
		return err
	}
	// Half of the faults go on while it starts.
	lasting := (f == failing || f == slow) && r.random.IntN(2) == 0
	if !lasting {
		if err := r.damage.calm(); err != nil {
			return err
		}
	}
	suspect := r.damage != nil && r.damage.suspect
	if err := r.hurt(f); err != nil {
		return err
	}
	if err := r.broker.start(ctx); err != nil {
		return fmt.Errorf("after %v: %w", f, err)
	}
	gone, err := r.damage.aside()
	switch {
	case err != nil:
		return err
	case gone && f != flipped && !suspect:
		return errors.New("the broker has put a store aside to which nothing was done")
	case gone:
		r.note("put aside")
		r.damage.suspect = false
		r.gone()
	}
	if !lasting {
		return nil
	}
	r.damage.unflushed = true
	if err := wait(ctx, time.Duration(r.random.IntN(500))*time.Millisecond); err != nil {
		return err
	}
	return r.damage.calm()
}

// hurt does to the files of a broker that is dead what is to be done.
func (r *run) hurt(f fault) error {
	if r.damage == nil {
		return nil
	}
	since := r.book.Run() - 1
	if r.damage.unflushed {
		since = 0
	}
	r.damage.unflushed = false
	if r.damage.suspect {
		gone, err := r.damage.check()
		if err != nil {
			return err
		}
		if gone {
			r.note("found damaged")
			r.afresh()
			r.gone()
		}
	}
	switch f {
	case torn:
		return r.damage.tear()
	case flipped:
		name, err := r.damage.flip()
		if err != nil {
			return err
		}
		r.note("flipped", name)
		if !strings.HasSuffix(name, ".log") {
			since = 0
		}
		r.book.Damaged(since)
		r.afresh()
		r.forgetStates()
	case unharmed, failing, slow:
	}
	return nil
}

// note writes into the broker's log what happens to it.
func (r *run) note(what ...any) {
	_, _ = fmt.Fprintf(r.broker.log, "chaos: run=%d %s %s", r.book.Run(), time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintln(what...))
}

// afresh has all clients forget what they know of their sessions: the broker may
// have it otherwise.
func (r *run) afresh() {
	for _, p := range r.publishers {
		p.afresh.Store(true)
	}
	for _, s := range r.subscribers {
		s.afresh.Store(true)
	}
}

// gone notes that the broker begins without its store.
func (r *run) gone() {
	r.book.Gone()
	r.forgetStates()
}

// forgetStates has no retained state be owed that was acknowledged, if the store
// that was damaged keeps them.
func (r *run) forgetStates() {
	if r.retained != "disk" {
		return
	}
	for _, p := range r.publishers {
		p.state.Store(0)
	}
}
