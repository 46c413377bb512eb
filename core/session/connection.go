package session

import (
	"math"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Attachment is what a session has to know about the connection that it is
// attached to: what the client's CONNECT said.
type Attachment struct {
	Version mqtt.Version

	// ReceiveMaximum and AliasMaximum are the client's: how many QoS 1 and 2
	// messages it takes unacknowledged (zero means 65,535), and the highest
	// topic alias that it accepts from us (zero means none).
	ReceiveMaximum uint16
	AliasMaximum   uint16

	// MaxInFlight is a further cap on unacknowledged sends, of this
	// connection only (a validator's decision). Zero means none.
	MaxInFlight uint16

	// PassUpTo is the size of the largest packet that the client may get as its
	// publisher has written it; see [Session.Pass]. Zero means that none may.
	PassUpTo int

	// Wake is called when there is something to send and the last Next had
	// left nothing behind. It is called without the session's lock, by
	// whatever goroutine made it so (the writer's own included), once until
	// Next is called again, and it may still be called shortly after Detach.
	// It must not block. Nil means that the writer asks by itself.
	Wake func()
}

// window is how many messages may be in flight over the connection
// [MQTT-3.3.4-9] [MQTT-4.9.0-1].
func (a *Attachment) window(lim Limits) int {
	w := lim.InFlight
	if a.ReceiveMaximum != 0 {
		w = min(w, a.ReceiveMaximum)
	}
	if a.MaxInFlight != 0 {
		w = min(w, a.MaxInFlight)
	}
	return int(w)
}

// connection is the state that dies with the network connection.
type connection struct {
	offered Attachment
	window  int
	asleep  bool // the writer found nothing to send and waits for Wake

	receiveMaximum int     // ours, as this client was told; none for MQTT 3
	passed         *Passed // nil if nothing was, see Session.Pass

	unanswered int // inbound messages that count against it

	aliasMaximum uint16            // ours, as this client was told
	aliasIn      map[uint16]string // nil until the client sets one
	aliasOut     *aliasTable       // nil if the client accepts none
}

// Attach begins a connection. Messages in flight become due again, to be sent
// in their original order before anything new [MQTT-4.4.0-1]; topic aliases
// and both windows start afresh [MQTT-3.3.2-7] [MQTT-4.9.0-1]; QoS 2
// identifiers that were received and answered are kept, those that were never
// answered are forgotten, so that the client's retransmission counts as new.
//
// The goroutines of the connection before must have ended. Attach of an
// attached session ends the attachment before it, without dropping anything.
func (s *Session) Attach(a Attachment) {
	s.mu.Lock()
	s.unpass()
	c := &connection{
		offered:        a,
		window:         a.window(s.limits),
		asleep:         true,
		receiveMaximum: math.MaxInt,
	}
	if a.Version >= mqtt.V5 { // earlier clients were told of no limit and know no alias
		c.receiveMaximum = int(s.limits.ReceiveMaximum)
		c.aliasMaximum = s.limits.AliasMaximum
		if a.AliasMaximum > 0 {
			c.aliasOut = &aliasTable{max: min(int(a.AliasMaximum), maxAliases)}
		}
	}
	s.conn = c
	s.version = a.Version
	s.inbound.reconnected()
	s.flight.reconnected()
	gate := s.attachKept()
	s.unlock()
	if gate != 0 {
		s.kept.log.After(gate, s.awake)
	}
}

// Detach ends the connection: queued messages of QoS 0 are dropped unless
// Limits.QueueQoS0Offline says otherwise, and returned.
// Next returns nothing until the next Attach. Detach of a detached session
// does nothing.
func (s *Session) Detach() (dropped []mqtt.Delivery) {
	s.mu.Lock()
	defer s.unlock()
	if s.conn == nil {
		return nil
	}
	s.unpass()
	s.conn = nil
	s.inbound.trim()
	dropped = s.detachKept()
	if s.limits.QueueQoS0Offline {
		return dropped
	}
	s.queue.retain(func(it *item) bool {
		if it.QoS == mqtt.AtMostOnce {
			dropped = append(dropped, it.Delivery)
		}
		return it.QoS != mqtt.AtMostOnce
	})
	return dropped
}

// Attached reports whether the session has a connection.
func (s *Session) Attached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn != nil
}
