package session

import "time"

// hungry reports whether the writer can only go on with what is beyond the memory
// of the queue. mu is held.
func (s *Session) hungry() bool {
	k := s.kept
	if k == nil || k.spill == nil || s.queue.count > 0 || s.conn == nil {
		return false
	}
	if k.waits() || len(k.staged) > 0 || s.flight.duePublish() != nil || !s.windowOpen() {
		return false
	}
	sp := k.spill
	if sp.disk.empty() {
		return sp.tail.count > 0
	}
	return sp.reading == nil && !sp.stalled
}

// fetch brings the next part of the queue into memory, and reports whether it
// made any progress. mu is held, but not while it reads; between is called then,
// and may be nil. Nothing is in memory before what it brings.
func (s *Session) fetch(between func()) bool {
	k := s.kept
	sp := k.spill
	if sp.disk.empty() {
		s.queue, sp.tail, sp.seal = sp.tail, queue{}, 0
		s.settleSpill()
		return s.queue.count > 0
	}
	if sp.reading != nil || sp.stalled {
		return false
	}
	lim := s.limits.Kept
	list, to, more, err := s.readPage(sp, sp.disk.first, max(1, lim.MemoryMessages/2), lim.MemoryBytes/2, between)
	if err != nil {
		return false
	}
	for i := range list {
		it := list[i].item()
		if sp.disk.empty() || it.sequence < sp.disk.first {
			continue // it was cleared meanwhile
		}
		if _, dropped := sp.dropped[it.sequence]; dropped {
			sp.disk.first = it.sequence + 1
			continue
		}
		if m := sp.watched[it.sequence]; m != nil {
			it.Message = m
			delete(sp.watched, it.sequence)
		}
		sp.disk.give(&it)
		s.queue.push(it)
		if at, expires := sendBy(it.Message); expires {
			s.queue.expires(at)
		}
	}
	if !more && !sp.disk.empty() {
		if sp.disk.first = max(sp.disk.first, to+1); sp.disk.empty() {
			sp.disk = gap{}
		}
	}
	s.settleSpill()
	return true
}

// readPage reads from the disk what begins at a place. mu is held, but not
// meanwhile; nobody else reads for the session.
func (s *Session) readPage(sp *spill, from uint64, messages, bytes int, between func()) (list []Stored, to uint64, more bool, err error) {
	k := s.kept
	if sp.droppedAt <= k.log.Done() {
		sp.dropped = nil // the disk has them no more
	}
	done := make(chan struct{})
	sp.reading = done
	to = sp.disk.last
	s.mu.Unlock()
	if between != nil {
		between()
	}
	list, more, err = k.log.pages.Page(k.number, from, to, messages, bytes)
	s.mu.Lock()
	sp.reading = nil
	close(done)
	if err != nil {
		sp.stalled = true
		k.log.whenReadable(s.resumed)
	}
	return list, to, more, err
}

// resumed is told by the log that reading may be tried again.
func (s *Session) resumed() {
	s.mu.Lock()
	if sp := s.kept.spill; sp != nil {
		sp.stalled = false
	}
	s.unlock()
}

// idle waits until nobody reads from the disk for the session. mu is held, but not
// meanwhile.
func (s *Session) idle() {
	for s.kept != nil && s.kept.spill != nil && s.kept.spill.reading != nil {
		reading := s.kept.spill.reading
		s.mu.Unlock()
		<-reading
		s.mu.Lock()
	}
}

// sweepMost bounds what one sweep drops, so that the log does not grow by it.
const sweepMost = 4096

// sweep drops what is only on disk and has expired, up to sweepMost of it. It
// looks at the disk only if something may have expired. mu is held, but not
// while it reads.
func (s *Session) sweep(now time.Time) (dropped []Drop) {
	if s.kept == nil || s.kept.spill == nil {
		return nil
	}
	sp := s.kept.spill
	soonest := sp.disk.expires()
	if sp.disk.empty() || sp.reading != nil || sp.stalled || soonest.IsZero() || now.Before(soonest) {
		return nil
	}
	var rest Totals // of what was seen and stays: for its Soonest
	before, from, more := sp.disk.Soonest, sp.disk.first, true
	sp.disk.Soonest = 0 // what comes meanwhile says its own
	for more && len(dropped) < sweepMost {
		var list []Stored
		var err error
		if list, _, more, err = s.readPage(sp, from, 1024, 1<<20, nil); err != nil {
			break
		}
		for i := range list {
			it := list[i].item()
			from = it.sequence + 1
			if _, known := sp.dropped[it.sequence]; known || sp.disk.empty() || it.sequence < sp.disk.first {
				continue
			}
			if at, expires := sendBy(it.Message); !expires || now.Before(at) {
				rest.Add(&it.Delivery)
				continue
			}
			dropped = append(dropped, Drop{s.dropOnDisk(sp, &it).Delivery, DroppedExpired})
		}
		more = more && !sp.disk.empty() && from <= sp.disk.last
		from = max(from, sp.disk.first)
	}
	if more {
		rest.Soonest = before // not all of it was seen
	}
	if rest.Soonest != 0 && (sp.disk.Soonest == 0 || rest.Soonest < sp.disk.Soonest) {
		sp.disk.Soonest = rest.Soonest
	}
	s.settleSpill()
	return dropped
}

// dropOnDisk drops a message that is only on disk, where it is still found until
// that is written. mu is held.
func (s *Session) dropOnDisk(sp *spill, it *item) item {
	if m := sp.watched[it.sequence]; m != nil {
		it.Message = m
		delete(sp.watched, it.sequence)
	}
	if sp.dropped == nil {
		sp.dropped = make(map[uint64]struct{})
	}
	sp.dropped[it.sequence] = struct{}{}
	sp.disk.Totals = sp.disk.drop(it)
	s.recordRemoval(it)
	sp.droppedAt = s.kept.last
	return *it
}

// drop returns the totals without an item in the middle.
func (g *gap) drop(it *item) Totals {
	t := g.Totals
	soonest := t.Soonest
	t.remove(it)
	if t.Messages > 0 {
		t.Soonest = soonest
	}
	return t
}
