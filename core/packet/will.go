package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Will is the message that the server publishes for a client that is gone.
type Will struct {
	// Topic is not empty in a decoded packet; its syntax is not checked here.
	Topic   string
	Payload []byte
	QoS     mqtt.QoS
	Retain  bool

	// Delay is the Will Delay Interval in seconds, zero if absent. MQTT 5.
	Delay uint32

	// Properties are those of the message, nil if it has none.
	Properties *mqtt.Properties
}

func (d *Decoder) will(c *cursor, flags byte) *Will {
	w := &Will{QoS: mqtt.QoS(flags & connectWillQoS >> 3), Retain: flags&connectWillRetain != 0}
	if d.version == mqtt.V5 {
		p := c.properties(inWill, d.limits)
		var m mqtt.Properties
		for p.next() {
			if p.id == propWillDelay {
				w.Delay = p.num
			} else {
				p.message(&m)
			}
		}
		m.User = p.user
		if !isZero(&m) {
			w.Properties = &m
		}
	}
	topic := c.text()
	if len(topic) == 0 {
		c.fail(mqtt.TopicNameInvalid, "will topic is empty") // [MQTT-4.7.3-1]
	}
	w.Topic = string(topic)
	w.Payload = append(w.Payload, c.binary()...)
	return w
}

func (p *Will) write(w *writer, v mqtt.Version) {
	if !p.QoS.Valid() {
		w.fail(errQoS)
	}
	if v == mqtt.V5 {
		block := w.begin()
		if p.Delay != 0 {
			w.propUint32(propWillDelay, p.Delay)
		}
		if p.Properties != nil {
			w.message(p.Properties, p.Properties.Expiry)
		}
		w.end(block)
	}
	w.text(p.Topic)
	w.binary(p.Payload)
}
