package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Pages gives back what a session has queued and has no longer in memory. The
// store that writes the log implements it.
type Pages interface {
	// Page returns what is queued in a session at the places from to to, in order:
	// as much as fits into a number of messages and bytes, at least one if there is
	// one. More says that there may be others behind them. It sees everything up
	// to the position that the log has committed, and may be called by many
	// goroutines at once. The error says that it can't be read at present.
	Page(number, from, to uint64, messages, bytes int) (list []Stored, more bool, err error)
}

// Totals are what the store has of a session's messages: those that wait and
// those in flight.
type Totals struct {
	Messages, Bytes int
	Shared, Grouped int   // of the messages: with a number of their own, chosen by a share group
	Soonest         int64 // nothing expires before, in seconds since 1970; 0 for never
}

// Add counts a message.
func (t *Totals) Add(d *mqtt.Delivery) {
	t.Messages++
	t.Bytes += d.Message.Size()
	if d.Shared != 0 {
		t.Shared++
	}
	if d.Group() != "" {
		t.Grouped++
	}
	if at, expires := sendBy(d.Message); expires && (t.Soonest == 0 || at.Unix() < t.Soonest) {
		t.Soonest = at.Unix()
	}
}

func (t *Totals) remove(it *item) {
	t.Messages--
	t.Bytes -= it.Message.Size()
	if it.Shared != 0 {
		t.Shared--
	}
	if it.Group() != "" {
		t.Grouped--
	}
	if t.Messages <= 0 {
		*t = Totals{}
	}
}

// without returns t less what other counts.
func (t Totals) without(other *Totals) Totals {
	t.Messages -= other.Messages
	t.Bytes -= other.Bytes
	t.Shared -= other.Shared
	t.Grouped -= other.Grouped
	if t.Messages <= 0 {
		return Totals{}
	}
	return t
}

// spill is the part of a queue that is beyond what it may have in memory: first
// what is only on disk, then what is not written yet. It is there as long as
// either is.
type spill struct {
	disk gap
	tail queue

	// seal is the place in the tail up to which it leaves memory once the
	// position sealAt is written; 0 for none.
	seal, sealAt uint64

	reading chan struct{} // not nil: somebody reads from the disk; closed after that
	stalled bool          // reading failed, and was not tried again

	// dropped is what was dropped while it was only on disk, where it may be found
	// until the position droppedAt is written.
	dropped   map[uint64]struct{}
	droppedAt uint64
	watched   map[uint64]*mqtt.Message // those on disk whose fate somebody waits for
}

// gap is a piece of a queue that is only on disk.
type gap struct {
	first, last uint64 // places; last is 0 when it is empty
	Totals
}

func (g *gap) empty() bool { return g.last == 0 || g.first > g.last }

// take adds an item that is behind all others.
func (g *gap) take(it *item) {
	if g.empty() {
		*g = gap{first: it.sequence}
	}
	g.last = it.sequence
	g.Add(&it.Delivery)
}

// give takes an item off the front, and what may have been before it.
func (g *gap) give(it *item) {
	g.remove(it)
	if g.first = it.sequence + 1; g.empty() {
		*g = gap{}
	}
}

// spills reports whether what the session has queued may leave memory.
func (k *kept) spills() bool { return k != nil && k.log.pages != nil }

// Spills reports whether messages of QoS 1 and 2 that wait for the client need
// not be in memory.
func (s *Session) Spills() bool { return s.kept.spills() }

// pressed is how much of a queue stays in memory while there is too little.
const pressed = 16

// beyondMemory reports whether another message of QoS 1 or 2 has to do without a
// place in memory. mu is held.
func (s *Session) beyondMemory(size int) bool {
	lim := s.limits.Kept
	n := s.queue.count
	switch {
	case s.kept.spill != nil || n >= lim.MemoryMessages:
		return true
	case n == 0:
		return false
	default:
		return s.queue.bytes+size > lim.MemoryBytes || n >= pressed && lim.Memory != nil && lim.Memory.Exceeded()
	}
}

// pushKept queues what may leave memory. mu is held.
func (s *Session) pushKept(it item) *queue {
	k := s.kept
	if s.beyondMemory(it.Message.Size()) {
		if k.spill == nil {
			k.spill = new(spill)
		}
		k.spill.tail.push(it)
		return &k.spill.tail
	}
	s.queue.push(it)
	return &s.queue
}

// seal returns a position at which [Session.spilled] has to be called; 0 for
// none. mu is held.
func (s *Session) seal() uint64 {
	k := s.kept
	if k == nil || k.spill == nil {
		return 0
	}
	sp, lim := k.spill, s.limits.Kept
	if sp.seal != 0 || sp.tail.count < max(1, lim.MemoryMessages/2) && sp.tail.bytes < lim.MemoryBytes/2 {
		return 0
	}
	sp.seal, sp.sealAt = s.sequence, k.last
	return sp.sealAt
}

// spilled is told by the log that a part of the tail is written: it leaves
// memory.
func (s *Session) spilled() {
	s.mu.Lock()
	k := s.kept
	var next uint64
	if sp := k.spill; sp != nil && sp.seal != 0 && sp.sealAt <= k.log.Done() {
		for sp.tail.count > 0 && sp.tail.front().sequence <= sp.seal {
			it := sp.tail.pop()
			sp.disk.take(&it)
			if it.Watched {
				sp.watch(&it)
			}
		}
		sp.seal = 0
		next = s.seal()
	}
	s.unlock()
	if next != 0 {
		k.log.After(next, s.spilled)
	}
}

// watch remembers a message that has to be the same when it is back.
func (sp *spill) watch(it *item) {
	if sp.watched == nil {
		sp.watched = make(map[uint64]*mqtt.Message)
	}
	sp.watched[it.sequence] = it.Message
}

// waiting returns what waits to be sent, wherever it is. mu is held.
func (s *Session) waiting() (messages, bytes int) {
	messages, bytes = s.passed()
	messages, bytes = messages+s.queue.count, bytes+s.queue.bytes
	if s.kept != nil && s.kept.spill != nil {
		sp := s.kept.spill
		messages += sp.disk.Messages + sp.tail.count
		bytes += sp.disk.Bytes + sp.tail.bytes
	}
	return messages, bytes
}

// settleSpill lets go of a spill that is empty. mu is held.
func (s *Session) settleSpill() {
	if sp := s.kept.spill; sp.disk.empty() && sp.tail.count == 0 && sp.reading == nil {
		s.kept.spill = nil
	}
}

// expires is the moment before which nothing expires, zero if nothing does.
func (t *Totals) expires() time.Time {
	if t.Soonest == 0 {
		return time.Time{}
	}
	return time.Unix(t.Soonest, 0)
}
