package hook

import (
	"context"
	"iter"
	"slices"
	"sync/atomic"
	"time"
)

// Presence tells of the connected clients: an event of kind [Present] for each,
// with the connection and the number of the client's latest event as they were
// before it was looked at. Called from any goroutine.
type Presence func() iter.Seq[Event]

// SetPresence says where snapshots come from. The broker calls it once, before
// anybody connects.
func (h *Hooks) SetPresence(p Presence) {
	h.presence.Store(&p)
	for _, t := range h.observers.Load().taps {
		t.signal()
	}
}

// Presence is what SetPresence was given; nil if it was not called.
func (h *Hooks) Presence() Presence {
	if p := h.presence.Load(); p != nil {
		return *p
	}
	return nil
}

// Renewable is a companion of an observer that is [Generational] and loses
// events by itself. Lost counts those; OnRenew has f, which does not block,
// called whenever Generation has changed. It is called before events are.
type Renewable interface {
	Generational
	Lost() uint64
	OnRenew(f func())
}

const (
	// snapshotPause keeps an observer that is always behind from being told
	// who is connected instead of what happens.
	snapshotPause = 5 * time.Second

	// olderFor is how long an event that is older than a snapshot may take to
	// come to the observer's queue.
	olderFor = 10 * time.Second
)

// snapshots tells an observer who is connected: when it begins, when another
// process took its place, and after events were lost. The tap's goroutine owns
// it.
type snapshots struct {
	presence *atomic.Pointer[Presence]

	told       bool // at least once
	gap        bool // events were lost since
	generation uint64
	lost       uint64
	at         time.Time
	again      *time.Timer // nil if none is to come

	older map[string]place // what the last snapshot knew; nil once it is of no use
}

// place is a moment in the life of a client.
type place struct{ connection, seq uint64 }

// due reports whether a snapshot is to be told now. wake is called when that
// may have changed.
func (s *snapshots) due(o Observer, wake func()) bool {
	if s.presence.Load() == nil {
		return false
	}
	var generation, lost uint64
	if r, ok := o.(Renewable); ok {
		lost = r.Lost()
		if generation = r.Generation(); generation == 0 {
			return false // nobody is there to be told
		}
	}
	if s.told && generation == s.generation {
		if !s.gap && lost == s.lost {
			return false
		}
		if wait := snapshotPause - time.Since(s.at); wait > 0 {
			s.stop()
			s.again = time.AfterFunc(wait, wake)
			return false
		}
	}
	s.told, s.gap, s.generation, s.lost, s.at = true, false, generation, lost, time.Now()
	return true
}

// stop ends the wait for another snapshot.
func (s *snapshots) stop() {
	if s.again != nil {
		s.again.Stop()
		s.again = nil
	}
}

// tell hands a snapshot over, a batch at a time. The events that follow it are
// in the queue already, or will be.
func (s *snapshots) tell(ctx context.Context, o Observer, batch []Event) {
	s.older = make(map[string]place)
	batch = append(batch, Event{Kind: SnapshotBegins, Time: s.at})
	for e := range (*s.presence.Load())() {
		s.older[e.ClientID] = place{e.ConnectionID, e.Seq}
		batch = append(batch, e)
		if len(batch) == observerBatch {
			o.Observe(ctx, batch, 0)
			batch = batch[:0]
		}
	}
	o.Observe(ctx, append(batch, Event{Kind: SnapshotEnds, Time: time.Now()}), 0)
}

// sift leaves out the comings and goings that the last snapshot had seen.
func (s *snapshots) sift(batch []Event) []Event {
	if s.older == nil {
		return batch
	}
	batch = slices.DeleteFunc(batch, func(e Event) bool {
		known, ok := s.older[e.ClientID]
		return ok && (e.Kind == Connected || e.Kind == Disconnected) &&
			(e.ConnectionID < known.connection || e.ConnectionID == known.connection && e.Seq <= known.seq)
	})
	if time.Since(s.at) > olderFor {
		s.older = nil
	}
	return batch
}
