package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// Connect is a CONNECT packet, the first that a client sends.
type Connect struct {
	// Version is the protocol level: 3.1, 3.1.1 or 5.
	Version mqtt.Version

	// Bridge is set if the level byte had its highest bit set, by which
	// mosquitto's bridges announce themselves (3.1 and 3.1.1 only).
	Bridge bool

	// CleanStart is called Clean Session before MQTT 5.
	CleanStart bool

	// KeepAlive is in seconds; zero switches the mechanism off.
	KeepAlive uint16

	// ClientID is "" if the server is to choose one, which a decoder lets
	// pass in MQTT 5, and in 3.1.1 with CleanStart [MQTT-3.1.3-8].
	ClientID string

	// Username and Password are valid if HasUsername and HasPassword. Before
	// MQTT 5 there is no password without a user name [MQTT-3.1.2-22].
	Username    string
	HasUsername bool
	Password    []byte
	HasPassword bool

	// Will is nil if the client left none.
	Will *Will

	// SessionExpiry is the Session Expiry Interval in seconds, 0xFFFFFFFF for
	// never; zero if absent, which HasSessionExpiry tells. MQTT 5.
	SessionExpiry    uint32
	HasSessionExpiry bool

	// ReceiveMaximum is how many QoS 1 and 2 messages the client takes before
	// it acknowledges one: 65,535 if absent and for MQTT 3; never zero in a
	// decoded packet.
	ReceiveMaximum uint16

	// MaximumPacketSize is the largest packet, in bytes and with its fixed
	// header, that the client accepts; zero if absent, which means no limit.
	MaximumPacketSize uint32

	// TopicAliasMaximum is the highest alias that the server may use.
	TopicAliasMaximum uint16

	// RequestResponseInfo asks for Response Information in CONNACK.
	RequestResponseInfo bool

	// RequestProblemInfo is true if absent. False forbids Reason Strings and
	// User Properties on packets other than PUBLISH, CONNACK and DISCONNECT
	// [MQTT-3.1.2-29]; see [Encoder.NoProblemInfo].
	RequestProblemInfo bool

	// User are the User Properties in their order, nil if there is none.
	User []mqtt.UserProperty

	// AuthMethod is the Authentication Method, valid if HasAuthMethod.
	// AuthData is nil if absent and comes only with a method.
	AuthMethod    string
	HasAuthMethod bool
	AuthData      []byte
}

// Type is CONNECT.
func (*Connect) Type() Type { return CONNECT }

// Bits of the Connect Flags.
const (
	connectReserved   = 0x01
	connectClean      = 0x02
	connectWill       = 0x04
	connectWillQoS    = 0x18
	connectWillRetain = 0x20
	connectPassword   = 0x40
	connectUsername   = 0x80

	bridgeBit = 0x80 // of the protocol level
)

// peek looks at the beginning of a CONNECT that may not be complete, so that a
// peer which speaks something else is refused at once and the version is known
// whatever comes out later. It returns how many bytes more than other packets
// this one may have: those for a will, as long as there may be one.
func (d *Decoder) peek(c *cursor, part []byte) (more int) {
	peek := cursor{buf: part}
	d.level(&peek)
	if peek.code == mqtt.UnsupportedProtocolVersion {
		c.fail(peek.code, peek.detail)
	}
	if flags := peek.uint8(); !peek.bad() && flags&connectWill == 0 {
		return 0
	}
	return d.limits.Will
}

// level reads protocol name and level and sets the decoder's version.
func (d *Decoder) level(c *cursor) (bridge bool) {
	name, level := c.binary(), c.uint8()
	if c.bad() {
		return false
	}
	d.version = mqtt.Version(level)
	if v := mqtt.Version(level &^ bridgeBit); v == mqtt.V31 || v == mqtt.V311 {
		d.version, bridge = v, level&bridgeBit != 0
	}
	want := "MQTT"
	if d.version == mqtt.V31 {
		want = "MQIsdp"
	}
	switch {
	case d.version > mqtt.V5:
		d.version = mqtt.V5
		c.fail(mqtt.UnsupportedProtocolVersion, "protocol level above 5")
	case d.version < mqtt.V31:
		d.version = mqtt.V311
		c.fail(mqtt.UnsupportedProtocolVersion, "protocol level below 3")
	case string(name) != want: // [MQTT-3.1.2-1]
		c.fail(mqtt.UnsupportedProtocolVersion, "protocol name is not the one of its level")
	}
	return bridge
}

func (d *Decoder) connect(c *cursor) *Connect {
	p := &Connect{ReceiveMaximum: 65_535, RequestProblemInfo: true}
	p.Bridge = d.level(c)
	p.Version = d.version
	flags := c.uint8()
	checkConnectFlags(c, d.version, flags)
	p.CleanStart = flags&connectClean != 0
	p.KeepAlive = c.uint16()
	if d.version == mqtt.V5 {
		d.connectProperties(c, p)
	}
	d.clientID(c, p)
	if flags&connectWill != 0 {
		p.Will = d.will(c, flags)
	}
	d.credentials(c, p, flags)
	d.connected = true
	d.keepsNone = p.SessionExpiry == 0
	d.hasMethod = p.HasAuthMethod
	return p
}

