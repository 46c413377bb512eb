package plugintest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// callToProto returns the call and the client that it refers to.
func callToProto(seq uint64, c *pluginapi.Call) (*pluginv1.Call, *pluginapi.Client, error) {
	pb := &pluginv1.Call{Seq: seq}
	var client *pluginapi.Client
	switch {
	case c.Publish != nil:
		client = c.Publish.Client
		pb.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: messageToProto(c.Publish.Message)}}
	case c.Subscribe != nil:
		client = c.Subscribe.Client
		pb.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{
			Subscription:   subscriptionToProto(c.Subscribe.Subscription),
			UserProperties: propertiesToProto(c.Subscribe.UserProperties),
		}}
	case c.Unsubscribe != nil:
		client = c.Unsubscribe.Client
		pb.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{
			Filter:         c.Unsubscribe.Filter,
			UserProperties: propertiesToProto(c.Unsubscribe.UserProperties),
		}}
	case c.Deliver != nil:
		client = c.Deliver.Client
		pb.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{
			Message:  messageToProto(c.Deliver.Message),
			Receiver: c.Deliver.Receiver,
			Retained: c.Deliver.Retained,
		}}
	default:
		return nil, nil, fmt.Errorf("call %d asks nothing", seq)
	}
	if client != nil {
		pb.ConnectionId = client.ConnectionID
	}
	return pb, client, nil
}

// settling puts answers where they belong, each exactly once.
type settling struct {
	plugin *Plugin
	calls  []*pluginapi.Call
	done   []bool
	left   int
}

func newSettling(p *Plugin, calls []*pluginapi.Call) *settling {
	return &settling{plugin: p, calls: calls, done: make([]bool, len(calls)), left: len(calls)}
}

func (s *settling) open() int { return s.left }

// take takes one answer of the plugin.
func (s *settling) take(passed []*pluginv1.SeqRange, verdicts []*pluginv1.Verdict) error {
	for _, r := range passed {
		for i := range uint64(r.GetCount()) {
			c, err := s.call(r.GetFirstSeq() + i)
			if err != nil {
				return err
			}
			c.Verdict = pluginapi.Pass()
		}
	}
	for _, v := range verdicts {
		c, err := s.call(v.GetSeq())
		if err != nil {
			return err
		}
		if err := s.plugin.settle(c, v); err != nil {
			return err
		}
	}
	return nil
}

// call returns the call with a number, once.
func (s *settling) call(seq uint64) (*pluginapi.Call, error) {
	if seq >= uint64(len(s.calls)) {
		return nil, fmt.Errorf("answer to call %d, which was not asked", seq)
	}
	if s.done[seq] {
		return nil, fmt.Errorf("call %d was answered twice", seq)
	}
	s.done[seq] = true
	s.left--
	return s.calls[seq], nil
}

// settle writes a verdict and its changes into a call.
func (p *Plugin) settle(c *pluginapi.Call, v *pluginv1.Verdict) error {
	if v.GetAction() == pluginv1.VerdictAction_VERDICT_ACTION_UNSPECIFIED {
		return fmt.Errorf("not decided: %s", v.GetReason())
	}
	c.Verdict = pluginapi.Verdict{
		Action:          pluginapi.VerdictAction(v.GetAction() - pluginv1.VerdictAction_VERDICT_ACTION_PASS),
		Code:            pluginapi.ReasonCode(v.GetReasonCode()),
		Reason:          v.GetReason(),
		ServerReference: v.GetServerReference(),
		UserProperties:  propertiesFromProto(v.GetUserProperties()),
	}
	switch {
	case v.GetMessage() == nil && v.GetSubscription() == nil:
		return nil
	case c.Verdict.Action != pluginapi.ActionPass:
		return errors.New("a change of a call that does not pass")
	case v.GetMessage() != nil && c.Publish != nil:
		return p.change(pluginv1.Hook_HOOK_PUBLISH, c.Publish.Message, v.GetMessage())
	case v.GetMessage() != nil && c.Deliver != nil:
		return p.change(pluginv1.Hook_HOOK_DELIVER, c.Deliver.Message, v.GetMessage())
	case v.GetSubscription() != nil && c.Subscribe != nil:
		was, is := c.Subscribe.Subscription, subscriptionFromProto(v.GetSubscription())
		c.Subscribe.Subscription = is
		var err error
		if was.QoS != is.QoS {
			err = p.declared(pluginv1.Hook_HOOK_SUBSCRIBE, pluginv1.Field_FIELD_QOS)
		}
		was.QoS = is.QoS
		if was != is {
			err = errors.Join(err, p.declared(pluginv1.Hook_HOOK_SUBSCRIBE, pluginv1.Field_FIELD_SUBSCRIPTION))
		}
		return err
	}
	return errors.New("a change that does not fit the call")
}

// change changes m.
func (p *Plugin) change(hook pluginv1.Hook, m *pluginapi.Message, c *pluginv1.MessageChange) error {
	var errs []error
	if c.Topic != nil {
		m.Topic = c.GetTopic()
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_TOPIC))
	}
	if c.Payload != nil {
		m.Payload, m.PayloadSize = c.GetPayload(), len(c.GetPayload())
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_PAYLOAD))
	}
	if c.Qos != nil {
		m.QoS = pluginapi.QoS(c.GetQos())
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_QOS))
	}
	if c.Retain != nil {
		m.Retain = c.GetRetain()
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_RETAIN))
	}
	if c.UserProperties != nil {
		m.UserProperties = propertiesFromProto(c.GetUserProperties().GetUserProperties())
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_USER_PROPERTIES))
	}
	if c.ExpirySeconds != nil || c.GetClearExpiry() {
		m.Expiry = c.ExpirySeconds
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_EXPIRY))
	}
	if c.PayloadIsUtf8 != nil || c.GetClearPayloadFormat() {
		m.PayloadIsUTF8 = c.PayloadIsUtf8
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_CONTENT_TYPE))
	}
	if c.ContentType != nil {
		m.ContentType = c.GetContentType()
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_CONTENT_TYPE))
	}
	if c.ResponseTopic != nil {
		m.ResponseTopic = c.GetResponseTopic()
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_RESPONSE))
	}
	if c.CorrelationData != nil {
		m.CorrelationData = c.GetCorrelationData()
		if len(m.CorrelationData) == 0 {
			m.CorrelationData = nil
		}
		errs = append(errs, p.declared(hook, pluginv1.Field_FIELD_RESPONSE))
	}
	return errors.Join(errs...)
}

// declared checks a change against the interest of Init.
func (p *Plugin) declared(hook pluginv1.Hook, f pluginv1.Field) error {
	for _, in := range p.init.Load().GetInterest() {
		if in.GetHook() == hook && slices.Contains(in.GetMayChange(), f) {
			return nil
		}
	}
	return fmt.Errorf("plugin changed %v, which its interest in the hook %s does not declare", f, hookNames[hook])
}
