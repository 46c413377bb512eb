package interceptor

import (
	"encoding/json"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// subject is a call as rules see and change it.
type subject struct {
	message      *pluginapi.Message      // nil for a subscription
	subscription *pluginapi.Subscription // nil for a message
	// client and user are those that act: the publisher, the subscriber, or
	// the receiver of a delivery.
	client, user string
	verdict      pluginapi.Verdict

	checked, isJSON bool // isJSON is known, and says whether the payload is JSON
	now             func() time.Time
	scratch         []byte
}

// under reports whether the topic of a message matches a filter, or a
// subscription brings messages that do.
func (s *subject) under(filter string) bool {
	if s.message != nil {
		return pluginapi.Match(filter, s.message.Topic)
	}
	return overlap(filter, s.topic())
}

// topic is the topic of a message, or the filter of a subscription without its
// share group.
func (s *subject) topic() string {
	if s.message != nil {
		return s.message.Topic
	}
	if _, rest, shared := pluginapi.SplitShared(s.subscription.Filter); shared {
		return rest
	}
	return s.subscription.Filter
}

func (s *subject) qos() pluginapi.QoS {
	if s.message != nil {
		return s.message.QoS
	}
	return s.subscription.QoS
}

// time is when the broker accepted a message, so that deciding it twice gives
// the same; for a subscription it is now.
func (s *subject) time() time.Time {
	if s.message != nil && !s.message.Created.IsZero() {
		return s.message.Created.UTC()
	}
	return s.now().UTC()
}

// json reports whether the payload is JSON.
func (s *subject) json() bool {
	if !s.checked {
		s.checked, s.isJSON = true, json.Valid(s.message.Payload)
	}
	return s.isJSON
}

// setPayload replaces the payload.
func (s *subject) setPayload(p []byte) {
	s.message.Payload, s.message.PayloadSize = p, len(p)
	s.checked = false
}
