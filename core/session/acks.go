package session

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Puback handles a PUBACK, of whatever code [MQTT-4.4.0-2]: the QoS 1 message
// is delivered and its identifier free. Not found means an identifier that is
// not in flight with QoS 1, as after a duplicate PUBACK: it is to be ignored.
// Called by the reader.
func (s *Session) Puback(id uint16) (d mqtt.Delivery, found bool) {
	s.mu.Lock()
	defer s.unlock()
	m := s.flight.get(id)
	if m == nil || m.QoS != mqtt.AtLeastOnce {
		return mqtt.Delivery{}, false
	}
	return s.landed(m), true
}

// landed takes a message out of flight for good. mu is held.
func (s *Session) landed(m *flying) mqtt.Delivery {
	s.recordRemoval(&m.item)
	return s.flight.remove(m)
}

// Pubrec handles a PUBREC with the client's code.
//
// Below 0x80 a PUBREL is to be sent [MQTT-4.3.3-4], also in answer to a
// repeated PUBREC; from then on the message is not published again
// [MQTT-4.3.3-6]. From 0x80 on the exchange is over: the identifier is free,
// done is true and d is the message that the client refused [MQTT-4.4.0-2].
//
// For an identifier that is not in flight the PUBREL says so with reply 0x92,
// so that the client can forget it; a refusal gets no answer. A PUBREC for a
// QoS 1 message is the client's error: reply is 0x82 and no PUBREL goes out.
// Called by the reader.
func (s *Session) Pubrec(id uint16, code mqtt.ReasonCode) (reply mqtt.ReasonCode, sendPubrel bool, d mqtt.Delivery, done bool) {
	s.mu.Lock()
	defer s.unlock()
	m := s.flight.get(id)
	switch {
	case m == nil:
		return mqtt.PacketIdentifierNotFound, !code.Failed(), mqtt.Delivery{}, false
	case m.QoS != mqtt.ExactlyOnce:
		return mqtt.ProtocolError, false, mqtt.Delivery{}, false
	case code.Failed() && !m.released:
		return mqtt.Success, false, s.landed(m), true
	case code.Failed():
		// The PUBREL is out: the client owns the message and ends the
		// exchange with a PUBCOMP.
		return mqtt.Success, false, mqtt.Delivery{}, false
	}
	if !m.released {
		s.record(&Change{Kind: ChangeRelease, Sequence: m.sequence, ID: id})
		s.flight.release(m)
	}
	return mqtt.Success, true, mqtt.Delivery{}, false
}

// Pubcomp handles a PUBCOMP, of whatever code: the QoS 2 message is delivered
// and its identifier free. Not found means an identifier whose PUBREC has not
// come, or that is not in flight: it is to be ignored. Called by the reader.
func (s *Session) Pubcomp(id uint16) (d mqtt.Delivery, found bool) {
	s.mu.Lock()
	defer s.unlock()
	m := s.flight.get(id)
	if m == nil || !m.released {
		return mqtt.Delivery{}, false
	}
	return s.landed(m), true
}

// Cancel takes a message that Next returned, but that could not be sent (too
// large for the client, dropped by a hook), out of flight: its identifier and
// its slot are free. A message past its PUBREC stays. Called by the writer.
func (s *Session) Cancel(id uint16) {
	s.mu.Lock()
	defer s.unlock()
	if m := s.flight.get(id); m != nil && !m.released {
		s.landed(m)
	}
}
