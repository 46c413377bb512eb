package session

import (
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// kept is what a session has that outlives the broker.
type kept struct {
	log        *Log
	number     uint64
	durability Durability
	last       uint64 // the position of its last change

	totals Totals    // of the messages that the log knows of
	spill  *spill    // nil while all of the queue is in memory
	onDisk int64     // what Limits.Kept.Disk has of the queue
	bound  []Binding // of what Next is about to return

	// gate is a position before which nothing is sent: what an earlier
	// connection, or run of the broker, had to do with must not be in doubt.
	gate uint64
	// staged is what may be sent once the position stagedAt is written: messages
	// of QoS 2 whose identifiers have to be known after a restart, and what is
	// behind them.
	staged   []Outgoing
	stagedAt uint64
}

// Keep lets the log know of every change from now on. Called once, before the
// session is attached or known to others.
func (s *Session) Keep(log *Log, d Durability) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = &kept{log: log, number: log.Number(), durability: d}
}

// Kept reports whether a log knows of the session's changes.
func (s *Session) Kept() bool { return s.kept != nil } // never changes once others know the session

// SetDurability replaces the durability, from the next change on.
func (s *Session) SetDurability(d Durability) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		s.kept.durability = d
	}
}

// Describe lets the log know what the broker keeps beside the session; a no-op
// for a session that is not kept. p must not change any more.
func (s *Session) Describe(p *Profile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		p.Durability = s.kept.durability
		s.record(&Change{Kind: ChangeProfile, Profile: p})
	}
}

// End lets the log forget the session, which was drained.
func (s *Session) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept != nil {
		s.record(&Change{Kind: ChangeEnd, Shared: s.kept.totals.Shared > 0})
	}
}

// Position is that of the session's last change; 0 if it is not kept.
func (s *Session) Position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		return 0
	}
	return s.kept.last
}

// record appends a change to the log. mu is held.
func (s *Session) record(c *Change) {
	k := s.kept
	if k == nil {
		return
	}
	c.Session = k.number
	c.Sync = k.durability == DurabilitySync && c.promised()
	c.Lax = k.durability == DurabilityNone
	k.last = k.log.append(c)
}

// recordQueued lets the log know of a message that is queued. mu is held.
func (s *Session) recordQueued(it *item) {
	if k := s.kept; k != nil && it.QoS != mqtt.AtMostOnce {
		k.totals.Add(&it.Delivery)
		s.record(&Change{Kind: ChangeQueue, Sequence: it.sequence, Delivery: it.Delivery, Totals: k.totals})
	}
}

// recordRemoval lets the log know that a message which was queued is done with.
// mu is held.
func (s *Session) recordRemoval(it *item) {
	if k := s.kept; k != nil && it.QoS != mqtt.AtMostOnce {
		k.totals.remove(it)
		d := mqtt.Delivery{QoS: it.QoS, Shared: it.Shared}
		s.record(&Change{Kind: ChangeRemove, Sequence: it.sequence, Delivery: d, Totals: k.totals})
	}
}

// waits reports whether nothing may be sent before something is written. mu is
// held.
func (k *kept) waits() bool {
	done := k.log.Done()
	return k.gate > done || len(k.staged) > 0 && k.stagedAt > done
}

// awake is told by the log that something was written.
func (s *Session) awake() {
	s.mu.Lock()
	s.unlock()
}

// attachKept begins a connection of a session that is kept. mu is held.
func (s *Session) attachKept() (gate uint64) {
	k := s.kept
	if k == nil || k.last <= k.log.Done() {
		return 0
	}
	k.gate = k.last
	return k.gate
}

// detachKept ends one, and returns messages of QoS 0 that were about to be sent.
// mu is held.
func (s *Session) detachKept() (dropped []mqtt.Delivery) {
	k := s.kept
	if k == nil {
		return nil
	}
	for i := range k.staged {
		if o := &k.staged[i]; o.Kind == SendPublish && o.ID == 0 {
			dropped = append(dropped, o.Delivery)
		}
	}
	k.staged, k.gate = nil, 0
	return dropped
}

// unstage appends what was staged and may be sent. mu is held.
func (k *kept) unstage(dst []Outgoing, limit int) []Outgoing {
	n := min(len(k.staged), limit-len(dst))
	dst = append(dst, k.staged[:n]...)
	clear(k.staged[:n])
	if k.staged = k.staged[n:]; len(k.staged) == 0 {
		k.staged = nil
	}
	return dst
}

// stage holds back what may not be sent yet, of what Next is about to return
// from the given index on, and reports whether there is any. mu is held.
func (s *Session) stage(dst []Outgoing, from int, sent uint64) ([]Outgoing, bool) {
	k := s.kept
	first := -1
	for i := from; i < len(dst); i++ {
		if o := &dst[i]; o.Kind == SendPublish && !o.Dup && o.Delivery.QoS == mqtt.ExactlyOnce {
			first = i
			break
		}
	}
	if sent != 0 {
		s.record(&Change{Kind: ChangeSent, Sequence: sent, Bound: slices.Clone(k.bound)})
		k.bound = k.bound[:0]
	}
	if first < 0 {
		return dst, false
	}
	k.staged = append(k.staged, dst[first:]...)
	k.stagedAt = k.last
	clear(dst[first:])
	return dst[:first], true
}
