package interceptor

import (
	"encoding/base64"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// eventKinds are the names of the events, which are also the messages of the
// log.
var eventKinds = map[string]pluginapi.EventKind{
	"connected":          pluginapi.EventConnected,
	"disconnected":       pluginapi.EventDisconnected,
	"refused":            pluginapi.EventRefused,
	"session_created":    pluginapi.EventSessionCreated,
	"session_resumed":    pluginapi.EventSessionResumed,
	"session_taken_over": pluginapi.EventSessionTakenOver,
	"session_expired":    pluginapi.EventSessionExpired,
	"subscribed":         pluginapi.EventSubscribed,
	"unsubscribed":       pluginapi.EventUnsubscribed,
	"published":          pluginapi.EventPublished,
	"delivered":          pluginapi.EventDelivered,
	"acknowledged":       pluginapi.EventAcknowledged,
	"dropped":            pluginapi.EventDropped,
	"not_consumed":       pluginapi.EventNotConsumed,
	"retained_changed":   pluginapi.EventRetainedChanged,
	"retained_cleared":   pluginapi.EventRetainedCleared,
	"will_sent":          pluginapi.EventWillSent,
}

var eventNames = func() map[pluginapi.EventKind]string {
	names := make(map[pluginapi.EventKind]string, len(eventKinds))
	for name, kind := range eventKinds {
		names[kind] = name
	}
	return names
}()

// fieldFunc returns what an event has to say for a field; the zero Attr is
// nothing.
type fieldFunc func(e *pluginapi.Event) slog.Attr

// fieldOrder is all fields in the order in which they are written.
var fieldOrder = []string{
	"client", "user", "protocol", "peer", "listener", "connection", "seq",
	"topic", "qos", "retain", "size", "payload", "origin", "publisher", "content_type", "response_topic",
	"correlation", "expiry", "user_properties", "filter", "subscription_qos",
	"code", "reason", "cause", "by",
}

var fieldFuncs = map[string]fieldFunc{
	"client":     func(e *pluginapi.Event) slog.Attr { return text("client", e.ClientID) },
	"user":       ofClient(func(c *pluginapi.Client) slog.Attr { return text("user", c.Username) }),
	"protocol":   ofClient(func(c *pluginapi.Client) slog.Attr { return number("protocol", uint64(c.Protocol)) }),
	"peer":       ofClient(func(c *pluginapi.Client) slog.Attr { return text("peer", c.PeerAddress) }),
	"listener":   ofClient(func(c *pluginapi.Client) slog.Attr { return text("listener", c.Listener) }),
	"connection": func(e *pluginapi.Event) slog.Attr { return number("connection", e.ConnectionID) },
	"seq":        func(e *pluginapi.Event) slog.Attr { return number("seq", e.Seq) },

	"topic":          ofMessage(func(m *pluginapi.Message) slog.Attr { return slog.String("topic", m.Topic) }),
	"qos":            ofMessage(func(m *pluginapi.Message) slog.Attr { return slog.Int("qos", int(m.QoS)) }),
	"retain":         ofMessage(func(m *pluginapi.Message) slog.Attr { return slog.Bool("retain", m.Retain) }),
	"size":           ofMessage(func(m *pluginapi.Message) slog.Attr { return slog.Int("size", max(m.PayloadSize, len(m.Payload))) }),
	"origin":         ofMessage(func(m *pluginapi.Message) slog.Attr { return text("origin", originName(m.Origin)) }),
	"publisher":      ofMessage(func(m *pluginapi.Message) slog.Attr { return text("publisher", m.Publisher) }),
	"content_type":   ofMessage(func(m *pluginapi.Message) slog.Attr { return text("content_type", m.ContentType) }),
	"response_topic": ofMessage(func(m *pluginapi.Message) slog.Attr { return text("response_topic", m.ResponseTopic) }),
	"correlation": ofMessage(func(m *pluginapi.Message) slog.Attr {
		return text("correlation", base64.StdEncoding.EncodeToString(m.CorrelationData))
	}),
	"expiry": ofMessage(func(m *pluginapi.Message) slog.Attr {
		if m.Expiry == nil {
			return slog.Attr{}
		}
		return slog.Uint64("expiry", uint64(*m.Expiry))
	}),
	"user_properties": ofMessage(userProperties),

	"filter": ofSubscription(func(s *pluginapi.Subscription) slog.Attr { return slog.String("filter", s.Filter) }),
	"subscription_qos": ofSubscription(func(s *pluginapi.Subscription) slog.Attr {
		return slog.Int("subscription_qos", int(s.QoS))
	}),

	"code": func(e *pluginapi.Event) slog.Attr {
		if e.Code == 0 {
			return slog.Attr{}
		}
		return slog.String("code", e.Code.String())
	},
	"reason": func(e *pluginapi.Event) slog.Attr { return text("reason", e.Reason) },
	"cause":  func(e *pluginapi.Event) slog.Attr { return text("cause", e.Cause) },
	"by":     func(e *pluginapi.Event) slog.Attr { return text("by", disconnectNames[e.Disconnect]) },
}

var disconnectNames = map[pluginapi.DisconnectKind]string{
	pluginapi.ByClient:  "client",
	pluginapi.Lost:      "lost",
	pluginapi.TakenOver: "taken over",
	pluginapi.ByServer:  "server",
}

func originName(o pluginapi.Origin) string {
	for name, known := range origins {
		if known == o {
			return name
		}
	}
	return ""
}

// userProperties is a list of pairs, because keys may come twice.
func userProperties(m *pluginapi.Message) slog.Attr {
	if len(m.UserProperties) == 0 {
		return slog.Attr{}
	}
	pairs := make([][2]string, len(m.UserProperties))
	for i, p := range m.UserProperties {
		pairs[i] = [2]string{p.Key, p.Value}
	}
	return slog.Any("user_properties", pairs)
}

func ofMessage(f func(*pluginapi.Message) slog.Attr) fieldFunc {
	return func(e *pluginapi.Event) slog.Attr {
		if e.Message == nil {
			return slog.Attr{}
		}
		return f(e.Message)
	}
}

func ofClient(f func(*pluginapi.Client) slog.Attr) fieldFunc {
	return func(e *pluginapi.Event) slog.Attr {
		if e.Client == nil {
			return slog.Attr{}
		}
		return f(e.Client)
	}
}

func ofSubscription(f func(*pluginapi.Subscription) slog.Attr) fieldFunc {
	return func(e *pluginapi.Event) slog.Attr {
		if e.Subscription == nil {
			return slog.Attr{}
		}
		return f(e.Subscription)
	}
}

func text(key, s string) slog.Attr {
	if s == "" {
		return slog.Attr{}
	}
	return slog.String(key, s)
}

func number(key string, n uint64) slog.Attr {
	if n == 0 {
		return slog.Attr{}
	}
	return slog.Uint64(key, n)
}

// payloadField writes payloads as the configuration says: as payload if they
// are text, else as payload_base64.
func payloadField(mode, encoding string, head int) fieldFunc {
	if mode == payloadNone {
		return ofMessage(func(*pluginapi.Message) slog.Attr { return slog.Attr{} })
	}
	return ofMessage(func(m *pluginapi.Message) slog.Attr {
		p := m.Payload
		if mode == payloadHead {
			p = p[:min(head, len(p))]
		}
		switch {
		case len(p) == 0:
			return slog.Attr{}
		case encoding == encodingText:
			return slog.String("payload", strings.ToValidUTF8(string(p), "\uFFFD"))
		case encoding != encodingBase64 && readable(p, len(p) < m.PayloadSize):
			return slog.String("payload", strings.ToValidUTF8(string(p), ""))
		}
		return slog.String("payload_base64", base64.StdEncoding.EncodeToString(p))
	})
}

// readable says whether a payload is text that a person would want to see as
// such. The last character of a payload that was cut may be cut as well.
func readable(p []byte, cut bool) bool {
	for _, b := range p {
		if b < ' ' && b != '\n' && b != '\t' && b != '\r' {
			return false
		}
	}
	for range utf8.UTFMax {
		if utf8.Valid(p) {
			return true
		}
		if !cut {
			return false
		}
		p = p[:max(0, len(p)-1)]
	}
	return false
}

// fieldsFor returns what to write of an event.
func (c *LogConfig) fieldsFor() []fieldFunc {
	names := c.Fields
	if len(names) == 0 {
		names = fieldOrder
	}
	var all []fieldFunc
	for _, name := range names {
		f := fieldFuncs[name]
		if name == "payload" {
			f = payloadField(c.Payload, c.Encoding, c.PayloadHead)
		}
		all = append(all, f)
	}
	return all
}

// check says what is wrong with the configuration of the log.
func (c *LogConfig) check(p *problems) {
	known := slices.Sorted(maps.Keys(fieldFuncs))
	known = append(known, "payload")
	slices.Sort(known)
	for i, f := range c.Fields {
		if !slices.Contains(known, f) {
			p.add("/log/fields/"+strconv.Itoa(i), "unknown field %q; known are %s", f, strings.Join(known, ", "))
		}
	}
	for i, f := range c.Topics {
		if wrong := checkFilter(f); wrong != "" {
			p.add("/log/topics/"+strconv.Itoa(i), "the topic filter %q %s", f, wrong)
		}
	}
	for _, v := range []struct {
		path  string
		value int64
		least int64
	}{
		{"/log/payload_head", int64(c.PayloadHead), 1},
		{"/log/max_bytes", c.MaxBytes, 1024},
		{"/log/keep", int64(c.Keep), 0},
		{"/log/rate", int64(c.Rate), 1},
	} {
		if v.value < v.least {
			p.add(v.path, "must be at least %d", v.least)
		}
	}
	if c.Enabled && len(c.Events) == 0 {
		p.add("/log/events", "is empty; to log nothing, set enabled to false")
	}
}

// interest is what the broker has to tell.
func (c *LogConfig) interest() pluginapi.Interest {
	in := pluginapi.Interest{Hook: pluginapi.HookEvent, Filters: c.Topics, Payload: pluginapi.PayloadNone}
	if !c.Enabled {
		// An observer without an interest is told everything. No will has
		// this topic, so that nothing is left.
		in.Events = []pluginapi.EventKind{pluginapi.EventWillSent}
		in.Filters = []string{"$gatehouse/nothing"}
		return in
	}
	for _, e := range c.Events {
		in.Events = append(in.Events, eventKinds[e])
	}
	if len(c.Fields) > 0 && !slices.Contains(c.Fields, "payload") {
		return in
	}
	switch c.Payload {
	case payloadHead:
		in.Payload, in.HeadSize = pluginapi.PayloadHead, c.PayloadHead
	case payloadNone:
	default:
		in.Payload = pluginapi.PayloadFull
	}
	return in
}
