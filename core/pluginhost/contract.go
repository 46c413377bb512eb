package pluginhost

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// The functions below say what hooks were asked and answered in the words of
// the contract with plugins, for people and files. A string that is not UTF-8
// is shown with U+FFFD. The results share byte slices with their arguments.

// ConnectProto is what a validator is asked.
func ConnectProto(c *hook.Connect) *pluginv1.Connect {
	if checkConnect(c) != nil {
		shown := *c
		shown.ClientID, shown.Username, shown.AuthMethod = toUTF8(c.ClientID), toUTF8(c.Username), toUTF8(c.AuthMethod)
		shown.User = userToUTF8(c.User)
		if w := c.Will; w != nil && w.Message != nil {
			shown.Will = &hook.Will{Message: messageToUTF8(w.Message), Delay: w.Delay}
		}
		c = &shown
	}
	p, err := connectToProto(c)
	if err != nil {
		return &pluginv1.Connect{ConnectionId: c.ConnectionID}
	}
	return p
}

func userToUTF8(list []mqtt.UserProperty) []mqtt.UserProperty {
	out := make([]mqtt.UserProperty, len(list))
	for i, u := range list {
		out[i] = mqtt.UserProperty{Key: toUTF8(u.Key), Value: toUTF8(u.Value)}
	}
	return out
}

func messageToUTF8(m *mqtt.Message) *mqtt.Message {
	m = m.Clone()
	m.Topic, m.Publisher = toUTF8(m.Topic), toUTF8(m.Publisher)
	if p := m.Properties; p != nil {
		p.ContentType, p.ResponseTopic, p.User = toUTF8(p.ContentType), toUTF8(p.ResponseTopic), userToUTF8(p.User)
	}
	return m
}

func shownMessage(m *mqtt.Message) *pluginv1.Message {
	if m == nil {
		return nil
	}
	if checkMessage(m) != nil {
		m = messageToUTF8(m)
	}
	return messageToProto(m)
}

func shownSubscription(s *mqtt.Subscription) *pluginv1.Subscription {
	return &pluginv1.Subscription{
		Filter: toUTF8(s.Filter), Qos: uint32(s.QoS), NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
		RetainHandling: uint32(s.RetainHandling), Identifier: s.ID,
	}
}

// ClientProto is what hooks are told of a client; nil for nil.
func ClientProto(c *hook.Client) *pluginv1.ClientContext { return clientContextToProto(c) }

// CallProto is what an interceptor is asked, with the whole payload.
func CallProto(p hook.Point, c *hook.Call) *pluginv1.Call {
	out := new(pluginv1.Call)
	if c.Client != nil {
		out.ConnectionId = c.Client.ConnectionID
	}
	user := userToProto(userToUTF8(c.User))
	switch p {
	case hook.PointPublish:
		out.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: shownMessage(c.Message)}}
	case hook.PointSubscribe:
		out.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{Subscription: shownSubscription(&c.Subscription), UserProperties: user}}
	case hook.PointUnsubscribe:
		out.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{Filter: toUTF8(c.Subscription.Filter), UserProperties: user}}
	case hook.PointDeliver:
		out.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{
			Message: shownMessage(c.Message), Receiver: toUTF8(c.Receiver), Retained: c.Retained,
		}}
	}
	return out
}

// EventProto is what an observer is told, with the whole payload.
func EventProto(e *hook.Event) *pluginv1.Event {
	out := new(pluginv1.Event)
	shown := *e
	if shown.Message != nil && checkMessage(shown.Message) != nil {
		shown.Message = messageToUTF8(shown.Message)
	}
	if err := proto.Unmarshal(appendEvent(nil, &shown, newPayloadPlan(nil)), out); err != nil {
		return &pluginv1.Event{Kind: pluginv1.EventKind(e.Kind)}
	}
	return out
}

// VerdictProto is what came of a call of an interceptor: its verdict, or its
// policy's, and what changed.
func VerdictProto(c *hook.CallReport) *pluginv1.Verdict {
	v := &c.Verdict
	out := &pluginv1.Verdict{
		Action: verdictActions[v.Action], ReasonCode: uint32(v.Code), Reason: toUTF8(v.Reason),
		ServerReference: toUTF8(v.ServerReference), UserProperties: userToProto(userToUTF8(v.User)),
	}
	switch changed := c.Changed(); {
	case changed == 0:
	case c.Message != nil && c.Asked.Message != nil:
		out.Message = changeToProto(c.Asked.Message, c.Message, changed)
	case c.Message == nil:
		out.Subscription = shownSubscription(&c.Subscription)
	}
	return out
}

var verdictActions = map[hook.CallAction]pluginv1.VerdictAction{
	hook.Pass:       pluginv1.VerdictAction_VERDICT_ACTION_PASS,
	hook.Drop:       pluginv1.VerdictAction_VERDICT_ACTION_DROP,
	hook.Refuse:     pluginv1.VerdictAction_VERDICT_ACTION_REFUSE,
	hook.Disconnect: pluginv1.VerdictAction_VERDICT_ACTION_DISCONNECT,
}

