package pluginapi

import (
	"slices"
	"time"
)

// Protocol is the protocol level of a client: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.
type Protocol uint8

// QoS is a quality of service, 0 to 2.
type QoS uint8

// UserProperty is one MQTT 5 user property; order and repetition are kept.
type UserProperty struct {
	Key, Value string
}

// Origin says who made a message.
type Origin uint8

// The makers of messages.
const (
	FromClient Origin = iota + 1
	FromWill
	FromServer
	FromPlugin
)

// Message is an application message. Hooks are given messages of their own and
// may change them; a changed message is compared with what was sent, and only
// what differs goes back to the broker.
type Message struct {
	Topic   string
	Payload []byte
	// PayloadSize is the size of the whole payload in bytes; larger than
	// len(Payload) if the plugin's interest asked for less than all of it.
	PayloadSize     int
	QoS             QoS
	Retain          bool
	PayloadIsUTF8   *bool   // Payload Format Indicator; nil if absent
	Expiry          *uint32 // Message Expiry Interval in seconds; nil if absent
	ContentType     string
	ResponseTopic   string
	CorrelationData []byte // nil if absent
	UserProperties  []UserProperty

	// Publisher, Origin and Created are the broker's and cannot be changed.
	Publisher string
	Origin    Origin
	Created   time.Time
	// Hops counts the hooks that published, each on account of the message
	// before, until this one was made; it is the broker's too.
	Hops uint8
}

// TraceContext returns the W3C Trace Context that the publisher sent as user
// properties: traceparent and tracestate. Both are as they were sent and not
// checked; "" is what was not sent, and of several the first counts. A tracestate
// without a traceparent means nothing and is left out.
func (m *Message) TraceContext() (traceparent, tracestate string) {
	for _, u := range slices.Backward(m.UserProperties) {
		switch u.Key {
		case "traceparent":
			traceparent = u.Value
		case "tracestate":
			tracestate = u.Value
		}
	}
	if traceparent == "" {
		tracestate = ""
	}
	return traceparent, tracestate
}

// Subscription is one topic filter with its options.
type Subscription struct {
	Filter            string
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8
	Identifier        uint32
}

// Client is what hooks after the CONNECT are told of a client. It is shared by
// all calls of one connection and must not be changed.
type Client struct {
	ConnectionID uint64
	ID           string
	Username     string
	Protocol     Protocol
	PeerAddress  string
	Listener     string
	Mountpoint   string
	Items        map[string][]byte
}
