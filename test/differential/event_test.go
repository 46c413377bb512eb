package differential

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// event is what a client got: a packet without what brokers may choose freely,
// or the end of its connection.
type event struct {
	kind    string // the packet's name, "closed"
	id      uint16 // of the client's own request that is answered
	codes   []mqtt.ReasonCode
	present bool // session present

	topic, payload string
	qos            mqtt.QoS
	retain, dup    bool
	ids            []uint32 // subscription identifiers, sorted
	props          mqtt.Properties
	copies         int // how many PUBLISHes say this; see merge
}

// String shows what there is to the event.
func (e event) String() string {
	var b strings.Builder
	b.WriteString(e.kind)
	if e.id != 0 {
		fmt.Fprintf(&b, " id=%d", e.id)
	}
	if len(e.codes) > 0 {
		fmt.Fprintf(&b, " codes=%x", e.codes)
	}
	if e.present {
		b.WriteString(" session-present")
	}
	if e.topic != "" {
		fmt.Fprintf(&b, " %s %q qos=%d retain=%t dup=%t", e.topic, e.payload, e.qos, e.retain, e.dup)
	} else if e.payload != "" {
		fmt.Fprintf(&b, " of %q", e.payload)
	}
	if len(e.ids) > 0 {
		fmt.Fprintf(&b, " subs=%d", e.ids)
	}
	if p := e.properties(); p != "" {
		b.WriteString(" " + p)
	}
	if e.copies > 1 {
		fmt.Fprintf(&b, " (%d copies)", e.copies)
	}
	return b.String()
}

// properties are those of a message in one comparable form.
func (e event) properties() string {
	p := &e.props
	var out []string
	if p.HasPayloadFormat {
		out = append(out, fmt.Sprintf("utf8=%t", p.PayloadIsUTF8))
	}
	if p.HasExpiry {
		out = append(out, fmt.Sprintf("expiry=%d", p.Expiry))
	}
	if p.ContentType != "" {
		out = append(out, fmt.Sprintf("type=%q", p.ContentType))
	}
	if p.ResponseTopic != "" {
		out = append(out, fmt.Sprintf("response=%q", p.ResponseTopic))
	}
	if p.CorrelationData != nil {
		out = append(out, fmt.Sprintf("correlation=%x", p.CorrelationData))
	}
	if len(p.User) > 0 {
		out = append(out, fmt.Sprintf("user=%q", p.User))
	}
	return strings.Join(out, " ")
}

// aboveMaximum is added to the kind of a PUBLISH that the client's Receive
// Maximum does not permit.
const aboveMaximum = " above the receive maximum"

// expiryStep divides all expiry intervals of a dialogue.
const expiryStep = 1000

// eventOf leaves of a packet what counts.
func eventOf(p packet.Packet) event {
	e := event{kind: p.Type().String()}
	switch p := p.(type) {
	case *packet.Connack:
		e.codes, e.present = []mqtt.ReasonCode{p.Code}, p.SessionPresent
	case *packet.Publish:
		m := &p.Message
		e.topic, e.payload, e.qos, e.retain, e.dup = m.Topic, string(m.Payload), m.QoS, m.Retain, p.Dup
		// Two subscriptions may have the same identifier.
		e.ids = slices.Compact(slices.Sorted(slices.Values(p.SubscriptionIDs)))
		e.copies = 1
		if m.Properties != nil {
			e.props = *m.Properties
			// All are a multiple, and what a message has waited is less.
			e.props.Expiry = (e.props.Expiry + expiryStep - 1) / expiryStep * expiryStep
		}
	case *packet.Ack:
		e.codes = []mqtt.ReasonCode{p.Code}
		if p.Kind != packet.PUBREL { // whose identifier is the broker's
			e.id = p.ID
		}
	case *packet.Suback:
		e.id, e.codes = p.ID, p.Codes
	case *packet.Unsuback:
		e.id, e.codes = p.ID, p.Codes
	case *packet.Disconnect:
		e.codes = []mqtt.ReasonCode{p.Code}
	}
	return e
}
