package session

import "math"

// countStep is how much the queue of a connected client changes before it is
// counted anew: such a queue fills and empties all the time.
const countStep = 4 << 10

// count has Limits.Waiting know what is in the queue and in memory. The caller holds mu.
func (s *Session) count() {
	_, bytes := s.passed()
	bytes += s.queue.bytes
	if k := s.kept; k != nil {
		if k.spill != nil {
			bytes += k.spill.tail.bytes
		}
		s.countDisk()
	}
	if s.limits.Waiting == nil {
		return
	}
	now := uint32(min(bytes, math.MaxUint32))
	change := int64(now) - int64(s.counted)
	if change == 0 || s.conn != nil && !s.ended && -countStep < change && change < countStep {
		return
	}
	s.counted = now
	s.limits.Waiting.Add(change)
}

// countDisk has Limits.Kept.Disk know what is only on disk. The caller holds mu.
func (s *Session) countDisk() {
	k, now := s.kept, int64(0)
	if s.limits.Kept.Disk == nil {
		return
	}
	if k.spill != nil {
		now = int64(k.spill.disk.Bytes)
	}
	if now != k.onDisk {
		s.limits.Kept.Disk.Used().Add(now - k.onDisk)
		k.onDisk = now
	}
}
