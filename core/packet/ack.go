package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Ack is one of the four packets that acknowledge a PUBLISH: PUBACK, PUBREC,
// PUBREL and PUBCOMP, which differ in nothing but their type and in the reason
// codes that they allow.
type Ack struct {
	// Kind is PUBACK, PUBREC, PUBREL or PUBCOMP.
	Kind Type

	// ID is the packet identifier, never zero.
	ID uint16

	// Code is always Success before MQTT 5, which has no place for it.
	Code mqtt.ReasonCode

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none. MQTT 5.
	Reason string
	User   []mqtt.UserProperty
}

// Type is the Kind.
func (a *Ack) Type() Type { return a.Kind }

func (d *Decoder) ack(c *cursor, t Type) *Ack {
	p := &Ack{Kind: t, ID: c.id()}
	if c.left() == 0 {
		return p // all of it before MQTT 5; there, Success
	}
	allowed := pubackCodes
	if t == PUBREL || t == PUBCOMP {
		allowed = pubrelCodes
	}
	p.Code = c.reason(allowed)
	if c.left() > 0 {
		p.Reason, p.User = d.problem(c, t)
	}
	return p
}

// problem reads a property block in which only a Reason String and User
// Properties may stand.
func (d *Decoder) problem(c *cursor, t Type) (reason string, user []mqtt.UserProperty) {
	p := c.properties(in(t), d.limits)
	for p.next() {
		reason = p.text()
	}
	return reason, p.user
}

// write leaves out what may be left out: the properties if there are none,
// and then the Reason Code if it is Success.
func (a *Ack) write(w *writer, v mqtt.Version) {
	if a.Kind < PUBACK || a.Kind > PUBCOMP {
		w.fail(errUnknownType)
	}
	w.id(a.ID)
	if v != mqtt.V5 {
		return
	}
	short := len(w.buf)
	w.uint8(byte(a.Code))
	if !w.problemBlock(a.Reason, a.User) {
		w.buf = w.buf[:short+1]
		if a.Code == mqtt.Success {
			w.buf = w.buf[:short]
		}
	}
}