// changeToProto is the change that makes b of a.
func changeToProto(a, b *mqtt.Message, changed hook.Field) *pluginv1.MessageChange {
	before, after := shownMessage(a), shownMessage(b)
	out := new(pluginv1.MessageChange)
	if changed&hook.FieldTopic != 0 {
		out.Topic = &after.Topic
	}
	if changed&hook.FieldPayload != 0 {
		out.Payload = append([]byte{}, after.Payload...)
	}
	if changed&hook.FieldQoS != 0 {
		out.Qos = &after.Qos
	}
	if changed&hook.FieldRetain != 0 {
		out.Retain = &after.Retain
	}
	if changed&hook.FieldUser != 0 {
		out.UserProperties = &pluginv1.UserPropertyList{UserProperties: after.UserProperties}
	}
	if changed&hook.FieldExpiry != 0 {
		out.ExpirySeconds, out.ClearExpiry = after.ExpirySeconds, after.ExpirySeconds == nil
	}
	if before.ContentType != after.ContentType {
		out.ContentType = &after.ContentType
	}
	if before.GetPayloadIsUtf8() != after.GetPayloadIsUtf8() || (before.PayloadIsUtf8 == nil) != (after.PayloadIsUtf8 == nil) {
		out.PayloadIsUtf8, out.ClearPayloadFormat = after.PayloadIsUtf8, after.PayloadIsUtf8 == nil
	}
	if before.ResponseTopic != after.ResponseTopic {
		out.ResponseTopic = &after.ResponseTopic
	}
	if string(before.CorrelationData) != string(after.CorrelationData) {
		out.CorrelationData = append([]byte{}, after.CorrelationData...)
	}
	return out
}

// DecisionProto is a validator's decision.
func DecisionProto(d *hook.Decision) *pluginv1.Decision {
	if d == nil {
		return nil
	}
	out := &pluginv1.Decision{
		Verdict: decisionVerdicts[d.Verdict], ReasonCode: uint32(d.Code), Reason: toUTF8(d.Reason), ServerReference: toUTF8(d.ServerReference),
		AssignedClientId: toUTF8(d.AssignedClientID), UserProperties: userToProto(userToUTF8(d.User)), Mountpoint: toUTF8(d.Mountpoint),
		Limits: limitsToProto(&d.Limits), ValidSeconds: wholeSeconds(d.ValidFor), CacheSeconds: wholeSeconds(d.CacheFor),
		AuthenticationData: d.AuthData, Quota: quotaToProto(d.Quota), Durability: pluginv1.Durability(d.Durability),
	}
	if d.Username != nil {
		out.Username = new(toUTF8(*d.Username))
	}
	if len(d.Items) > 0 {
		out.Items = textKeys(d.Items)
	}
	if d.Grants != nil {
		out.Grants = new(pluginv1.GrantList)
		for i := range d.Grants.List {
			out.Grants.Grants = append(out.Grants.Grants, grantToProto(&d.Grants.List[i]))
		}
	}
	return out
}

var decisionVerdicts = map[hook.Verdict]pluginv1.DecisionVerdict{
	hook.Abstain: pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN,
	hook.Allow:   pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW,
	hook.Deny:    pluginv1.DecisionVerdict_DECISION_VERDICT_DENY,
}

// wholeSeconds rounds up, so that what is not zero does not become it.
func wholeSeconds(d time.Duration) uint32 { return seconds(d + time.Second - 1) }

func grantToProto(g *hook.Grant) *pluginv1.Grant {
	out := &pluginv1.Grant{Effect: pluginv1.GrantEffect_GRANT_EFFECT_ALLOW, Filter: toUTF8(g.Filter), Retain: g.Retain}
	if g.Deny {
		out.Effect = pluginv1.GrantEffect_GRANT_EFFECT_DENY
	}
	if g.Actions != hook.ActionAll {
		for _, a := range [...]struct {
			of hook.Action
			as pluginv1.GrantAction
		}{
			{hook.ActionPublish, pluginv1.GrantAction_GRANT_ACTION_PUBLISH},
			{hook.ActionSubscribe, pluginv1.GrantAction_GRANT_ACTION_SUBSCRIBE},
			{hook.ActionReceive, pluginv1.GrantAction_GRANT_ACTION_RECEIVE},
		} {
			if g.Actions&a.of != 0 {
				out.Actions = append(out.Actions, a.as)
			}
		}
	}
	if g.MaxQoS != nil {
		out.MaximumQos = new(uint32(*g.MaxQoS))
	}
	return out
}

// limitsToProto is nil for limits that limit nothing.
func limitsToProto(l *hook.Limits) *pluginv1.SessionLimits {
	if *l == (hook.Limits{}) {
		return nil
	}
	out := &pluginv1.SessionLimits{
		SessionExpirySeconds: l.SessionExpiry, MaximumPacketSize: l.MaximumPacketSize,
		PublishMessagesPerSecond: l.MessagesPerSecond, PublishBytesPerSecond: l.BytesPerSecond,
		KeepAliveSeconds: widen(l.KeepAlive), ReceiveMaximum: widen(l.ReceiveMaximum), TopicAliasMaximum: widen(l.TopicAliasMaximum),
		MaximumQos: widen(l.MaximumQoS), QueueMessages: widen(l.QueueMessages), Subscriptions: widen(l.SubscriptionsCount),
	}
	if l.QueueBytes != nil {
		out.QueueBytes = new(uint64(*l.QueueBytes))
	}
	return out
}

func widen[T ~uint8 | ~uint16 | ~int](v *T) *uint32 {
	if v == nil {
		return nil
	}
	return new(uint32(*v))
}
