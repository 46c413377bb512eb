package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Suback is a SUBACK packet, the answer to SUBSCRIBE.
type Suback struct {
	// ID is the packet identifier of the SUBSCRIBE, never zero.
	ID uint16

	// Codes has one entry for each filter, in the same order [MQTT-3.9.3-1]:
	// the granted QoS or why not. For MQTT 3 every failure becomes 0x80.
	Codes []mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is SUBACK.
func (*Suback) Type() Type { return SUBACK }

func (d *Decoder) suback(c *cursor) *Suback {
	p := &Suback{ID: c.id()}
	allowed := subackCodesV3
	if d.version == mqtt.V5 {
		allowed = subackCodes
		p.Reason, p.User = d.problem(c, SUBACK)
	}
	p.Codes = c.reasons(allowed)
	return p
}

// reasons reads the rest of the packet as reason codes, at least one.
func (c *cursor) reasons(allowed *codeSet) []mqtt.ReasonCode {
	if c.left() == 0 {
		c.malformed("no reason code")
	}
	if c.bad() {
		return nil
	}
	list := make([]mqtt.ReasonCode, 0, c.left())
	for c.left() > 0 && !c.bad() {
		list = append(list, c.reason(allowed))
	}
	return list
}

func (p *Suback) write(w *writer, v mqtt.Version) {
	w.id(p.ID)
	if v == mqtt.V5 {
		w.problemBlock(p.Reason, p.User)
		w.reasons(p.Codes)
		return
	}
	for _, c := range p.Codes {
		if c.Failed() {
			c = mqtt.UnspecifiedError // the only one there
		}
		w.uint8(byte(c))
	}
}