// checkConnectFlags holds the flags against each other. MQTT 3.1 gives no
// meaning to the reserved bit nor, without a will, to the bits of one.
func checkConnectFlags(c *cursor, v mqtt.Version, flags byte) {
	qos := mqtt.QoS(flags & connectWillQoS >> 3)
	switch {
	case flags&connectReserved != 0 && v != mqtt.V31:
		c.malformed("reserved connect flag") // [MQTT-3.1.2-3]
	case !qos.Valid() && (flags&connectWill != 0 || v != mqtt.V31):
		c.malformed("will QoS 3") // [MQTT-3.1.2-12]
	case flags&connectWill == 0 && flags&(connectWillQoS|connectWillRetain) != 0 && v != mqtt.V31:
		c.malformed("will QoS or will retain without a will") // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
	case flags&connectPassword != 0 && flags&connectUsername == 0 && v != mqtt.V5:
		c.malformed("password without user name") // MQTT-3.1.2-22 of 3.1.1
	}
}

func (d *Decoder) connectProperties(c *cursor, to *Connect) {
	p := c.properties(in(CONNECT), d.limits)
	for p.next() {
		switch p.id {
		case propSessionExpiry:
			to.SessionExpiry, to.HasSessionExpiry = p.num, true
		case propReceiveMaximum:
			to.ReceiveMaximum = uint16(p.num)
		case propMaximumPacketSize:
			to.MaximumPacketSize = p.num
		case propTopicAliasMaximum:
			to.TopicAliasMaximum = uint16(p.num)
		case propRequestResponse:
			to.RequestResponseInfo = p.num == 1
		case propRequestProblem:
			to.RequestProblemInfo = p.num == 1
		case propAuthMethod:
			to.AuthMethod, to.HasAuthMethod = p.text(), true
		case propAuthData:
			to.AuthData = p.data()
		}
	}
	to.User = p.user
	if p.has(propAuthData) && !p.has(propAuthMethod) {
		c.illegal("authentication data without a method")
	}
}

// clientID reads the identifier and refuses an empty one where the version has
// no way of assigning another.
func (d *Decoder) clientID(c *cursor, p *Connect) {
	id := c.text()
	switch {
	case len(id) > d.limits.clientID():
		c.fail(mqtt.ClientIdentifierNotValid, "client identifier is too long")
	case len(id) == 0 && d.version == mqtt.V31,
		len(id) == 0 && d.version == mqtt.V311 && !p.CleanStart: // MQTT-3.1.3-8 of 3.1.1
		c.fail(mqtt.ClientIdentifierNotValid, "client identifier is empty")
	}
	p.ClientID = string(id)
}

// credentials reads user name and password. In MQTT 3.1 the packet may end
// before them, whatever the flags say.
func (d *Decoder) credentials(c *cursor, p *Connect, flags byte) {
	absent := func() bool { return d.version == mqtt.V31 && c.left() == 0 }
	if flags&connectUsername != 0 && !absent() {
		p.Username, p.HasUsername = string(c.text()), true
	}
	if flags&connectPassword != 0 && !absent() {
		p.Password, p.HasPassword = append([]byte{}, c.binary()...), true
	}
}

func (p *Connect) write(w *writer) {
	if p.Version < mqtt.V31 || p.Version > mqtt.V5 {
		w.fail(errVersion)
	}
	if p.HasPassword && !p.HasUsername && p.Version != mqtt.V5 {
		w.fail(errPassword)
	}
	level := byte(p.Version)
	if p.Bridge && p.Version != mqtt.V5 {
		level |= bridgeBit
	}
	if p.Version == mqtt.V31 {
		w.text("MQIsdp")
	} else {
		w.text("MQTT")
	}
	w.uint8(level)
	w.uint8(p.flags())
	w.uint16(p.KeepAlive)
	if p.Version == mqtt.V5 {
		p.writeProperties(w)
	}
	w.text(p.ClientID)
	if p.Will != nil {
		p.Will.write(w, p.Version)
	}
	if p.HasUsername {
		w.text(p.Username)
	}
	if p.HasPassword {
		w.binary(p.Password)
	}
}

func (p *Connect) flags() byte {
	var f byte
	for _, bit := range []struct {
		set  bool
		mask byte
	}{
		{p.CleanStart, connectClean},
		{p.HasUsername, connectUsername},
		{p.HasPassword, connectPassword},
		{p.Will != nil, connectWill},
		{p.Will != nil && p.Will.Retain, connectWillRetain},
	} {
		if bit.set {
			f |= bit.mask
		}
	}
	if p.Will != nil {
		f |= byte(p.Will.QoS) << 3 & connectWillQoS
	}
	return f
}

func (p *Connect) writeProperties(w *writer) {
	block := w.begin()
	if p.HasSessionExpiry {
		w.propUint32(propSessionExpiry, p.SessionExpiry)
	}
	if p.ReceiveMaximum != 0 && p.ReceiveMaximum != 65_535 {
		w.propUint16(propReceiveMaximum, p.ReceiveMaximum)
	}
	if p.MaximumPacketSize != 0 {
		w.propUint32(propMaximumPacketSize, p.MaximumPacketSize)
	}
	if p.TopicAliasMaximum != 0 {
		w.propUint16(propTopicAliasMaximum, p.TopicAliasMaximum)
	}
	if p.RequestResponseInfo {
		w.propFlag(propRequestResponse, true)
	}
	if !p.RequestProblemInfo {
		w.propFlag(propRequestProblem, false)
	}
	if p.HasAuthMethod {
		w.uint8(byte(propAuthMethod))
		w.text(p.AuthMethod)
		w.propBinary(propAuthData, p.AuthData)
	}
	w.propUser(p.User)
	w.end(block)
}
