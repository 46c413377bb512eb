package session

import "math"

// countStep is how much the queue of a connected client changes before it is
// counted anew: such a queue fills and empties all the time.
const countStep = 4 << 10

// count has Limits.Waiting know what is in the queue. The caller holds mu.
func (s *Session) count() {
	if s.limits.Waiting == nil {
		return
	}
	now := uint32(min(s.queue.bytes, math.MaxUint32))
	change := int64(now) - int64(s.counted)
	if change == 0 || s.conn != nil && !s.ended && -countStep < change && change < countStep {
		return
	}
	s.counted = now
	s.limits.Waiting.Add(change)
}
