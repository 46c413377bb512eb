package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Disconnect is a DISCONNECT packet. Before MQTT 5 only a client may send one,
// and it says nothing: a server just closes.
type Disconnect struct {
	// Code is why; NormalDisconnection is mqtt.Success.
	Code mqtt.ReasonCode

	// SessionExpiry is the Session Expiry Interval in seconds that replaces
	// the one of CONNECT, valid if HasSessionExpiry. Only a client sends it
	// [MQTT-3.14.2-2].
	SessionExpiry    uint32
	HasSessionExpiry bool

	// Reason is the Reason String, ServerReference another server to use; ""
	// for none.
	Reason          string
	ServerReference string

	// User are the User Properties, nil for none.
	User []mqtt.UserProperty
}

// Type is DISCONNECT.
func (*Disconnect) Type() Type { return DISCONNECT }

func (d *Decoder) disconnect(c *cursor) *Disconnect {
	p := &Disconnect{}
	if c.left() == 0 {
		return p // all of it before MQTT 5; there, Normal Disconnection
	}
	allowed := clientDisconnectCodes
	if d.fromServer {
		allowed = serverDisconnectCodes
	}
	p.Code = c.reason(allowed)
	if c.left() > 0 {
		d.disconnectProperties(c, p)
	}
	return p
}

func (d *Decoder) disconnectProperties(c *cursor, to *Disconnect) {
	p := c.properties(in(DISCONNECT), d.limits)
	for p.next() {
		switch p.id {
		case propSessionExpiry:
			to.SessionExpiry, to.HasSessionExpiry = p.num, true
			if d.fromServer {
				c.illegal("session expiry from a server") // [MQTT-3.14.2-2]
			} else if d.keepsNone && p.num > 0 {
				c.illegal("session expiry was zero in CONNECT") // section 3.14.2.2.2
			}
		case propReasonString:
			to.Reason = p.text()
		case propServerReference:
			to.ServerReference = p.text()
		}
	}
	to.User = p.user
}

// write leaves out what may be left out, as [Ack] does.
func (p *Disconnect) write(w *writer, v mqtt.Version) {
	if v != mqtt.V5 {
		return
	}
	short := len(w.buf)
	w.uint8(byte(p.Code))
	block := w.begin()
	if p.HasSessionExpiry {
		w.propUint32(propSessionExpiry, p.SessionExpiry)
	}
	w.propText(propServerReference, p.ServerReference)
	w.problem(p.Reason, p.User)
	if len(w.buf) > block {
		w.end(block)
		return
	}
	if p.Code == mqtt.Success {
		w.buf = w.buf[:short]
	}
}
