package pluginhost

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// What travels with every message is written by hand: a generated message
// would cost an allocation per part and a walk by reflection. The functions
// below write exactly what message.proto, client.proto, interceptor.proto and
// observer.proto describe; all field numbers there are below 16, so that a tag
// is one byte. Tests decode the result with the generated code.

const (
	wireVarint = byte(protowire.VarintType)
	wireBytes  = byte(protowire.BytesType)
)

func appendTag(dst []byte, field, wire byte) []byte { return append(dst, field<<3|wire) }

func appendLength(dst []byte, field byte, n int) []byte {
	return appendVarint(appendTag(dst, field, wireBytes), uint64(n))
}

// appendVarint is worth its branch: almost all numbers here are small.
func appendVarint(dst []byte, v uint64) []byte {
	if v < 0x80 {
		return append(dst, byte(v))
	}
	return protowire.AppendVarint(dst, v)
}

// appendString leaves an empty string out, as proto3 does.
func appendString(dst []byte, field byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(appendLength(dst, field, len(s)), s...)
}

func appendBytes(dst []byte, field byte, b []byte) []byte {
	if len(b) == 0 {
		return dst
	}
	return append(appendLength(dst, field, len(b)), b...)
}

// appendUint leaves zero out, as proto3 does.
func appendUint(dst []byte, field byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return appendVarint(appendTag(dst, field, wireVarint), v)
}

func appendBool(dst []byte, field byte, v bool) []byte {
	if !v {
		return dst
	}
	return append(appendTag(dst, field, wireVarint), 1)
}

// sizeLength is the size of a field with n bytes of content, empty or not.
func sizeLength(n int) int { return 1 + protowire.SizeVarint(uint64(n)) + n }

// sizeString is the size of a field that is left out when it is empty.
func sizeString(n int) int {
	if n == 0 {
		return 0
	}
	return sizeLength(n)
}

func sizeUint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

func sizeUserProperty(u *mqtt.UserProperty) int {
	return sizeString(len(u.Key)) + sizeString(len(u.Value))
}

func sizeUser(list []mqtt.UserProperty) int {
	n := 0
	for i := range list {
		n += sizeLength(sizeUserProperty(&list[i]))
	}
	return n
}

func appendUser(dst []byte, field byte, list []mqtt.UserProperty) []byte {
	for i := range list {
		u := &list[i]
		dst = appendLength(dst, field, sizeUserProperty(u))
		dst = appendString(dst, 1, u.Key)
		dst = appendString(dst, 2, u.Value)
	}
	return dst
}

// sizeMessage is the size of a Message with so much of its payload.
func sizeMessage(m *mqtt.Message, payload []byte) int {
	return sizeString(len(m.Topic)) + sizeString(len(payload)) + sizeAfterPayload(m)
}

// sizeAfterPayload is the size of what appendMessage writes behind the payload.
func sizeAfterPayload(m *mqtt.Message) int {
	n := sizeUint(uint64(len(m.Payload))) + sizeUint(uint64(m.QoS)) + sizeString(len(m.Publisher)) +
		sizeUint(uint64(originToWire(m.Origin))) + sizeUint(uint64(createdNanos(m))) + sizeUint(uint64(m.Hops))
	if m.Retain {
		n += 2
	}
	p := m.Properties
	if p == nil {
		return n
	}
	if p.HasPayloadFormat {
		n += 2
	}
	if p.HasExpiry {
		n += 1 + protowire.SizeVarint(uint64(p.Expiry))
	}
	n += sizeString(len(p.ContentType)) + sizeString(len(p.ResponseTopic))
	if p.CorrelationData != nil {
		n += sizeLength(len(p.CorrelationData))
	}
	return n + sizeUser(p.User)
}

// appendMessage writes a Message with so much of its payload; its strings have
// passed [checkMessage].
func appendMessage(dst []byte, m *mqtt.Message, payload []byte) []byte {
	dst = appendString(dst, 1, m.Topic)
	dst = appendBytes(dst, 2, payload)
	dst = appendUint(dst, 3, uint64(len(m.Payload)))
	dst = appendUint(dst, 4, uint64(m.QoS))
	dst = appendBool(dst, 5, m.Retain)
	if p := m.Properties; p != nil {
		dst = appendProperties(dst, p)
	}
	dst = appendString(dst, 12, m.Publisher)
	dst = appendUint(dst, 13, uint64(originToWire(m.Origin)))
	dst = appendUint(dst, 14, uint64(createdNanos(m)))
	return appendUint(dst, 15, uint64(m.Hops))
}

func appendProperties(dst []byte, p *mqtt.Properties) []byte {
	if p.HasPayloadFormat {
		dst = append(appendTag(dst, 6, wireVarint), byte(protowire.EncodeBool(p.PayloadIsUTF8)))
	}
	if p.HasExpiry {
		dst = appendVarint(appendTag(dst, 7, wireVarint), uint64(p.Expiry))
	}
	dst = appendString(dst, 8, p.ContentType)
	dst = appendString(dst, 9, p.ResponseTopic)
	if p.CorrelationData != nil {
		dst = append(appendLength(dst, 10, len(p.CorrelationData)), p.CorrelationData...)
	}
	return appendUser(dst, 11, p.User)
}

// originToWire maps an origin to pluginv1.Origin, whose numbers are one higher.
func originToWire(o mqtt.Origin) int32 { return int32(o) + 1 }

