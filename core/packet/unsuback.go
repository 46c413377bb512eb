package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Unsuback is an UNSUBACK packet, the answer to UNSUBSCRIBE.
type Unsuback struct {
	// ID is the packet identifier of the UNSUBSCRIBE, never zero.
	ID uint16

	// Codes has one entry for each filter, in the same order [MQTT-3.11.3-1].
	// MQTT 3 has no place for them: the encoder leaves them out.
	Codes []mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is UNSUBACK.
func (*Unsuback) Type() Type { return UNSUBACK }

func (d *Decoder) unsuback(c *cursor) *Unsuback {
	p := &Unsuback{ID: c.id()}
	if d.version == mqtt.V5 {
		p.Reason, p.User = d.problem(c, UNSUBACK)
		p.Codes = c.reasons(unsubackCodes)
	}
	return p
}

func (p *Unsuback) write(w *writer, v mqtt.Version) {
	w.id(p.ID)
	if v == mqtt.V5 {
		w.problemBlock(p.Reason, p.User)
		w.reasons(p.Codes)
	}
}
