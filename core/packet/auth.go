package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Auth is an AUTH packet: one step of enhanced authentication. MQTT 5 only.
type Auth struct {
	// Code is ContinueAuthentication, ReAuthenticate (from a client only) or
	// Success (from a server only) [MQTT-3.15.2-1].
	Code mqtt.ReasonCode

	// Method is the Authentication Method. Every AUTH from a client has one.
	Method string

	// Data is the Authentication Data, nil if absent.
	Data []byte

	// Reason is the Reason String, "" for none; User the User Properties, nil
	// for none.
	Reason string
	User   []mqtt.UserProperty
}

// Type is AUTH.
func (*Auth) Type() Type { return AUTH }

func (d *Decoder) auth(c *cursor) *Auth {
	if !d.fromServer && !d.hasMethod {
		c.illegal("AUTH without an authentication method in CONNECT") // [MQTT-4.12.0-7]
	}
	a := &Auth{}
	if c.left() == 0 { // Success, and nothing to add
		if !d.fromServer {
			c.illegal("reason code is not one for this packet")
		}
		return a
	}
	allowed := clientAuthCodes
	if d.fromServer {
		allowed = serverAuthCodes
	}
	a.Code = c.reason(allowed)
	p := c.properties(in(AUTH), d.limits)
	for p.next() {
		switch p.id {
		case propAuthMethod:
			a.Method = p.text()
		case propAuthData:
			a.Data = p.data()
		case propReasonString:
			a.Reason = p.text()
		}
	}
	a.User = p.user
	if !p.has(propAuthMethod) {
		c.illegal("authentication method is missing") // section 3.15.2.2.2
	}
	return a
}

func (a *Auth) write(w *writer, v mqtt.Version) {
	if v != mqtt.V5 {
		w.fail(ErrNotInVersion)
		return
	}
	if a.Code == mqtt.Success && a.Method == "" && a.Data == nil && a.Reason == "" && len(a.User) == 0 {
		return
	}
	w.uint8(byte(a.Code))
	block := w.begin()
	w.uint8(byte(propAuthMethod))
	w.text(a.Method)
	w.propBinary(propAuthData, a.Data)
	w.problem(a.Reason, a.User)
	w.end(block)
}