// createdNanos is 0 for a message that was not stamped: the zero time has no
// place in an int64 of nanoseconds.
func createdNanos(m *mqtt.Message) int64 {
	if m.Created.IsZero() {
		return 0
	}
	return m.Created.UnixNano()
}

func sizeSubscription(s *mqtt.Subscription) int {
	n := sizeString(len(s.Filter)) + sizeUint(uint64(s.QoS)) +
		sizeUint(uint64(s.RetainHandling)) + sizeUint(uint64(s.ID))
	if s.NoLocal {
		n += 2
	}
	if s.RetainAsPublished {
		n += 2
	}
	return n
}

func appendSubscription(dst []byte, s *mqtt.Subscription) []byte {
	dst = appendString(dst, 1, s.Filter)
	dst = appendUint(dst, 2, uint64(s.QoS))
	dst = appendBool(dst, 3, s.NoLocal)
	dst = appendBool(dst, 4, s.RetainAsPublished)
	dst = appendUint(dst, 5, uint64(s.RetainHandling))
	return appendUint(dst, 6, uint64(s.ID))
}

// appendClient writes a ClientContext. Strings that are not UTF-8, which no
// checked packet has, are shown with U+FFFD.
func appendClient(dst []byte, c *hook.Client) []byte {
	dst = appendUint(dst, 1, c.ConnectionID)
	dst = appendString(dst, 2, toUTF8(c.ID))
	dst = appendString(dst, 3, toUTF8(c.Username))
	dst = appendUint(dst, 4, uint64(c.Version))
	dst = appendString(dst, 5, toUTF8(c.PeerAddress))
	dst = appendString(dst, 6, toUTF8(c.Listener))
	dst = appendString(dst, 7, toUTF8(c.Mountpoint))
	for k, v := range c.Items {
		k = toUTF8(k)
		dst = appendLength(dst, 8, sizeString(len(k))+sizeString(len(v)))
		dst = appendString(dst, 1, k)
		dst = appendBytes(dst, 2, v)
	}
	return dst
}

// appendCall writes the fields of a Call except its number, which is not known
// before the call is sent.
func appendCall(dst []byte, point hook.Point, c *hook.Call, payload []byte) []byte {
	if c.Client != nil {
		dst = appendUint(dst, 2, c.Client.ConnectionID)
	}
	switch point {
	case hook.PointPublish:
		n := sizeMessage(c.Message, payload)
		dst = appendLength(dst, 3, sizeLength(n))
		dst = appendMessage(appendLength(dst, 1, n), c.Message, payload)
	case hook.PointSubscribe:
		n := sizeSubscription(&c.Subscription)
		dst = appendLength(dst, 4, sizeLength(n)+sizeUser(c.User))
		dst = appendSubscription(appendLength(dst, 1, n), &c.Subscription)
		dst = appendUser(dst, 2, c.User)
	case hook.PointUnsubscribe:
		dst = appendLength(dst, 5, sizeString(len(c.Subscription.Filter))+sizeUser(c.User))
		dst = appendString(dst, 1, c.Subscription.Filter)
		dst = appendUser(dst, 2, c.User)
	case hook.PointDeliver:
		n := sizeMessage(c.Message, payload)
		size := sizeLength(n) + sizeString(len(c.Receiver))
		if c.Retained {
			size += 2
		}
		dst = appendLength(dst, 6, size)
		dst = appendMessage(appendLength(dst, 1, n), c.Message, payload)
		dst = appendString(dst, 2, c.Receiver)
		dst = appendBool(dst, 3, c.Retained)
	}
	return dst
}

// checkCall finds what can't be shown to a plugin as it is: a plugin that
// decides on something else than what goes on decides nothing.
func checkCall(point hook.Point, c *hook.Call) error {
	switch point {
	case hook.PointPublish, hook.PointDeliver:
		if c.Message == nil {
			return fmt.Errorf("a %s call has no message", point)
		}
		if !utf8.ValidString(c.Receiver) {
			return errNotUTF8("receiver")
		}
		return checkMessage(c.Message)
	case hook.PointSubscribe, hook.PointUnsubscribe:
		if !utf8.ValidString(c.Subscription.Filter) {
			return errNotUTF8("topic filter")
		}
		return checkUser(c.User)
	default:
		return fmt.Errorf("an interceptor is not asked at %s", point)
	}
}

func checkMessage(m *mqtt.Message) error {
	if !utf8.ValidString(m.Topic) {
		return errNotUTF8("topic")
	}
	if !utf8.ValidString(m.Publisher) {
		return errNotUTF8("publisher")
	}
	p := m.Properties
	if p == nil {
		return nil
	}
	if !utf8.ValidString(p.ContentType) {
		return errNotUTF8("content type")
	}
	if !utf8.ValidString(p.ResponseTopic) {
		return errNotUTF8("response topic")
	}
	return checkUser(p.User)
}

func checkUser(list []mqtt.UserProperty) error {
	for i := range list {
		if !utf8.ValidString(list[i].Key) || !utf8.ValidString(list[i].Value) {
			return errNotUTF8("user property")
		}
	}
	return nil
}

func errNotUTF8(what string) error { return fmt.Errorf("%s is not valid UTF-8", what) }

// toUTF8 is for what only describes: addresses, certificates, header fields.
func toUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
