package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// property is a property identifier (MQTT 5, section 2.2.2.2).
type property byte

const (
	propPayloadFormat     property = 0x01
	propMessageExpiry     property = 0x02
	propContentType       property = 0x03
	propResponseTopic     property = 0x08
	propCorrelationData   property = 0x09
	propSubscriptionID    property = 0x0B
	propSessionExpiry     property = 0x11
	propAssignedClientID  property = 0x12
	propServerKeepAlive   property = 0x13
	propAuthMethod        property = 0x15
	propAuthData          property = 0x16
	propRequestProblem    property = 0x17
	propWillDelay         property = 0x18
	propRequestResponse   property = 0x19
	propResponseInfo      property = 0x1A
	propServerReference   property = 0x1C
	propReasonString      property = 0x1F
	propReceiveMaximum    property = 0x21
	propTopicAliasMaximum property = 0x22
	propTopicAlias        property = 0x23
	propMaximumQoS        property = 0x24
	propRetainAvailable   property = 0x25
	propUser              property = 0x26
	propMaximumPacketSize property = 0x27
	propWildcardAvailable property = 0x28
	propSubIDAvailable    property = 0x29
	propSharedAvailable   property = 0x2A

	propLimit = 0x2B // above all identifiers
)

// kind is the type of a property's value, with the range that the value must
// keep to by itself.
type kind byte

const (
	kindNone kind = iota // no such property
	kindFlag             // a byte that is 0 or 1
	kindUint16
	kindUint16Positive
	kindUint32
	kindUint32Positive
	kindVarintPositive
	kindText
	kindBinary
	kindPair
)

// scope is a set of places where a property may stand: the bit of each packet
// type, and the lowest bit, of the reserved type 0, for a CONNECT's will.
type scope uint16

const inWill scope = 1

func in(types ...Type) scope {
	var s scope
	for _, t := range types {
		s |= 1 << t
	}
	return s
}

type rule struct {
	kind kind
	in   scope
}

var (
	inMessage  = in(PUBLISH) | inWill
	inBoth     = in(CONNECT, CONNACK)
	inAuth     = in(CONNECT, CONNACK, AUTH)
	inAnswers  = in(CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH)
	inRequests = in(CONNECT, SUBSCRIBE, UNSUBSCRIBE)
)

// rules is the table of section 2.2.2.2.
var rules = [propLimit]rule{
	propPayloadFormat:     {kindFlag, inMessage},
	propMessageExpiry:     {kindUint32, inMessage},
	propContentType:       {kindText, inMessage},
	propResponseTopic:     {kindText, inMessage},
	propCorrelationData:   {kindBinary, inMessage},
	propSubscriptionID:    {kindVarintPositive, in(PUBLISH, SUBSCRIBE)},
	propSessionExpiry:     {kindUint32, inBoth | in(DISCONNECT)},
	propAssignedClientID:  {kindText, in(CONNACK)},
	propServerKeepAlive:   {kindUint16, in(CONNACK)},
	propAuthMethod:        {kindText, inAuth},
	propAuthData:          {kindBinary, inAuth},
	propRequestProblem:    {kindFlag, in(CONNECT)},
	propWillDelay:         {kindUint32, inWill},
	propRequestResponse:   {kindFlag, in(CONNECT)},
	propResponseInfo:      {kindText, in(CONNACK)},
	propServerReference:   {kindText, in(CONNACK, DISCONNECT)},
	propReasonString:      {kindText, inAnswers},
	propReceiveMaximum:    {kindUint16Positive, inBoth},
	propTopicAliasMaximum: {kindUint16, inBoth},
	propTopicAlias:        {kindUint16, in(PUBLISH)},
	propMaximumQoS:        {kindFlag, in(CONNACK)},
	propRetainAvailable:   {kindFlag, in(CONNACK)},
	propUser:              {kindPair, inMessage | inAnswers | inRequests},
	propMaximumPacketSize: {kindUint32Positive, inBoth},
	propWildcardAvailable: {kindFlag, in(CONNACK)},
	propSubIDAvailable:    {kindFlag, in(CONNACK)},
	propSharedAvailable:   {kindFlag, in(CONNACK)},
}

// span is a part of a property block, by offsets.
type span struct{ from, to int }

// propertyReader walks through one property block:
//
//	for p := c.properties(in(PUBACK), limits); p.next(); {
//		switch p.id {
//		case propReasonString:
//			reason = p.text()
//		}
//	}
//
// It checks everything that holds for a property by itself, whatever it is
// for, and gathers the User Properties. What is wrong ends the walk and is
// recorded with the packet's cursor.
type propertyReader struct {
	cursor         // over the block
	packet *cursor // that which the block is a part of
	where  scope   // of the block
	limits *Limits
	seen   uint64 // bit set of the identifiers met
	all    string // the block as a string, once one is wanted
	bytes  int    // in keys and values of user
	user   []mqtt.UserProperty

	// The property at hand. Which of the others is valid depends on its kind.
	id    property
	num   uint32
	value span // a text or binary, without its length
}

