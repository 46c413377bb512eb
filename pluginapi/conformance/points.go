package conformance

import (
	"cmp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// The hooks of interceptors.
const (
	onPublish     = pluginv1.Hook_HOOK_PUBLISH
	onSubscribe   = pluginv1.Hook_HOOK_SUBSCRIBE
	onUnsubscribe = pluginv1.Hook_HOOK_UNSUBSCRIBE
	onDeliver     = pluginv1.Hook_HOOK_DELIVER
)

// point is one way in which an interceptor wants to be asked: a hook with an
// interest of its own.
type point struct {
	hook     pluginv1.Hook
	interest *pluginv1.HookInterest
	filter   string // one of the interest's
}

// points are all ways in which an interceptor wants to be asked. A hook without
// an entry is asked always, if no other hook of its service has one.
func points(init *pluginv1.InitResponse) []point {
	var all []point
	hooks := []pluginv1.Hook{onPublish, onSubscribe, onUnsubscribe, onDeliver}
	for _, in := range init.GetInterest() {
		if !slices.Contains(hooks, in.GetHook()) {
			continue
		}
		filters := in.GetTopicFilters()
		if len(filters) == 0 {
			filters = []string{"#"}
		}
		for _, f := range filters {
			all = append(all, point{in.GetHook(), in, f})
		}
	}
	if len(all) == 0 {
		for _, h := range hooks {
			all = append(all, point{h, &pluginv1.HookInterest{Hook: h}, "#"})
		}
	}
	return all
}

// topic is a topic of the point.
func (p *point) topic(level string) string { return Topic(p.filter, level) }

// Topic returns a topic that a filter matches, with level in the place of each
// wildcard. The cases make such topics, so that a plugin is only asked about what
// it wants to be asked.
func Topic(filter, level string) string {
	if _, rest, ok := pluginapi.SplitShared(filter); ok {
		filter = rest
	}
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		switch l {
		case "+":
			levels[i] = level
		case "#":
			levels[i] = level + "/deeper"
		}
	}
	return strings.Join(levels, "/")
}

// shown is a message as the point's interest has it sent.
func (p *point) shown(m *pluginv1.Message) *pluginv1.Message {
	m.PayloadSize = uint64(len(m.Payload))
	switch p.interest.GetPayload() {
	case pluginv1.PayloadMode_PAYLOAD_MODE_NONE:
		m.Payload = nil
	case pluginv1.PayloadMode_PAYLOAD_MODE_HEAD:
		m.Payload = m.Payload[:min(len(m.Payload), int(p.interest.GetPayloadHeadBytes()))]
	}
	if origins := p.interest.GetOrigins(); len(origins) > 0 && p.hook == onPublish && !slices.Contains(origins, m.GetOrigin()) {
		m.Origin = origins[0]
	}
	return m
}

// cuts reports whether the point is shown less than whole payloads.
func (p *point) cuts() bool {
	mode := p.interest.GetPayload()
	return mode == pluginv1.PayloadMode_PAYLOAD_MODE_NONE || mode == pluginv1.PayloadMode_PAYLOAD_MODE_HEAD
}

// client is the client of the calls of a case.
func client(connection uint64) *pluginv1.ClientContext {
	return &pluginv1.ClientContext{
		ConnectionId: connection, ClientId: "check-client", Username: "check-user", ProtocolLevel: 5,
		PeerAddress: "192.0.2.1:50000", Listener: "default", Items: map[string][]byte{"item": {1, 2, 3}},
	}
}

// call asks about a message, or about a filter of the message's topic.
func (p *point) call(connection uint64, m *pluginv1.Message) *pluginv1.Call {
	call := &pluginv1.Call{ConnectionId: connection}
	switch p.hook {
	case onPublish:
		call.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: p.shown(m)}}
	case onDeliver:
		call.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{Message: p.shown(m), Receiver: "check-client", Retained: m.GetRetain()}}
	case onSubscribe:
		call.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{
			Subscription:   &pluginv1.Subscription{Filter: m.GetTopic(), Qos: m.GetQos(), RetainHandling: 1, Identifier: 7},
			UserProperties: m.GetUserProperties(),
		}}
	default:
		call.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{Filter: m.GetTopic(), UserProperties: m.GetUserProperties()}}
	}
	return call
}

// samples are messages as they come: of every QoS, with and without payload and
// properties, of texts and of bytes.
func (p *point) samples() []*pluginv1.Message {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	plain := func(level string, payload []byte) *pluginv1.Message {
		return &pluginv1.Message{
			Topic: p.topic(level), Payload: payload, Qos: 1, Publisher: "check-client", Origin: pluginv1.Origin_ORIGIN_CLIENT,
			CreatedUnixNanos: 1700000000123456789,
		}
	}
	full := fullMessage(p.topic("full"))
	bare := plain("bare", nil)
	bare.Qos = 0
	two := plain("two", []byte(`{"a": 1, "b": [true, null, "x"]}`))
	two.Qos, two.ExpirySeconds = 2, proto.Uint32(0)
	kept := plain("kept", []byte("21.5"))
	kept.Retain = true
	cleared := plain("cleared", nil)
	cleared.Retain = true
	return []*pluginv1.Message{
		full, bare, two, kept, cleared, plain("bytes", every), plain("not-utf8", []byte("\xff\xfe\xed\xa0\x80")),
		plain("json", []byte("{\"unfinished\":")), plain("text", []byte("hello")), plain("ünïcode 🙂", []byte("ü")),
	}
}

// sampleCalls are the samples of all points as calls of one client.
func sampleCalls(init *pluginv1.InitResponse, connection uint64) []*pluginv1.Call {
	var all []*pluginv1.Call
	for _, p := range points(init) {
		for _, m := range p.samples() {
			all = append(all, p.call(connection, m))
		}
	}
	return all
}

// hookOf is the hook that a call is of.
func hookOf(c *pluginv1.Call) pluginv1.Hook {
	switch c.GetCall().(type) {
	case *pluginv1.Call_Publish:
		return onPublish
	case *pluginv1.Call_Subscribe:
		return onSubscribe
	case *pluginv1.Call_Unsubscribe:
		return onUnsubscribe
	case *pluginv1.Call_Deliver:
		return onDeliver
	}
	return pluginv1.Hook_HOOK_UNSPECIFIED
}

// messageOf is the message of a publish or a deliver, nil for others.
func messageOf(c *pluginv1.Call) *pluginv1.Message {
	return cmp.Or(c.GetPublish().GetMessage(), c.GetDeliver().GetMessage())
}
