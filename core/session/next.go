package session

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// OutKind is the kind of packet to send.
type OutKind uint8

// The kinds of packet that Next returns.
const (
	SendPublish OutKind = iota
	SendPubrel
	SendPassed
)

// Outgoing is one packet to send. ID is 0 for a PUBLISH of QoS 0. Dup is the
// DUP flag [MQTT-3.3.1-1]. The Delivery of a PUBREL is that of the message
// which it belongs to. Passed is what SendPassed is about, nil otherwise: whoever
// gets it releases it.
type Outgoing struct {
	Kind     OutKind
	ID       uint16
	Dup      bool
	Delivery mqtt.Delivery
	Passed   *Passed
}

// Next appends at most so many (at least 1) packets to dst and returns it: first
// what has to be sent again since Attach, then what is queued and the window
// allows. A QoS 1 or 2 message that is returned is in flight from now on. An
// expired message is dropped and handed to expired (which may be nil), called
// after unlocking; one whose sending has begun never expires [MQTT-4.3.3-7].
//
// Called by the writer, which sends in the order returned. It has to call
// again as long as it gets that many: the session calls Wake again only after
// a Next that left nothing behind.
func (s *Session) Next(dst []Outgoing, most int, now time.Time, expired func(*mqtt.Message)) []Outgoing {
	s.mu.Lock()
	if s.conn == nil {
		s.mu.Unlock()
		return dst
	}
	before, limit := len(dst), len(dst)+most
	dst, gone, stagedAt := s.next(dst, limit, now)
	for stagedAt == 0 && len(dst) < limit && s.hungry() {
		if !s.fetch(func() { tell(expired, gone); gone = nil }) || s.conn == nil {
			break
		}
		var more []*mqtt.Message
		dst, more, stagedAt = s.next(dst, limit, now)
		gone = append(gone, more...)
	}
	if s.conn != nil {
		// The writer stops where it got nothing, also if what it waits for was written
		// since: whoever is told of that has to find it asleep.
		s.conn.asleep = len(dst) == before || !s.sendable()
	}
	s.count()
	s.mu.Unlock()
	if stagedAt != 0 {
		s.kept.log.After(stagedAt, s.awake)
	}
	tell(expired, gone)
	return dst
}

func tell(expired func(*mqtt.Message), gone []*mqtt.Message) {
	if expired == nil {
		return
	}
	for _, m := range gone {
		expired(m)
	}
}

// next is Next under the lock. What must be written before it is sent is staged;
// stagedAt is the position to wait for, 0 for none.
func (s *Session) next(dst []Outgoing, limit int, now time.Time) (_ []Outgoing, gone []*mqtt.Message, stagedAt uint64) {
	from := len(dst)
	if k := s.kept; k != nil {
		if k.waits() {
			return dst, nil, 0
		}
		if len(k.staged) > 0 {
			return k.unstage(dst, limit), nil, 0
		}
	}
	if p := s.conn.passed; p != nil {
		dst = append(dst, Outgoing{Kind: SendPassed, Passed: p})
		s.conn.passed = nil
	}
	dst = s.resend(dst, limit)
	dst, gone, sent := s.send(dst, limit, now)
	if s.kept != nil {
		var staged bool
		if dst, staged = s.stage(dst, from, sent); staged {
			stagedAt = s.kept.stagedAt
		}
	}
	return dst, gone, stagedAt
}

// resend appends what is due since the connection began. PUBLISHes keep their
// order and so do PUBRELs (that of the PUBRECs); between the two it is the
// order of the messages, but a PUBREL never waits for the window [MQTT-4.9.0-3].
func (s *Session) resend(dst []Outgoing, limit int) []Outgoing {
	for len(dst) < limit {
		release, publish := s.flight.dueRelease(), s.flight.duePublish()
		if publish != nil && !s.windowOpen() {
			publish = nil
		}
		switch {
		case release != nil && (publish == nil || release.sequence < publish.sequence):
			dst = append(dst, Outgoing{Kind: SendPubrel, ID: release.id, Delivery: release.Delivery})
			s.flight.settle(release)
		case publish != nil:
			dst = append(dst, Outgoing{Kind: SendPublish, ID: publish.id, Dup: true, Delivery: publish.Delivery})
			s.flight.settle(publish)
		default:
			return dst
		}
	}
	return dst
}

// send appends from the queue and returns the expired messages it met, and the
// place of the last one that the log does not know to be sent, 0 for none.
func (s *Session) send(dst []Outgoing, limit int, now time.Time) (_ []Outgoing, gone []*mqtt.Message, sent uint64) {
	for len(dst) < limit && s.queue.count > 0 && s.headSendable() {
		it := s.queue.pop()
		if at, ok := sendBy(it.Message); ok && !now.Before(at) {
			s.recordRemoval(&it)
			gone = append(gone, it.Message) // [MQTT-3.3.2-5]
			continue
		}
		out := Outgoing{Kind: SendPublish, Delivery: it.Delivery}
		if it.QoS != mqtt.AtMostOnce {
			out.ID = s.flight.add(it)
		}
		switch it.QoS {
		case mqtt.AtLeastOnce:
			sent = it.sequence
			if s.kept != nil {
				s.kept.bound = append(s.kept.bound, Binding{sent, out.ID})
			}
		case mqtt.ExactlyOnce:
			s.record(&Change{Kind: ChangeBind, Sequence: it.sequence, ID: out.ID})
		}
		dst = append(dst, out)
	}
	return dst, gone, sent
}

// sendable reports whether Next would find anything. Asked while attached.
func (s *Session) sendable() bool {
	if k := s.kept; k != nil {
		if k.waits() {
			return false
		}
		if len(k.staged) > 0 {
			return true
		}
	}
	if s.conn.passed != nil || s.flight.dueRelease() != nil {
		return true
	}
	if s.flight.duePublish() != nil {
		return s.windowOpen()
	}
	if s.queue.count == 0 {
		return s.hungry()
	}
	return s.headSendable()
}

// headSendable reports whether the first message of a queue that is not empty
// may go. What is due again goes before it.
func (s *Session) headSendable() bool {
	if s.flight.duePublish() != nil {
		return false
	}
	return s.queue.front().QoS == mqtt.AtMostOnce || s.windowOpen()
}

// windowOpen reports whether the client takes another QoS 1 or 2 PUBLISH.
// Every message counts from its PUBLISH (or PUBREL, if that is all that this
// connection has seen of it) to its last acknowledgement [MQTT-4.9.0-2].
func (s *Session) windowOpen() bool {
	return s.flight.count-s.flight.unsent < s.conn.window
}
