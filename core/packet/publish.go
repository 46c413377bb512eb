package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Publish is a PUBLISH packet: a message and how it travels.
type Publish struct {
	// Message is what the decoder read: topic, payload, QoS, retain flag and
	// properties. Publisher, Origin and Created are left for the broker to
	// fill in. Taking its address keeps the Publish alive, which costs little.
	//
	// Topic is empty only if an alias takes its place. Its syntax is not
	// checked here.
	Message mqtt.Message

	// ID is the packet identifier, never zero with QoS 1 and 2 and always
	// zero with QoS 0.
	ID uint16

	// Dup says that the sender may have sent it before.
	Dup bool

	// Alias is the Topic Alias, valid if HasAlias and then not zero. MQTT 5.
	Alias    uint16
	HasAlias bool

	// SubscriptionIDs come only from a server [MQTT-3.3.4-6]; nil if none.
	SubscriptionIDs []uint32
}

// Type is PUBLISH.
func (*Publish) Type() Type { return PUBLISH }

// publishWithProperties is one allocation instead of two.
type publishWithProperties struct {
	Publish
	properties mqtt.Properties
}

func (d *Decoder) publish(c *cursor, flags byte) *Publish {
	raw := c.binary()
	topic, known := d.topics.find(raw)
	if !known && !validText(raw) {
		c.malformed("topic is not UTF-8 or contains U+0000")
	}
	qos := mqtt.QoS(flags >> 1 & 3)
	var id uint16
	if qos > mqtt.AtMostOnce {
		id = c.id()
	}
	if c.bad() {
		return nil
	}
	if d.lends(c, raw, flags) {
		if !known {
			topic = d.topics.add(raw)
		}
		return d.lend(c, topic)
	}
	p := d.publishProperties(c)
	if len(raw) == 0 && !p.HasAlias {
		c.illegal("topic is empty") // [MQTT-4.7.3-1], and section 3.3.2.1
	}
	payload := c.rest()
	if c.bad() {
		return nil
	}
	if !known && len(raw) > 0 {
		topic = d.topics.add(raw)
	}
	p.Message.Topic = topic
	p.Message.Payload = append(p.Message.Payload, payload...)
	p.Message.QoS = qos
	p.Message.Retain = flags&0x01 != 0
	p.Dup = flags&0x08 != 0 && qos > mqtt.AtMostOnce
	p.ID = id
	return p
}

// publishProperties allocates a Publish and reads into it the properties, if
// the version has any.
func (d *Decoder) publishProperties(c *cursor) *Publish {
	if d.version != mqtt.V5 {
		return new(Publish)
	}
	p := c.properties(in(PUBLISH), d.limits)
	if p.left() == 0 {
		return new(Publish)
	}
	to := new(publishWithProperties)
	for p.next() {
		switch p.id {
		case propTopicAlias:
			to.Alias, to.HasAlias = uint16(p.num), true
			if p.num == 0 {
				c.fail(mqtt.TopicAliasInvalid, "topic alias is zero") // [MQTT-3.3.2-8]
			}
		case propSubscriptionID:
			if !d.fromServer {
				c.illegal("subscription identifier from a client") // [MQTT-3.3.4-6]
			}
			to.SubscriptionIDs = append(to.SubscriptionIDs, p.num)
		default:
			p.message(&to.properties)
		}
	}
	to.properties.User = p.user
	if !isZero(&to.properties) {
		to.Message.Properties = &to.properties
	}
	return &to.Publish
}

// message stores the property at hand if it is one of a message.
func (p *propertyReader) message(to *mqtt.Properties) {
	switch p.id {
	case propPayloadFormat:
		to.PayloadIsUTF8, to.HasPayloadFormat = p.num == 1, true
	case propMessageExpiry:
		to.Expiry, to.HasExpiry = p.num, true
	case propContentType:
		to.ContentType = p.shared()
		to.EmptyContentType = to.ContentType == ""
	case propResponseTopic:
		to.ResponseTopic = p.shared()
		if to.ResponseTopic == "" {
			p.fail(mqtt.TopicNameInvalid, "response topic is empty") // [MQTT-4.7.3-1]
		}
	case propCorrelationData:
		to.CorrelationData = p.data()
	}
}

