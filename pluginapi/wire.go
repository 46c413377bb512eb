package pluginapi

import (
	"errors"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What comes with every message is read by hand: generated code would make an
// object of each part, and another has to be made of it for the author. The
// functions below read what message.proto and interceptor.proto describe, and
// pass over what they do not know. Tests hold them against the generated code.

var (
	errMalformed = errors.New("frame is not well-formed")
	errNotUTF8   = errors.New("frame has a string that is not UTF-8")
)

// field is one field of a message on the wire: v of a varint, data of bytes.
type field struct {
	number protowire.Number
	wire   protowire.Type
	v      uint64
	data   []byte
}

// next reads the field that b begins with and returns what follows it. Fields
// that are neither varints nor bytes have no value.
func (f *field) next(b []byte) (rest []byte, err error) {
	// Of nearly all fields, tag and number or length are a byte each.
	if len(b) > 1 && b[0] >= 1<<3 && b[0] < 0x80 && b[1] < 0x80 {
		number, wire, value := protowire.Number(b[0]>>3), protowire.Type(b[0]&7), b[2:]
		switch n := int(b[1]); {
		case wire == protowire.VarintType:
			*f = field{number: number, wire: wire, v: uint64(b[1])}
			return value, nil
		case wire == protowire.BytesType && n <= len(value):
			*f = field{number: number, wire: wire, data: value[:n]}
			return value[n:], nil
		}
	}
	number, wire, n := protowire.ConsumeTag(b)
	if n < 0 || number > protowire.MaxValidNumber {
		return nil, errMalformed
	}
	b = b[n:]
	f.number, f.wire, f.v, f.data = number, wire, 0, nil
	switch wire {
	case protowire.VarintType:
		f.v, n = protowire.ConsumeVarint(b)
	case protowire.BytesType:
		f.data, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(number, wire, b)
	}
	if n < 0 {
		return nil, errMalformed
	}
	return b[n:], nil
}

// is reports whether the field has the number and the wire type.
func (f *field) is(number protowire.Number, wire protowire.Type) bool {
	return f.number == number && f.wire == wire
}

// text returns the field as a string. If it says the same as known, that is
// returned, and nothing is allocated.
func (f *field) text(known string) (string, error) {
	if string(f.data) == known {
		return known, nil
	}
	if !utf8.Valid(f.data) {
		return "", errNotUTF8
	}
	return string(f.data), nil
}

const (
	wireVarint = protowire.VarintType
	wireBytes  = protowire.BytesType
)

// readMessage reads a Message into m. Its bytes are those of b; its strings are
// its own, or those of known that say the same.
func readMessage(b []byte, m *Message, known *lately) error {
	var f field
	var err error
	for len(b) > 0 && err == nil {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch f.wire {
		case wireVarint:
			readMessageNumber(&f, m)
		case wireBytes:
			err = readMessageBytes(&f, m, known)
		}
	}
	m.PayloadSize = max(m.PayloadSize, len(m.Payload))
	return err
}

func readMessageNumber(f *field, m *Message) {
	switch f.number {
	case 3:
		m.PayloadSize = int(f.v) //nolint:gosec // an absurd one is as good as any
	case 4:
		m.QoS = QoS(f.v) //nolint:gosec // 0 to 2
	case 5:
		m.Retain = f.v != 0
	case 6:
		is := f.v != 0
		m.PayloadIsUTF8 = &is
	case 7:
		seconds := uint32(f.v) //nolint:gosec // as protobuf does
		m.Expiry = &seconds
	case 13:
		m.Origin = Origin(f.v) //nolint:gosec // few
	case 14:
		if f.v != 0 {
			m.Created = time.Unix(0, int64(f.v)) //nolint:gosec // as protobuf does
		}
	case 15:
		m.Hops = uint8(min(f.v, 255)) //nolint:gosec // bounded
	}
}

func readMessageBytes(f *field, m *Message, known *lately) (err error) {
	switch f.number {
	case 1:
		m.Topic, err = f.text(known.topic)
		known.topic = m.Topic
	case 2:
		m.Payload = f.data
	case 8:
		m.ContentType, err = f.text("")
	case 9:
		m.ResponseTopic, err = f.text("")
	case 10:
		m.CorrelationData = f.data
	case 11:
		var p UserProperty
		p, err = readUserProperty(f.data)
		m.UserProperties = append(m.UserProperties, p)
	case 12:
		m.Publisher, err = f.text(known.publisher)
		known.publisher = m.Publisher
	}
	return err
}

func readUserProperty(b []byte) (p UserProperty, err error) {
	var f field
	for len(b) > 0 && err == nil {
		if b, err = f.next(b); err != nil {
			return p, err
		}
		switch {
		case f.is(1, wireBytes):
			p.Key, err = f.text("")
		case f.is(2, wireBytes):
			p.Value, err = f.text("")
		}
	}
	return p, err
}

func readSubscription(b []byte) (s Subscription, err error) {
	var f field
	for len(b) > 0 && err == nil {
		if b, err = f.next(b); err != nil {
			return s, err
		}
		switch {
		case f.is(1, wireBytes):
			s.Filter, err = f.text("")
		case f.is(2, wireVarint):
			s.QoS = QoS(f.v) //nolint:gosec // 0 to 2
		case f.is(3, wireVarint):
			s.NoLocal = f.v != 0
		case f.is(4, wireVarint):
			s.RetainAsPublished = f.v != 0
		case f.is(5, wireVarint):
			s.RetainHandling = uint8(f.v) //nolint:gosec // 0 to 2
		case f.is(6, wireVarint):
			s.Identifier = uint32(f.v) //nolint:gosec // as protobuf does
		}
	}
	return s, err
}

// readCall reads a Call of one of the clients into o.
func readCall(b []byte, o *openCall, clients *clientTable) error {
	var f field
	var err error
	for len(b) > 0 && err == nil {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case f.is(1, wireVarint):
			o.place.seq = f.v
		case f.is(2, wireVarint):
			o.place.connection = f.v
		case f.is(3, wireBytes):
			err = readPart(f.data, o, HookPublish, clients)
		case f.is(4, wireBytes):
			err = readPart(f.data, o, HookSubscribe, clients)
		case f.is(5, wireBytes):
			err = readPart(f.data, o, HookUnsubscribe, clients)
		case f.is(6, wireBytes):
			err = readPart(f.data, o, HookDeliver, clients)
		}
	}
	o.place.hops = o.was.Hops
	return err
}

// readPart reads what there is to decide: a PublishCall, a SubscribeCall, an
// UnsubscribeCall or a DeliverCall.
func readPart(b []byte, o *openCall, kind Hook, clients *clientTable) error {
	o.kind = kind
	about := kind == HookPublish || kind == HookDeliver
	var f field
	var err error
	for len(b) > 0 && err == nil {
		if b, err = f.next(b); err != nil {
			return err
		}
		switch {
		case about && f.is(1, wireBytes):
			o.hasMessage = true
			err = readMessage(f.data, &o.was, clients.lately(o.place.connection))
		case kind == HookDeliver && f.is(2, wireBytes):
			o.receiver, err = f.text("")
		case kind == HookDeliver && f.is(3, wireVarint):
			o.retained = f.v != 0
		case kind == HookSubscribe && f.is(1, wireBytes):
			o.subscription, err = readSubscription(f.data)
		case kind == HookUnsubscribe && f.is(1, wireBytes):
			o.subscription.Filter, err = f.text("")
		case !about && f.is(2, wireBytes):
			var p UserProperty
			p, err = readUserProperty(f.data)
			o.user = append(o.user, p)
		}
	}
	return err
}