// properties reads the length of a property block and returns a reader for
// it. The packet's cursor stands behind the block then.
func (c *cursor) properties(where scope, limits *Limits) propertyReader {
	n := c.varint()
	return propertyReader{cursor: cursor{buf: c.take(int(n))}, packet: c, where: where, limits: limits}
}

// next goes to the next property that is not a User Property, and reports
// false at the end of the block or of the caller's patience.
func (p *propertyReader) next() bool {
	for p.left() > 0 && !p.bad() {
		p.read()
		if p.bad() {
			break
		}
		if p.id != propUser {
			return true
		}
	}
	if p.bad() {
		p.packet.fail(p.code, p.detail)
	}
	return false
}

// read reads one property.
func (p *propertyReader) read() {
	id := p.varint()
	if p.bad() {
		return
	}
	if id >= propLimit || rules[id].kind == kindNone {
		p.malformed("unknown property")
		return
	}
	p.id = property(id)
	if rules[id].in&p.where == 0 {
		p.malformed("property is not one for this packet")
		return
	}
	if p.seen&(1<<id) != 0 && !p.repeatable() {
		p.illegal("property occurs twice")
		return
	}
	p.seen |= 1 << id
	p.readValue(rules[id].kind)
}

// repeatable reports whether the property may occur more than once: a User
// Property, and the Subscription Identifier in what a server publishes.
func (p *propertyReader) repeatable() bool {
	return p.id == propUser || p.id == propSubscriptionID && p.where == in(PUBLISH)
}

func (p *propertyReader) readValue(k kind) {
	switch k {
	case kindFlag:
		p.num = uint32(p.uint8())
		if p.num > 1 {
			p.illegal("property must be 0 or 1")
		}
	case kindUint16, kindUint16Positive:
		p.num = uint32(p.uint16())
	case kindUint32, kindUint32Positive:
		p.num = p.uint32()
	case kindVarintPositive:
		p.num = p.varint()
	case kindText:
		n := len(p.cursor.text())
		p.value = span{p.pos - n, p.pos}
	case kindBinary:
		n := len(p.binary())
		p.value = span{p.pos - n, p.pos}
	case kindPair:
		p.readUser()
	case kindNone:
	}
	if p.num == 0 && (k == kindUint16Positive || k == kindUint32Positive || k == kindVarintPositive) {
		p.illegal("property must not be zero")
	}
}

// readUser reads a User Property and keeps it.
func (p *propertyReader) readUser() {
	key := len(p.cursor.text())
	keyEnd := p.pos
	value := len(p.cursor.text())
	p.bytes += key + value
	switch {
	case p.bad():
		return
	case len(p.user) >= p.limits.userProperties(),
		p.bytes > p.limits.userPropertyBytes():
		p.fail(mqtt.QuotaExceeded, "too many user properties")
		return
	}
	if len(p.user) == cap(p.user) {
		p.grow()
	}
	all := p.string()
	p.user = append(p.user, mqtt.UserProperty{
		Key:   all[keyEnd-key : keyEnd],
		Value: all[p.pos-value : p.pos],
	})
}

// grow makes room for the User Property just read and for those that follow
// it without another property in between: usually all of them.
func (p *propertyReader) grow() {
	n, ahead := len(p.user)+1, cursor{buf: p.buf, pos: p.pos}
	for ahead.left() > 0 && property(ahead.uint8()) == propUser {
		ahead.binary()
		ahead.binary()
		if ahead.bad() {
			break
		}
		n++
	}
	grown := make([]mqtt.UserProperty, len(p.user), min(n, p.limits.userProperties()))
	copy(grown, p.user)
	p.user = grown
}

// string is the whole block, copied once. Strings that live and die with one
// another are cut from it.
func (p *propertyReader) string() string {
	if p.all == "" {
		p.all = string(p.buf)
	}
	return p.all
}

// shared is the text at hand, as a part of [propertyReader.string].
func (p *propertyReader) shared() string { return p.string()[p.value.from:p.value.to] }

// text is the text at hand, with memory of its own.
func (p *propertyReader) text() string { return string(p.buf[p.value.from:p.value.to]) }

// data is the binary data at hand, copied, and not nil.
func (p *propertyReader) data() []byte {
	return append([]byte{}, p.buf[p.value.from:p.value.to]...)
}

// has reports whether the property occurred so far.
func (p *propertyReader) has(id property) bool { return p.seen&(1<<id) != 0 }
