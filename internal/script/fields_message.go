package script

import (
	"errors"
	"time"
	"unicode/utf8"

	"go.starlark.net/starlark"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// assign makes the setter of a field that is converted and put somewhere.
func assign[T, V any](convert func(starlark.Value) (V, error), put func(*T, V)) func(*T, starlark.Value) error {
	return func(t *T, v starlark.Value) error {
		converted, err := convert(v)
		if err == nil {
			put(t, converted)
		}
		return err
	}
}

// messageFields are those of a message.
func messageFields() []field {
	type message = pluginapi.Message
	return []field{
		fieldOf("topic", "string", "The topic.",
			func(m *message) starlark.Value { return text(m.Topic) }, assign(toText, func(m *message, s string) { m.Topic = s })),
		fieldOf("payload", "bytes", "The payload. It may be set to bytes, a string, `None` for an empty one, or a list of numbers.",
			payload, assign(toBytes, setPayload)),
		fieldOf("payload_text", "string or None", "The payload as text; `None` if it is not UTF-8.",
			payloadText, assign(toText, func(m *message, s string) { setPayload(m, []byte(s)) })),
		fieldOf("payload_size", "int", "The size of the payload in bytes.",
			func(m *message) starlark.Value { return number(max(m.PayloadSize, len(m.Payload))) }, unsettable[message]),
		fieldOf("qos", "int", "0, 1 or 2.",
			func(m *message) starlark.Value { return number(m.QoS) }, assign(toQoS, func(m *message, q pluginapi.QoS) { m.QoS = q })),
		fieldOf("retain", "bool", "Whether the message is to be retained; for a delivery, the flag with which it is sent.",
			func(m *message) starlark.Value { return starlark.Bool(m.Retain) }, assign(toBool, func(m *message, b bool) { m.Retain = b })),
		fieldOf("content_type", "string or None", "MQTT 5: what the payload is.",
			func(m *message) starlark.Value { return optional(m.ContentType) }, assign(toText, func(m *message, s string) { m.ContentType = s })),
		fieldOf("response_topic", "string or None", "MQTT 5: where an answer goes.",
			func(m *message) starlark.Value { return optional(m.ResponseTopic) }, assign(toText, func(m *message, s string) { m.ResponseTopic = s })),
		fieldOf("correlation_data", "bytes or None", "MQTT 5: what an answer is to carry.",
			func(m *message) starlark.Value {
				if m.CorrelationData == nil {
					return starlark.None
				}
				return octets(m.CorrelationData)
			}, assign(toBytes, func(m *message, b []byte) { m.CorrelationData = b })),
		fieldOf("message_expiry_interval", "int or None", "MQTT 5: seconds for which the message is of use.",
			func(m *message) starlark.Value { return maybe(m.Expiry) }, assign(toMaybe[uint32], func(m *message, n *uint32) { m.Expiry = n })),
		fieldOf("payload_format_indicator", "int or None", "MQTT 5: 1 if the publisher says that the payload is UTF-8, 0 if it is not; `None` if it says nothing.",
			func(m *message) starlark.Value {
				switch {
				case m.PayloadIsUTF8 == nil:
					return starlark.None
				case *m.PayloadIsUTF8:
					return starlark.MakeInt(1)
				}
				return starlark.MakeInt(0)
			}, setFormat),
		kept(fieldOf("user_properties", "list of (name, value)", "MQTT 5: the user properties; a dict may be set too.",
			func(m *message) starlark.Value { return properties(m.UserProperties) },
			assign(toProperties, func(m *message, p []pluginapi.UserProperty) { m.UserProperties = p }))),
		fieldOf("publisher", "string or None", "The client identifier of who published it.",
			func(m *message) starlark.Value { return optional(m.Publisher) }, assign(toText, func(m *message, s string) { m.Publisher = s })),
		fieldOf("origin", "string", "`client`, `will`, `server` or `plugin`.",
			func(m *message) starlark.Value { return text(origins[m.Origin]) }, setOrigin),
		fieldOf("created", "time or None", "When the broker accepted it.",
			func(m *message) starlark.Value { return when(m.Created) }, assign(toTime, func(m *message, t time.Time) { m.Created = t })),
		fieldOf("hops", "int", "How many hooks published, each because of the message before, until this one was made.",
			func(m *message) starlark.Value { return number(m.Hops) }, assign(toUint[uint8], func(m *message, n uint8) { m.Hops = n })),
	}
}

// theBrokers are the fields of a message that hooks can't change.
var theBrokers = []string{"payload_size", "publisher", "origin", "created", "hops"}

func unsettable[T any](*T, starlark.Value) error { return errors.New("it follows from the others") }

// payload is nil if the broker has sent less than all of it.
func payload(m *pluginapi.Message) starlark.Value {
	if len(m.Payload) < m.PayloadSize {
		return nil
	}
	return octets(m.Payload)
}

func payloadText(m *pluginapi.Message) starlark.Value {
	if len(m.Payload) < m.PayloadSize {
		return nil
	}
	if !utf8.Valid(m.Payload) {
		return starlark.None
	}
	return starlark.String(m.Payload)
}

func setPayload(m *pluginapi.Message, b []byte) { m.Payload, m.PayloadSize = b, len(b) }

func setFormat(m *pluginapi.Message, v starlark.Value) error {
	if v == starlark.None {
		m.PayloadIsUTF8 = nil
		return nil
	}
	if b, ok := v.(starlark.Bool); ok {
		m.PayloadIsUTF8 = new(bool(b))
		return nil
	}
	n, err := toUint[uint8](v)
	if err != nil || n > 1 {
		return wrong("0, 1 or None", v)
	}
	m.PayloadIsUTF8 = new(n == 1)
	return nil
}

var origins = map[pluginapi.Origin]string{
	pluginapi.FromClient: "client", pluginapi.FromWill: "will", pluginapi.FromServer: "server", pluginapi.FromPlugin: "plugin",
}

func setOrigin(m *pluginapi.Message, v starlark.Value) error {
	s, _ := starlark.AsString(v)
	for o, name := range origins {
		if name == s {
			m.Origin = o
			return nil
		}
	}
	return wrong(`"client", "will", "server" or "plugin"`, v)
}

// messageRecord is a message as a dict, as publish takes it and retained_get
// gives it.
var messageRecord = newRecord(messageFields())

// subscriptionFields are those of a filter.
func subscriptionFields() []field {
	type subscription = pluginapi.Subscription
	return []field{
		fieldOf("topic", "string", "The topic filter.",
			func(s *subscription) starlark.Value { return text(s.Filter) }, assign(toText, func(s *subscription, f string) { s.Filter = f })),
		fieldOf("qos", "int", "0, 1 or 2; a lower one is what the client is granted.",
			func(s *subscription) starlark.Value { return number(s.QoS) }, assign(toQoS, func(s *subscription, q pluginapi.QoS) { s.QoS = q })),
		fieldOf("no_local", "bool", "MQTT 5: no messages of the client itself.",
			func(s *subscription) starlark.Value { return starlark.Bool(s.NoLocal) }, assign(toBool, func(s *subscription, b bool) { s.NoLocal = b })),
		fieldOf("retain_as_published", "bool", "MQTT 5: the RETAIN flag stays what the publisher set.",
			func(s *subscription) starlark.Value { return starlark.Bool(s.RetainAsPublished) },
			assign(toBool, func(s *subscription, b bool) { s.RetainAsPublished = b })),
		fieldOf("retain_handling", "int", "MQTT 5: 0 sends retained messages, 1 only for a new subscription, 2 never.",
			func(s *subscription) starlark.Value { return number(s.RetainHandling) },
			assign(toQoS, func(s *subscription, q pluginapi.QoS) { s.RetainHandling = uint8(q) })),
		fieldOf("subscription_identifier", "int or None", "MQTT 5: the number that comes with its messages.",
			func(s *subscription) starlark.Value {
				if s.Identifier == 0 {
					return starlark.None
				}
				return number(s.Identifier)
			}, assign(toMaybe[uint32], func(s *subscription, n *uint32) {
				s.Identifier = 0
				if n != nil {
					s.Identifier = *n
				}
			})),
	}
}

var subscriptionRecord = newRecord(subscriptionFields())