// isZero reports whether p says nothing that would be sent.
func isZero(p *mqtt.Properties) bool {
	return !p.HasPayloadFormat && !p.HasExpiry && p.ContentType == "" && !p.EmptyContentType && p.ResponseTopic == "" &&
		p.CorrelationData == nil && p.User == nil
}

func (e *Encoder) appendPublish(dst []byte, p *Publish) ([]byte, error) {
	h := PublishHeader{
		ID: p.ID, QoS: p.Message.QoS, Dup: p.Dup, Retain: p.Message.Retain,
		SubscriptionIDs: p.SubscriptionIDs,
	}
	if p.HasAlias {
		h.Alias = p.Alias
	}
	if p.Message.Properties != nil {
		h.Expiry = p.Message.Properties.Expiry
	}
	return e.AppendPublish(dst, &h, &p.Message)
}

// PublishHeader is what differs between the copies of one message that go to
// several receivers.
type PublishHeader struct {
	// ID is the packet identifier, not zero if QoS is 1 or 2.
	ID uint16

	// QoS, Dup and Retain are the flags to send; those of the message are not
	// looked at.
	QoS    mqtt.QoS
	Dup    bool
	Retain bool

	// Alias is the Topic Alias, zero for none. OmitTopic leaves the topic out,
	// once the receiver knows the alias. Both have no effect before MQTT 5.
	Alias     uint16
	OmitTopic bool

	// SubscriptionIDs are those of the subscriptions that matched.
	SubscriptionIDs []uint32

	// Expiry is the Message Expiry Interval to send, in seconds, if the message
	// has one: what is left of it, see [mqtt.Message.RemainingExpiry].
	Expiry uint32
}

// AppendPublish appends a PUBLISH packet of message m, with the flags of h, to
// dst; see [Encoder.Append]. It does not allocate if dst has room.
func (e *Encoder) AppendPublish(dst []byte, h *PublishHeader, m *mqtt.Message) ([]byte, error) {
	if e.exceeds(len(m.Payload)) { // before memory is taken for it
		return dst, ErrTooLarge
	}
	w := writer{buf: dst}
	w.uint8(byte(PUBLISH)<<4 | h.flags())
	if h.OmitTopic && e.Version == mqtt.V5 {
		w.text("")
	} else {
		w.text(m.Topic)
	}
	switch {
	case !h.QoS.Valid():
		w.fail(errQoS)
	case h.QoS > mqtt.AtMostOnce:
		w.id(h.ID)
	}
	if e.Version == mqtt.V5 {
		h.writeProperties(&w, m.Properties)
	}
	w.insertLength(len(dst)+1, len(m.Payload))
	switch {
	case w.err != nil:
		return dst, w.err
	case e.exceeds(len(w.buf) - len(dst) + len(m.Payload)):
		return dst, ErrTooLarge
	}
	return append(w.buf, m.Payload...), nil
}

func (h *PublishHeader) flags() byte {
	f := byte(h.QoS) << 1
	if h.Dup && h.QoS > mqtt.AtMostOnce {
		f |= 0x08
	}
	if h.Retain {
		f |= 0x01
	}
	return f
}

func (h *PublishHeader) writeProperties(w *writer, p *mqtt.Properties) {
	block := w.begin()
	if h.Alias > 0 {
		w.propUint16(propTopicAlias, h.Alias)
	}
	for _, id := range h.SubscriptionIDs {
		w.propSubID(id)
	}
	w.message(p, h.Expiry)
	w.end(block)
}

// message writes the properties of a message, with the expiry given.
func (w *writer) message(p *mqtt.Properties, expiry uint32) {
	if p == nil {
		return
	}
	if p.HasPayloadFormat {
		w.propFlag(propPayloadFormat, p.PayloadIsUTF8)
	}
	if p.HasExpiry {
		w.propUint32(propMessageExpiry, expiry)
	}
	if p.EmptyContentType && p.ContentType == "" {
		w.propEmptyText(propContentType)
	}
	w.propText(propContentType, p.ContentType)
	w.propText(propResponseTopic, p.ResponseTopic)
	w.propBinary(propCorrelationData, p.CorrelationData)
	w.propUser(p.User)
}
