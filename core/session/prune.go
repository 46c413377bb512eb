package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Filter drops the queued messages that keep refuses and returns how many
// they were; what is in flight stays. keep runs without the lock, over the
// messages that are queued at the time of the call.
func (s *Session) Filter(keep func(mqtt.Delivery) bool) (removed int) {
	s.mu.Lock()
	queued := s.queue.items()
	s.mu.Unlock()
	var refused []uint64
	for _, it := range queued {
		if !keep(it.Delivery) {
			refused = append(refused, it.sequence)
		}
	}
	if refused == nil {
		return 0
	}
	s.mu.Lock()
	defer s.unlock()
	return s.queue.retain(func(it *item) bool {
		for len(refused) > 0 && refused[0] < it.sequence {
			refused = refused[1:] // was sent or dropped meanwhile
		}
		if len(refused) == 0 || refused[0] != it.sequence {
			return true
		}
		s.recordRemoval(it)
		return false
	})
}

// Clear drops all queued messages and returns them. What is in flight stays.
func (s *Session) Clear() []mqtt.Delivery {
	s.mu.Lock()
	defer s.unlock()
	dropped := make([]mqtt.Delivery, 0, s.queue.count)
	for s.queue.count > 0 {
		it := s.queue.pop()
		s.recordRemoval(&it)
		dropped = append(dropped, it.Delivery)
	}
	return dropped
}

// Expire drops the queued messages whose expiry interval has passed, and
// returns them. It is cheap when there are none, so that a broker can call it
// now and then for every client that is away.
func (s *Session) Expire(now time.Time) []Drop {
	s.mu.Lock()
	defer s.unlock()
	return s.expire(now)
}

func (s *Session) expire(now time.Time) []Drop {
	if s.queue.soonest.IsZero() || now.Before(s.queue.soonest) {
		return nil
	}
	var dropped []Drop
	var soonest time.Time
	s.queue.retain(func(it *item) bool {
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
	s.queue.soonest = soonest
	return dropped
}

// Drain empties a session that ends and returns, in order, what others may be
// given instead: what was sent with QoS 1 and not acknowledged, then what is
// queued. Deliveries with a Group can go to another member of it. QoS 2
// messages whose delivery has begun are discarded, for no other client may get
// them [MQTT-4.8.2-5]. Whoever had chosen the session before it ended and comes
// too late is told so by Enqueue: every message is either in what Drain
// returns, or was refused.
func (s *Session) Drain() []mqtt.Delivery {
	s.mu.Lock()
	defer s.unlock()
	s.ended = true
	var rest []mqtt.Delivery
	for _, d := range s.flight.drain() {
		if d.QoS == mqtt.AtLeastOnce {
			rest = append(rest, d)
		}
	}
	for s.queue.count > 0 {
		rest = append(rest, s.queue.pop().Delivery)
	}
	return rest
}
