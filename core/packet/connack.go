package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Connack is a CONNACK packet, the answer to CONNECT. Its zero value says
// "connected, nothing is limited". All but the first two fields are MQTT 5
// only and are left out for other versions.
type Connack struct {
	// SessionPresent is written only for MQTT 3.1.1 and 5 and only with
	// Success [MQTT-3.2.2-6].
	SessionPresent bool

	// Code is the outcome. For MQTT 3 the encoder maps it to one of the five
	// return codes, or refuses with [ErrNotInVersion] if none applies, and then
	// the connection is closed without a CONNACK (MQTT-3.2.2-6 of 3.1.1).
	Code mqtt.ReasonCode

	// SessionExpiry is the Session Expiry Interval in seconds that the server
	// uses instead of the client's, written if HasSessionExpiry.
	SessionExpiry    uint32
	HasSessionExpiry bool

	// ReceiveMaximum is how many QoS 1 and 2 messages the server takes at
	// once; zero is absent and means 65,535.
	ReceiveMaximum uint16

	// MaximumQoS is the highest QoS that the server takes, 0 or 1, valid if
	// HasMaximumQoS; absent means 2.
	MaximumQoS    mqtt.QoS
	HasMaximumQoS bool

	// What the server does not offer. False, the default, is not written.
	NoRetain          bool
	NoWildcard        bool
	NoSubscriptionIDs bool
	NoShared          bool

	// MaximumPacketSize is the largest packet, in bytes and with its fixed
	// header, that the server accepts; zero is absent and means no limit.
	MaximumPacketSize uint32

	// AssignedClientID is the identifier that the server chose, "" if it did
	// not have to [MQTT-3.2.2-16].
	AssignedClientID string

	// TopicAliasMaximum is the highest alias that the client may use.
	TopicAliasMaximum uint16

	// Reason is the Reason String, "" for none.
	Reason string

	// User are the User Properties, nil for none.
	User []mqtt.UserProperty

	// ServerKeepAlive, in seconds, replaces the client's, if HasServerKeepAlive.
	ServerKeepAlive    uint16
	HasServerKeepAlive bool

	// "" means absent for each of these.
	ResponseInfo    string
	ServerReference string
	AuthMethod      string

	// AuthData is nil if absent.
	AuthData []byte
}

// Type is CONNACK.
func (*Connack) Type() Type { return CONNACK }

// returnCodes are the reason codes that the return codes of MQTT 3 stand for.
var returnCodes = [...]mqtt.ReasonCode{
	mqtt.Success,
	mqtt.UnsupportedProtocolVersion,
	mqtt.ClientIdentifierNotValid,
	mqtt.ServerUnavailable,
	mqtt.BadUserNameOrPassword,
	mqtt.NotAuthorized,
}

// returnCode finds the return code of MQTT 3 that tells a client best what a
// reason code means, if there is one.
func returnCode(code mqtt.ReasonCode) (byte, bool) {
	switch code {
	case mqtt.Success:
		return 0, true
	case mqtt.UnsupportedProtocolVersion:
		return 1, true
	case mqtt.ClientIdentifierNotValid:
		return 2, true
	case mqtt.ServerUnavailable, mqtt.ServerBusy, mqtt.ServerShuttingDown, mqtt.UseAnotherServer,
		mqtt.ServerMoved, mqtt.QuotaExceeded, mqtt.ConnectionRateExceeded, mqtt.UnspecifiedError,
		mqtt.ImplementationSpecificError:
		return 3, true
	case mqtt.BadUserNameOrPassword:
		return 4, true
	case mqtt.NotAuthorized, mqtt.Banned, mqtt.BadAuthenticationMethod, mqtt.TopicNameInvalid,
		mqtt.RetainNotSupported, mqtt.QoSNotSupported:
		return 5, true
	default:
		return 0, false
	}
}

