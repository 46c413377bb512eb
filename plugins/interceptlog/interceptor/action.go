package interceptor

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/plugins/interceptlog/jsonedit"
)

// action is one thing that a rule does. Its methods are called from many
// goroutines at once.
type action interface {
	// apply changes the subject. An error wraps errBadJSON, or means that the
	// change would give a message that must not exist.
	apply(s *subject) error
	// needs says what of a message the action has to see, and changes.
	needs() need
}

// need is what an action asks of the broker.
type need struct {
	payload bool
	changes []pluginapi.Field
	ends    bool // nothing may follow
}

// errBadJSON: the payload is not JSON, or not such that the action fits.
var errBadJSON = errors.New("payload is not the JSON that the rule needs")

// setPayload replaces the payload by a text.
type setPayload struct {
	text template
	// binary is true if the payload is not UTF-8.
	binary bool
}

func (a setPayload) apply(s *subject) error {
	s.setPayload(a.text.expand(nil, s))
	if a.binary && s.message.PayloadIsUTF8 != nil && *s.message.PayloadIsUTF8 {
		s.message.PayloadIsUTF8 = nil
	}
	return nil
}

func (a setPayload) needs() need {
	n := need{changes: []pluginapi.Field{pluginapi.FieldPayload}}
	if text, ok := a.text.literal(); ok && text == "" {
		n.payload = true // or removing it would not show as a change
	}
	if a.binary {
		n.changes = append(n.changes, pluginapi.FieldContentType)
	}
	return n
}

var needsJSON = need{payload: true, changes: []pluginapi.Field{pluginapi.FieldPayload}}

// setField sets one field of a JSON payload.
type setField struct {
	path  jsonedit.Path
	value jsonTemplate
}

func (a setField) apply(s *subject) error {
	return editPayload(s, func(doc []byte) ([]byte, error) { return jsonedit.Set(doc, a.path, a.value.expand(nil, s)) })
}

func (setField) needs() need { return needsJSON }

// deleteField removes one.
type deleteField struct{ path jsonedit.Path }

func (a deleteField) apply(s *subject) error {
	return editPayload(s, func(doc []byte) ([]byte, error) { return jsonedit.Delete(doc, a.path), nil })
}

func (deleteField) needs() need { return needsJSON }

// addTimestamp sets one to the time.
type addTimestamp struct {
	path   jsonedit.Path
	format string
}

func (a addTimestamp) apply(s *subject) error {
	return editPayload(s, func(doc []byte) ([]byte, error) {
		return jsonedit.Set(doc, a.path, appendTime(nil, a.format, s.time()))
	})
}

func (addTimestamp) needs() need { return needsJSON }

func editPayload(s *subject, edit func([]byte) ([]byte, error)) error {
	if !s.json() {
		return errBadJSON
	}
	doc, err := edit(s.message.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadJSON, err)
	}
	s.setPayload(doc)
	s.checked, s.isJSON = true, true
	return nil
}

// setProperty sets, adds or, with a nil value, removes a user property.
type setProperty struct {
	key   string
	value template
	add   bool
}

func (a setProperty) apply(s *subject) error {
	// The slice may be shared with the copy of the message that is kept for
	// undoing a rule.
	ps := slices.Clone(s.message.UserProperties)
	at := len(ps)
	if !a.add {
		at = max(0, slices.IndexFunc(ps, func(p pluginapi.UserProperty) bool { return p.Key == a.key }))
		was := len(ps)
		ps = slices.DeleteFunc(ps, func(p pluginapi.UserProperty) bool { return p.Key == a.key })
		if len(ps) == was {
			at = was
		}
	}
	if a.value != nil {
		p := pluginapi.UserProperty{Key: a.key, Value: string(a.value.expand(nil, s))}
		ps = slices.Insert(ps, at, p)
	}
	s.message.UserProperties = ps
	return nil
}

func (setProperty) needs() need {
	return need{changes: []pluginapi.Field{pluginapi.FieldUserProperties}}
}

// errBadTopic: the new topic is none.
var errBadTopic = errors.New("the new topic is not valid")

// setTopic moves a message to another topic, or a subscription to another
// filter.
type setTopic struct{ topic template }

func (a setTopic) apply(s *subject) error {
	b, err := a.topic.expandTopic(nil, s)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadTopic, err)
	}
	topic := string(b)
	if s.subscription != nil {
		if checkFilter(topic) != "" {
			return errBadTopic
		}
		if group, _, shared := pluginapi.SplitShared(s.subscription.Filter); shared {
			topic = "$share/" + group + "/" + topic
		}
		s.subscription.Filter = topic
		return nil
	}
	if !validTopic(topic) || !utf8.ValidString(topic) {
		return errBadTopic
	}
	s.message.Topic = topic
	return nil
}

func (setTopic) needs() need {
	return need{changes: []pluginapi.Field{pluginapi.FieldTopic, pluginapi.FieldSubscription}}
}

// setQoS changes the quality of service, or only lowers it, as that of a
// subscription or a delivery, which the client has asked for.
type setQoS struct {
	qos   pluginapi.QoS
	lower bool
}

func (a setQoS) apply(s *subject) error {
	q := a.qos
	if a.lower {
		q = min(q, s.qos())
	}
	if s.subscription != nil {
		s.subscription.QoS = q
	} else {
		s.message.QoS = q
	}
	return nil
}

func (setQoS) needs() need { return need{changes: []pluginapi.Field{pluginapi.FieldQoS}} }

// setRetain changes the RETAIN flag.
type setRetain struct{ on bool }

func (a setRetain) apply(s *subject) error {
	s.message.Retain = a.on
	return nil
}

func (setRetain) needs() need { return need{changes: []pluginapi.Field{pluginapi.FieldRetain}} }

// end gives the verdict.
type end struct{ verdict pluginapi.Verdict }

func (a end) apply(s *subject) error {
	s.verdict = a.verdict
	return nil
}

func (end) needs() need { return need{ends: true} }
