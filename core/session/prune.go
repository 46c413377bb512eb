package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Filter drops the queued messages that keep refuses and returns how many
// they were; what is in flight stays. keep runs without the lock, over the
// messages that are queued at the time of the call. What is only on disk is left
// to be looked at when it is sent; onDisk says that there is some.
func (s *Session) Filter(keep func(mqtt.Delivery) bool) (removed int, onDisk bool) {
	s.mu.Lock()
	s.unpass()
	queued := s.queue.items()
	if s.kept != nil && s.kept.spill != nil {
		queued = append(queued, s.kept.spill.tail.items()...)
		// What is being read is nowhere yet.
		onDisk = !s.kept.spill.disk.empty()
	}
	s.mu.Unlock()
	var refused []uint64
	for _, it := range queued {
		if !keep(it.Delivery) {
			refused = append(refused, it.sequence)
		}
	}
	if refused == nil {
		return 0, onDisk
	}
	s.mu.Lock()
	defer s.unlock()
	stays := func(it *item) bool {
		for len(refused) > 0 && refused[0] < it.sequence {
			refused = refused[1:] // was sent or dropped meanwhile
		}
		if len(refused) == 0 || refused[0] != it.sequence {
			return true
		}
		s.recordRemoval(it)
		return false
	}
	removed = s.queue.retain(stays)
	if s.kept == nil || s.kept.spill == nil {
		return removed, onDisk
	}
	sp := s.kept.spill
	for len(refused) > 0 && !sp.disk.empty() && refused[0] <= sp.disk.last {
		refused = refused[1:] // has left memory meanwhile: it is looked at when it is sent
		onDisk = true
	}
	removed += sp.tail.retain(stays)
	s.settleSpill()
	return removed, onDisk
}

// Clear drops all queued messages. What is in flight stays. It returns those that
// were in memory, and how many others there were.
func (s *Session) Clear() (dropped []mqtt.Delivery, more int) {
	s.mu.Lock()
	s.idle()
	defer s.unlock()
	s.unpass()
	dropped = make([]mqtt.Delivery, 0, s.queue.count)
	dropped = s.clear(&s.queue, dropped)
	if s.kept == nil || s.kept.spill == nil {
		return dropped, 0
	}
	sp := s.kept.spill
	if disk := sp.disk; !disk.empty() {
		more = disk.Messages - len(sp.watched)
		for _, m := range sp.watched {
			dropped = append(dropped, mqtt.Delivery{Message: m, QoS: m.QoS})
		}
		sp.disk, sp.watched, sp.dropped = gap{}, nil, nil
		s.kept.totals = s.kept.totals.without(&disk.Totals)
		s.record(&Change{
			Kind: ChangeClear, Sequence: disk.first, Until: disk.last, Shared: disk.Shared > 0, Totals: s.kept.totals,
		})
	}
	dropped = s.clear(&sp.tail, dropped)
	s.settleSpill()
	return dropped, more
}

func (s *Session) clear(q *queue, dropped []mqtt.Delivery) []mqtt.Delivery {
	for q.count > 0 {
		it := q.pop()
		s.recordRemoval(&it)
		dropped = append(dropped, it.Delivery)
	}
	return dropped
}

// Expire drops the queued messages whose expiry interval has passed, and
// returns them. It is cheap when there are none, so that a broker can call it
// now and then for every client that is away. Of what is only on disk it drops some
// thousands at a time.
func (s *Session) Expire(now time.Time) []Drop {
	s.mu.Lock()
	defer s.unlock()
	return append(s.expire(now), s.sweep(now)...)
}

// expire is Expire for what is in memory. mu is held.
func (s *Session) expire(now time.Time) []Drop {
	dropped := s.expireIn(&s.queue, now, nil)
	if s.kept != nil && s.kept.spill != nil {
		dropped = s.expireIn(&s.kept.spill.tail, now, dropped)
		s.settleSpill()
	}
	return dropped
}

func (s *Session) expireIn(q *queue, now time.Time, dropped []Drop) []Drop {
	if q.soonest.IsZero() || now.Before(q.soonest) {
		return dropped
	}
	var soonest time.Time
	q.retain(func(it *item) bool {
		at, expires := sendBy(it.Message)
		if expires && !now.Before(at) {
			s.recordRemoval(it)
			dropped = append(dropped, Drop{it.Delivery, DroppedExpired})
			return false
		}
		if expires && (soonest.IsZero() || at.Before(soonest)) {
			soonest = at
		}
		return true
	})
	q.soonest = soonest
	return dropped
}

// drainPage is how much of what is only on disk Drain hands over at once.
const drainPage = 512

// Drain empties a session that ends and hands over, in order and in pieces, what
// others may be given instead: what was sent with QoS 1 and not acknowledged, then
// what is queued; of what is only on disk no more than what a share group has
// chosen the session for. give runs without the lock. Deliveries with a Group can
// go to another member of it. QoS 2 messages whose delivery has begun are
// discarded, for no other client may get them [MQTT-4.8.2-5]. Whoever had chosen
// the session before it ended and comes too late is told so by Enqueue: every
// message is either in what Drain hands over, or was refused.
//
// What is on disk and can't be read is lost, and the error says so.
func (s *Session) Drain(give func([]mqtt.Delivery)) error {
	s.mu.Lock()
	s.ended = true
	s.idle()
	s.unpass()
	var first, last []mqtt.Delivery
	for _, d := range s.flight.drain() {
		if d.QoS == mqtt.AtLeastOnce {
			first = append(first, d)
		}
	}
	for s.queue.count > 0 {
		first = append(first, s.queue.pop().Delivery)
	}
	var disk gap
	if k := s.kept; k != nil && k.spill != nil {
		for k.spill.tail.count > 0 {
			last = append(last, k.spill.tail.pop().Delivery)
		}
		disk = k.spill.disk
		k.spill = nil
	}
	s.unlock()
	if len(first) > 0 {
		give(first)
	}
	err := s.drainDisk(&disk, give)
	if len(last) > 0 {
		give(last)
	}
	return err
}

// drainDisk hands over what of a gap another may be given.
func (s *Session) drainDisk(disk *gap, give func([]mqtt.Delivery)) error {
	for from, more := disk.first, disk.Grouped > 0 && !disk.empty(); more; {
		var list []Stored
		var err error
		if list, more, err = s.kept.log.pages.Page(s.kept.number, from, disk.last, drainPage, DefaultMemoryBytes); err != nil {
			return err
		}
		var page []mqtt.Delivery
		for i := range list {
			if from = list[i].Sequence + 1; list[i].Delivery.Group() != "" {
				page = append(page, list[i].Delivery)
			}
		}
		if len(page) > 0 {
			give(page)
		}
	}
	return nil
}