func (d *Decoder) connack(c *cursor) *Connack {
	p := &Connack{}
	flags, code := c.uint8(), c.uint8()
	p.SessionPresent = flags == 1 && d.version != mqtt.V31
	if flags > 1 && d.version != mqtt.V31 {
		c.malformed("reserved connect acknowledge flags") // [MQTT-3.2.2-1]
	}
	if d.version == mqtt.V5 {
		p.Code = mqtt.ReasonCode(code)
		if !connackCodes.has(p.Code) {
			c.illegal("reason code is not one for this packet")
		}
		d.connackProperties(c, p)
	} else if int(code) < len(returnCodes) {
		p.Code = returnCodes[code]
	} else {
		c.malformed("reserved return code")
	}
	if p.SessionPresent && p.Code != mqtt.Success {
		c.illegal("session present in a refusal") // [MQTT-3.2.2-6]
	}
	return p
}

func (d *Decoder) connackProperties(c *cursor, to *Connack) {
	p := c.properties(in(CONNACK), d.limits)
	for p.next() {
		switch p.id {
		case propSessionExpiry:
			to.SessionExpiry, to.HasSessionExpiry = p.num, true
		case propReceiveMaximum:
			to.ReceiveMaximum = uint16(p.num)
		case propMaximumQoS:
			to.MaximumQoS, to.HasMaximumQoS = mqtt.QoS(p.num), true
		case propMaximumPacketSize:
			to.MaximumPacketSize = p.num
		case propTopicAliasMaximum:
			to.TopicAliasMaximum = uint16(p.num)
		case propServerKeepAlive:
			to.ServerKeepAlive, to.HasServerKeepAlive = uint16(p.num), true
		case propRetainAvailable:
			to.NoRetain = p.num == 0
		case propWildcardAvailable:
			to.NoWildcard = p.num == 0
		case propSubIDAvailable:
			to.NoSubscriptionIDs = p.num == 0
		case propSharedAvailable:
			to.NoShared = p.num == 0
		default:
			to.readText(&p)
		}
	}
	to.User = p.user
}

// readText stores the property at hand if it is a string or binary.
func (p *Connack) readText(r *propertyReader) {
	switch r.id {
	case propAssignedClientID:
		p.AssignedClientID = r.text()
	case propReasonString:
		p.Reason = r.text()
	case propResponseInfo:
		p.ResponseInfo = r.text()
	case propServerReference:
		p.ServerReference = r.text()
	case propAuthMethod:
		p.AuthMethod = r.text()
	case propAuthData:
		p.AuthData = r.data()
	}
}

func (p *Connack) write(w *writer, v mqtt.Version) {
	present := byte(0)
	if p.SessionPresent && p.Code == mqtt.Success && v != mqtt.V31 {
		present = 1
	}
	w.uint8(present)
	if v == mqtt.V5 {
		w.uint8(byte(p.Code))
		p.writeProperties(w)
		return
	}
	code, ok := returnCode(p.Code)
	if !ok {
		w.fail(ErrNotInVersion)
	}
	w.uint8(code)
}

func (p *Connack) writeProperties(w *writer) {
	block := w.begin()
	if p.HasSessionExpiry {
		w.propUint32(propSessionExpiry, p.SessionExpiry)
	}
	if p.ReceiveMaximum != 0 {
		w.propUint16(propReceiveMaximum, p.ReceiveMaximum)
	}
	if p.HasMaximumQoS {
		w.propFlag(propMaximumQoS, p.MaximumQoS > mqtt.AtMostOnce)
	}
	if p.NoRetain {
		w.propFlag(propRetainAvailable, false)
	}
	if p.MaximumPacketSize != 0 {
		w.propUint32(propMaximumPacketSize, p.MaximumPacketSize)
	}
	w.propText(propAssignedClientID, p.AssignedClientID)
	if p.TopicAliasMaximum != 0 {
		w.propUint16(propTopicAliasMaximum, p.TopicAliasMaximum)
	}
	if p.NoWildcard {
		w.propFlag(propWildcardAvailable, false)
	}
	if p.NoSubscriptionIDs {
		w.propFlag(propSubIDAvailable, false)
	}
	if p.NoShared {
		w.propFlag(propSharedAvailable, false)
	}
	if p.HasServerKeepAlive {
		w.propUint16(propServerKeepAlive, p.ServerKeepAlive)
	}
	w.propText(propResponseInfo, p.ResponseInfo)
	w.propText(propServerReference, p.ServerReference)
	w.propText(propAuthMethod, p.AuthMethod)
	w.propBinary(propAuthData, p.AuthData)
	w.problem(p.Reason, p.User)
	w.end(block)
}
