package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// makeRoomKept makes the queue of a session that is kept fit for another message.
func (s *Session) makeRoomKept(d *mqtt.Delivery, now time.Time) (Outcome, []Drop) {
	if d.QoS == mqtt.AtMostOnce {
		return s.makeRoomQoS0(d.Message.Size(), now)
	}
	size, lim := d.Message.Size(), s.limits.Kept
	if s.fitsKept(size) {
		return Queued, nil
	}
	s.unpass()
	dropped := s.expire(now)
	if s.fitsKept(size) {
		return Queued, dropped
	}
	switch lim.Full {
	case RefuseMessage:
		if d.Message.Origin == mqtt.FromClient {
			return Queued, dropped // there was room when its publisher was not refused
		}
		return DroppedNew, dropped
	case DropNewestKept:
		return DroppedNew, dropped
	case DropOldestKept:
		return s.dropOldestKept(size, dropped)
	default:
		return Overflowed, dropped
	}
}

// makeRoomQoS0 does it for a message of QoS 0. It waits in memory only, thus not
// behind others that do not, and no message of a higher QoS gives way to it.
func (s *Session) makeRoomQoS0(size int, now time.Time) (Outcome, []Drop) {
	if s.kept.spill != nil {
		return DroppedNew, nil
	}
	if s.fits(size) {
		return Queued, nil
	}
	s.unpass()
	dropped := s.expire(now)
	outcome := Queued
	for !s.fits(size) {
		if s.limits.Overflow == DropNewest || s.queue.count == 0 || s.queue.front().QoS != mqtt.AtMostOnce {
			return DroppedNew, dropped
		}
		it := s.queue.pop()
		dropped, outcome = append(dropped, Drop{it.Delivery, DroppedOldest}), DroppedOldest
	}
	return outcome, dropped
}

// dropOldestKept drops from the front until a message fits. While somebody else
// reads the front from the disk, the message is queued all the same.
func (s *Session) dropOldestKept(size int, dropped []Drop) (Outcome, []Drop) {
	if size > s.limits.Kept.Bytes {
		return DroppedNew, dropped
	}
	outcome := Queued
	for !s.fitsKept(size) {
		if s.queue.count == 0 {
			if sp := s.kept.spill; sp == nil || sp.reading != nil {
				break
			}
			if !s.fetch(nil) || s.ended {
				return DroppedNew, dropped
			}
			continue
		}
		it := s.queue.pop()
		s.recordRemoval(&it)
		dropped, outcome = append(dropped, Drop{it.Delivery, DroppedOldest}), DroppedOldest
	}
	return outcome, dropped
}

// fitsKept reports whether the queue of a session that is kept has room for a
// message of QoS 1 or 2. Whoever stays within the memory of his queue has nothing
// to do with what others have on disk.
func (s *Session) fitsKept(size int) bool {
	lim := s.limits.Kept
	messages, bytes := s.waiting()
	if messages >= lim.Messages || bytes+size > lim.Bytes {
		return false
	}
	return lim.Disk == nil || !lim.Disk.Exceeded() || !s.beyondMemory(size)
}

// HasRoom reports whether a message of QoS 1 or 2 with a size fits into the queue.
// It is always true for a session that is not kept.
func (s *Session) HasRoom(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.kept.spills() || s.fitsKept(size)
}
