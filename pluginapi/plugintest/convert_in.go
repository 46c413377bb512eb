package plugintest

import (
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

var hookNames = map[pluginv1.Hook]pluginapi.Hook{
	pluginv1.Hook_HOOK_CONNECT:     pluginapi.HookConnect,
	pluginv1.Hook_HOOK_PUBLISH:     pluginapi.HookPublish,
	pluginv1.Hook_HOOK_SUBSCRIBE:   pluginapi.HookSubscribe,
	pluginv1.Hook_HOOK_UNSUBSCRIBE: pluginapi.HookUnsubscribe,
	pluginv1.Hook_HOOK_DELIVER:     pluginapi.HookDeliver,
	pluginv1.Hook_HOOK_EVENT:       pluginapi.HookEvent,
	pluginv1.Hook_HOOK_RETAIN:      pluginapi.HookRetain,
}

var words = map[pluginv1.DecisionVerdict]pluginapi.Word{
	pluginv1.DecisionVerdict_DECISION_VERDICT_UNSPECIFIED: pluginapi.Abstain,
	pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN:     pluginapi.Abstain,
	pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW:       pluginapi.Allow,
	pluginv1.DecisionVerdict_DECISION_VERDICT_DENY:        pluginapi.Deny,
}

func decisionFromProto(d *pluginv1.Decision) (*pluginapi.Decision, error) {
	word, ok := words[d.GetVerdict()]
	if !ok {
		return nil, fmt.Errorf("decision with the unknown word %v", d.GetVerdict())
	}
	durability := d.GetDurability()
	if durability < 0 || durability > pluginv1.Durability_DURABILITY_NONE {
		return nil, fmt.Errorf("decision with the unknown durability %v", durability)
	}
	out := &pluginapi.Decision{
		Word:             word,
		Code:             pluginapi.ReasonCode(d.GetReasonCode()),
		Reason:           d.GetReason(),
		ServerReference:  d.GetServerReference(),
		AssignedClientID: d.GetAssignedClientId(),
		UserProperties:   propertiesFromProto(d.GetUserProperties()),
		Username:         d.Username,
		Mountpoint:       d.GetMountpoint(),
		Limits:           limitsFromProto(d.GetLimits()),
		ValidFor:         time.Duration(d.GetValidSeconds()) * time.Second,
		CacheFor:         time.Duration(d.GetCacheSeconds()) * time.Second,
		Items:            d.GetItems(),
		AuthData:         d.GetAuthenticationData(),
		Quota:            quotaFromProto(d.GetQuota()),
		Durability:       pluginapi.Durability(durability),
	}
	if d.Grants == nil {
		return out, nil
	}
	out.Grants = []pluginapi.Grant{}
	for _, g := range d.Grants.GetGrants() {
		grant, err := grantFromProto(g)
		if err != nil {
			return nil, err
		}
		out.Grants = append(out.Grants, grant)
	}
	return out, nil
}

func limitsFromProto(l *pluginv1.SessionLimits) pluginapi.Limits {
	if l == nil {
		return pluginapi.Limits{}
	}
	return pluginapi.Limits{
		KeepAlive:         narrow[uint16](l.KeepAliveSeconds),
		SessionExpiry:     l.SessionExpirySeconds,
		ReceiveMaximum:    narrow[uint16](l.ReceiveMaximum),
		MaximumPacketSize: l.MaximumPacketSize,
		MaximumQoS:        narrow[pluginapi.QoS](l.MaximumQos),
		TopicAliasMaximum: narrow[uint16](l.TopicAliasMaximum),
		QueueMessages:     l.QueueMessages,
		QueueBytes:        l.QueueBytes,
		MessagesPerSecond: l.PublishMessagesPerSecond,
		BytesPerSecond:    l.PublishBytesPerSecond,
		Subscriptions:     l.Subscriptions,
	}
}

// quotaFromProto passes over actions that there are not; the broker refuses them.
func quotaFromProto(q *pluginv1.Quota) *pluginapi.Quota {
	if q == nil {
		return nil
	}
	out := &pluginapi.Quota{
		Account: q.GetAccount(), TimeZone: q.GetTimeZone(), BytesPerDay: q.BytesPerDay, BytesPerMonth: q.BytesPerMonth,
		MessagesPerDay: q.MessagesPerDay, MessagesPerMonth: q.MessagesPerMonth,
	}
	for _, a := range q.GetActions() {
		switch a {
		case pluginv1.GrantAction_GRANT_ACTION_PUBLISH:
			out.Of |= pluginapi.Publish
		case pluginv1.GrantAction_GRANT_ACTION_RECEIVE:
			out.Of |= pluginapi.Receive
		}
	}
	return out
}

func grantFromProto(g *pluginv1.Grant) (pluginapi.Grant, error) {
	out := pluginapi.Grant{
		Deny:   g.GetEffect() == pluginv1.GrantEffect_GRANT_EFFECT_DENY,
		Filter: g.GetFilter(),
		MaxQoS: narrow[pluginapi.QoS](g.MaximumQos),
		Retain: g.Retain,
	}
	if g.GetEffect() == pluginv1.GrantEffect_GRANT_EFFECT_UNSPECIFIED {
		return out, fmt.Errorf("grant of %q says neither allow nor deny", g.GetFilter())
	}
	for _, a := range g.GetActions() {
		if a < pluginv1.GrantAction_GRANT_ACTION_PUBLISH || a > pluginv1.GrantAction_GRANT_ACTION_RECEIVE {
			return out, fmt.Errorf("grant of %q with the unknown action %d", g.GetFilter(), a)
		}
		out.Actions |= pluginapi.Publish << (a - pluginv1.GrantAction_GRANT_ACTION_PUBLISH)
	}
	return out, nil
}

func messageFromProto(m *pluginv1.Message) *pluginapi.Message {
	if m == nil {
		return nil
	}
	out := &pluginapi.Message{
		Topic:           m.GetTopic(),
		Payload:         m.GetPayload(),
		PayloadSize:     int(m.GetPayloadSize()),
		QoS:             pluginapi.QoS(m.GetQos()),
		Retain:          m.GetRetain(),
		PayloadIsUTF8:   m.PayloadIsUtf8,
		Expiry:          m.ExpirySeconds,
		ContentType:     m.GetContentType(),
		ResponseTopic:   m.GetResponseTopic(),
		CorrelationData: m.GetCorrelationData(),
		UserProperties:  propertiesFromProto(m.GetUserProperties()),
		Publisher:       m.GetPublisher(),
		Origin:          pluginapi.Origin(m.GetOrigin()),
		Hops:            uint8(min(m.GetHops(), 255)), //nolint:gosec // bounded
	}
	if n := m.GetCreatedUnixNanos(); n != 0 {
		out.Created = time.Unix(0, n)
	}
	return out
}

func subscriptionFromProto(s *pluginv1.Subscription) pluginapi.Subscription {
	return pluginapi.Subscription{
		Filter:            s.GetFilter(),
		QoS:               pluginapi.QoS(s.GetQos()),
		NoLocal:           s.GetNoLocal(),
		RetainAsPublished: s.GetRetainAsPublished(),
		RetainHandling:    uint8(s.GetRetainHandling()),
		Identifier:        s.GetIdentifier(),
	}
}

func propertiesFromProto(ps []*pluginv1.UserProperty) []pluginapi.UserProperty {
	var out []pluginapi.UserProperty
	for _, p := range ps {
		out = append(out, pluginapi.UserProperty{Key: p.GetKey(), Value: p.GetValue()})
	}
	return out
}

func narrow[T ~uint8 | ~uint16](p *uint32) *T {
	if p == nil {
		return nil
	}
	v := T(*p)
	return &v
}
