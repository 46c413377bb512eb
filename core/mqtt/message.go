package mqtt

import (
	"bytes"
	"time"
)

// UserProperty is one name and value pair. Order and repetition matter:
// a receiver sees the pairs as the sender wrote them [MQTT-3.3.2-18].
type UserProperty struct {
	Key, Value string
}

// Message is an application message: what a publisher meant, without any
// trace of how it travelled (no packet identifier, no DUP, no topic alias).
//
// A Message that was handed to another package is immutable: it is shared by
// pointer between the retained index, every subscriber's queue and the hooks.
// Whoever wants to change one makes a shallow copy (see [Message.Clone]) and
// replaces whole fields. Payload and CorrelationData never alias a reader's
// buffer.
type Message struct {
	Topic   string
	Payload []byte

	// Properties is nil when the message carries none, which is the common
	// case for MQTT 3 publishers.
	Properties *Properties

	// Publisher is the client identifier of the publisher; "" for the
	// broker itself and for plugins. No Local compares it.
	Publisher string

	QoS    QoS
	Retain bool

	// Origin says who made the message.
	Origin Origin

	// Hops counts the hooks that published, each on account of the message
	// before, until this one was made; 0 for a message that no hook caused.
	Hops uint8

	// Created is when the broker received the message; the Message Expiry
	// Interval counts from here. The zero time means "not yet stamped".
	Created time.Time
}

// Properties are the MQTT 5 properties of an application message.
type Properties struct {
	// PayloadIsUTF8 is the Payload Format Indicator; HasPayloadFormat says
	// whether the publisher sent one, for it is forwarded unaltered
	// [MQTT-3.3.2-4].
	PayloadIsUTF8    bool
	HasPayloadFormat bool

	// Expiry is the Message Expiry Interval in seconds as published, valid
	// if HasExpiry. Zero is legal: such a message is only delivered at once.
	Expiry    uint32
	HasExpiry bool

	// ContentType is the Content Type; "" if there is none, or if one of no
	// bytes was sent, for which EmptyContentType stands: it is forwarded
	// unaltered too [MQTT-3.3.2-20]. Plugins and stores see no difference.
	ContentType      string
	EmptyContentType bool

	ResponseTopic   string
	CorrelationData []byte // nil if absent
	User            []UserProperty
}

// Origin says who made a message.
type Origin uint8

// The makers of messages.
const (
	FromClient Origin = iota // a PUBLISH packet
	FromWill                 // a client's will
	FromServer               // the server API, $SYS
	FromPlugin               // a plugin, through the host service
)

// String names the origin in lower case, as logs and plugins show it.
func (o Origin) String() string {
	switch o {
	case FromClient:
		return "client"
	case FromWill:
		return "will"
	case FromServer:
		return "server"
	case FromPlugin:
		return "plugin"
	default:
		return "unknown"
	}
}

// Clone returns a copy of m whose Properties are a copy too, so that fields of
// both may be replaced. Byte slices and the user property slice are shared
// with m and must be replaced whole, never written to.
func (m *Message) Clone() *Message {
	c := *m
	if m.Properties != nil {
		p := *m.Properties
		c.Properties = &p
	}
	return &c
}

// Kept returns a copy of m with a payload of its own, for one whose payload is
// lent and that is to be kept.
func (m *Message) Kept() *Message {
	c := *m
	c.Payload = bytes.Clone(m.Payload)
	return &c
}

// ExpiresAt returns the moment at which the message expires, and false if it
// never does.
func (m *Message) ExpiresAt() (time.Time, bool) {
	if m.Properties == nil || !m.Properties.HasExpiry {
		return time.Time{}, false
	}
	return m.Created.Add(time.Duration(m.Properties.Expiry) * time.Second), true
}

// Expired reports whether the message has expired at now [MQTT-3.3.2-5].
func (m *Message) Expired(now time.Time) bool {
	at, ok := m.ExpiresAt()
	return ok && !now.Before(at)
}

// RemainingExpiry returns the Message Expiry Interval to send at now: the
// published value less the whole seconds that the message waited
// [MQTT-3.3.2-6]. It is 0 for an expired message; ask [Message.Expired] first.
func (m *Message) RemainingExpiry(now time.Time) uint32 {
	if m.Properties == nil {
		return 0
	}
	waited := now.Sub(m.Created) / time.Second
	switch {
	case waited <= 0:
		return m.Properties.Expiry
	case waited >= time.Duration(m.Properties.Expiry):
		return 0
	default:
		return m.Properties.Expiry - uint32(waited)
	}
}

// Size is the number of bytes that the message is accounted with in a bounded
// queue: its variable parts, without the fixed cost of the structure.
func (m *Message) Size() int {
	n := len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += len(u.Key) + len(u.Value)
		}
	}
	return n
}
