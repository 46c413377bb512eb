package session

import (
	"math"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Receipt says what an arriving PUBLISH is.
type Receipt uint8

// The kinds of arriving PUBLISH.
const (
	// NewMessage is one to handle.
	NewMessage Receipt = iota
	// Duplicate is a QoS 2 message whose identifier is held: it is answered
	// again (see [Session.ReceivedCode]) and not handled again [MQTT-4.3.3-10].
	Duplicate
)

// inbound is the receiver's half of QoS 2: the identifiers whose PUBREL has
// not come.
type inbound struct {
	held  map[uint16]receipt // nil until there is one
	large bool               // held has grown, and a map never shrinks
}

// smallMap is how many entries a map takes without growing.
const smallMap = 8

// receipt is one QoS 2 message between PUBLISH and PUBREL.
type receipt struct {
	code     mqtt.ReasonCode
	answered bool // code is decided: the message was handled
	counted  bool // it was published over the present connection
	kept     bool // the log knows of it
}

// reconnected prepares for a new connection. A message that was never decided
// was never handled, so its retransmission must be; and one that was refused
// may be judged again, for the new connection may be of another version, in
// which a refusal ends the exchange.
func (in *inbound) reconnected() {
	for id, r := range in.held {
		if !r.kept && (!r.answered || r.code.Failed()) {
			delete(in.held, id)
			continue
		}
		r.counted = false
		in.held[id] = r
	}
	in.trim()
}

// trim gives memory back that a client without a connection does not need.
func (in *inbound) trim() {
	if len(in.held) == 0 {
		*in = inbound{}
	}
}

func (in *inbound) put(id uint16, r receipt) {
	if in.held == nil {
		in.held = make(map[uint16]receipt)
	}
	in.held[id] = r
	in.large = in.large || len(in.held) > smallMap
}

func (in *inbound) remove(id uint16) {
	delete(in.held, id)
	if in.large {
		in.trim()
	}
}

// Receive registers an arriving PUBLISH of QoS q with packet identifier id.
// Its code is 0x93 when an MQTT 5 client has more QoS 1 and 2 messages
// unanswered than our Receive Maximum (the connection is to be closed with
// it; nothing was registered) [MQTT-3.3.4-7], else Success. QoS 0 is always
// a NewMessage and never counts. Called by the reader; every NewMessage of
// QoS 1 or 2 is followed by [Session.Acknowledge], or by the end of the
// connection.
func (s *Session) Receive(id uint16, q mqtt.QoS) (Receipt, mqtt.ReasonCode) {
	if q == mqtt.AtMostOnce {
		return NewMessage, mqtt.Success
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var held receipt // the zero value for QoS 1, which knows no duplicates
	known := false
	if q == mqtt.ExactlyOnce {
		held, known = s.inbound.held[id]
	}
	if !held.counted && !s.countUnanswered() {
		return NewMessage, mqtt.ReceiveMaximumExceeded
	}
	if q == mqtt.ExactlyOnce {
		held.counted = true
		s.inbound.put(id, held)
	}
	if known {
		return Duplicate, mqtt.Success
	}
	return NewMessage, mqtt.Success
}

// countUnanswered takes one of the client's slots, if there is one.
func (s *Session) countUnanswered() bool {
	c := s.conn
	if c == nil {
		return true // a late reader: the next connection starts at zero
	}
	if c.unanswered >= c.receiveMaximum {
		return false
	}
	c.unanswered++
	return true
}

// identifiers is how many packet identifiers there are: 1 to 65,535.
const identifiers = math.MaxUint16

// answerOne gives one of the client's slots back. The client takes every
// PUBCOMP as a slot, also that for a PUBREL which it sent again after a
// reconnect and which took none (section 4.9), so the count may go below
// zero: as far as the number of exchanges that a client can have carried over.
func (s *Session) answerOne() {
	if c := s.conn; c != nil && c.unanswered > -identifiers {
		c.unanswered--
	}
}

// Acknowledge says that the message with this identifier is decided and code
// is about to go out in a PUBACK (QoS 1) or PUBREC (QoS 2); no-op for QoS 0.
// The slot of a QoS 1 message is free again [MQTT-4.3.2-5]. The identifier of
// a QoS 2 message is held with its code until [Session.Release], unless the
// code is 0x80 or above, which frees it [MQTT-4.3.3-9]; MQTT 3 has no codes
// in a PUBREC, there it is held whatever the code.
func (s *Session) Acknowledge(id uint16, q mqtt.QoS, code mqtt.ReasonCode) {
	if q == mqtt.AtMostOnce {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q == mqtt.AtLeastOnce {
		s.answerOne()
		return
	}
	r, ok := s.inbound.held[id]
	switch {
	case !ok:
	case code.Failed() && s.version >= mqtt.V5:
		if r.kept {
			s.record(&Change{Kind: ChangeForget, ID: id})
		}
		s.inbound.remove(id)
		s.answerOne()
	default:
		r.code, r.answered = code, true
		s.inbound.put(id, r)
	}
}

// KeepReceived says that a QoS 2 message with this identifier was put into
// queues that outlive the broker, so that it must not be handled again. Called in
// the same group of the log as what queued it; no-op for a session that is not
// kept.
func (s *Session) KeepReceived(id uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.inbound.held[id]
	if s.kept == nil || !ok {
		return
	}
	r.answered, r.kept = true, true
	s.inbound.put(id, r)
	s.record(&Change{Kind: ChangeReceive, ID: id})
}

// ReceivedCode returns the code that a Duplicate is answered with: the one
// that [Session.Acknowledge] was given, Success if there is none yet. A
// reader that decides messages in batches asks after deciding.
func (s *Session) ReceivedCode(id uint16) mqtt.ReasonCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbound.held[id].code
}

// Release handles a PUBREL: the identifier may be used for a new message
// [MQTT-4.3.3-12]. It reports whether the identifier was held; the PUBCOMP
// goes out either way [MQTT-4.3.3-11], with 0x92 if it was not.
func (s *Session) Release(id uint16) (found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answerOne()
	r, found := s.inbound.held[id]
	if found {
		if r.kept {
			s.record(&Change{Kind: ChangeForget, ID: id})
		}
		s.inbound.remove(id)
	}
	return found
}
