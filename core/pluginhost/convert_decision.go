package pluginhost

import (
	"math"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// decisionFromProto checks and converts what a validator answered. Every error
// wraps [hook.ErrProtocol]: a decision with a part that makes no sense is no
// decision, for nobody knows what its author meant.
func decisionFromProto(p *pluginv1.Decision) (*hook.Decision, error) {
	if p == nil {
		return nil, illegal("no decision")
	}
	if err := checkDecisionTexts(p); err != nil {
		return nil, err
	}
	d := &hook.Decision{
		Reason:           p.Reason,
		ServerReference:  p.ServerReference,
		AssignedClientID: p.AssignedClientId,
		User:             userFromProto(p.UserProperties),
		Username:         p.Username,
		Mountpoint:       p.Mountpoint,
		ValidFor:         time.Duration(p.ValidSeconds) * time.Second,
		CacheFor:         time.Duration(p.CacheSeconds) * time.Second,
		Items:            p.Items,
		AuthData:         p.AuthenticationData,
	}
	if err := legalUser(d.User); err != nil {
		return nil, err
	}
	var err error
	if d.Verdict, d.Code, err = decisionVerdict(p); err != nil {
		return nil, err
	}
	if p.Limits != nil {
		if d.Limits, err = limitsFromProto(p.Limits); err != nil {
			return nil, err
		}
	}
	if p.Grants != nil {
		if d.Grants, err = grantsFromProto(p.Grants); err != nil {
			return nil, err
		}
	}
	if p.Quota != nil {
		if d.Quota, err = quotaFromProto(p.Quota); err != nil {
			return nil, err
		}
	}
	if d.Durability, err = durabilityFromProto(p.Durability); err != nil {
		return nil, err
	}
	return d, nil
}

// durabilityFromProto relies on both enumerations being in the same order.
func durabilityFromProto(p pluginv1.Durability) (hook.Durability, error) {
	if p < 0 || p > pluginv1.Durability_DURABILITY_NONE {
		return 0, illegal("durability %d", p)
	}
	return hook.Durability(p), nil
}

func checkDecisionTexts(p *pluginv1.Decision) error {
	for _, f := range [...]struct{ what, s string }{
		{"reason", p.Reason},
		{"server reference", p.ServerReference},
		{"assigned client identifier", p.AssignedClientId},
		{"user name", p.GetUsername()},
	} {
		if err := legalString(f.what, f.s); err != nil {
			return err
		}
	}
	if p.Mountpoint != "" {
		if err := legalName("mountpoint", p.Mountpoint); err != nil {
			return err
		}
	}
	return legalBinary("authentication data", p.AuthenticationData)
}

func decisionVerdict(p *pluginv1.Decision) (v hook.Verdict, code mqtt.ReasonCode, err error) {
	switch p.Verdict {
	case pluginv1.DecisionVerdict_DECISION_VERDICT_UNSPECIFIED, pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN:
		v = hook.Abstain
	case pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW:
		v = hook.Allow
	case pluginv1.DecisionVerdict_DECISION_VERDICT_DENY:
		code, err = connackCodes.legalCode("CONNACK", p.ReasonCode)
		return hook.Deny, code, err
	default:
		return 0, 0, illegal("verdict %d", p.Verdict)
	}
	if p.ReasonCode != 0 {
		// Whoever gives a reason to deny may mean to deny.
		return 0, 0, illegal("reason code 0x%02x without a denial", p.ReasonCode)
	}
	return v, 0, nil
}

func userFromProto(list []*pluginv1.UserProperty) []mqtt.UserProperty {
	if len(list) == 0 {
		return nil
	}
	out := make([]mqtt.UserProperty, len(list))
	for i, u := range list {
		out[i] = mqtt.UserProperty{Key: u.GetKey(), Value: u.GetValue()}
	}
	return out
}

func limitsFromProto(p *pluginv1.SessionLimits) (l hook.Limits, err error) {
	c := limitConverter{}
	l = hook.Limits{
		KeepAlive:          c.uint16("keep alive", p.KeepAliveSeconds, 0),
		SessionExpiry:      p.SessionExpirySeconds,
		ReceiveMaximum:     c.uint16("receive maximum", p.ReceiveMaximum, 1), // [MQTT-3.2.2.3.3]: 0 is an error
		MaximumPacketSize:  p.MaximumPacketSize,
		TopicAliasMaximum:  c.uint16("topic alias maximum", p.TopicAliasMaximum, 0),
		QueueMessages:      c.int("queue length", p.QueueMessages),
		MessagesPerSecond:  c.rate("message rate", p.PublishMessagesPerSecond),
		BytesPerSecond:     c.rate("byte rate", p.PublishBytesPerSecond),
		SubscriptionsCount: c.int("number of subscriptions", p.Subscriptions),
	}
	if p.MaximumPacketSize != nil && *p.MaximumPacketSize == 0 {
		c.fail("maximum packet size 0")
	}
	if p.QueueBytes != nil {
		l.QueueBytes = new(int(min(*p.QueueBytes, math.MaxInt)))
	}
	if p.MaximumQos != nil {
		q, err := legalQoS(*p.MaximumQos)
		if err != nil {
			return l, err
		}
		l.MaximumQoS = &q
	}
	return l, c.err
}

// limitConverter keeps the first error of many conversions.
type limitConverter struct{ err error }

func (c *limitConverter) fail(format string, args ...any) {
	if c.err == nil {
		c.err = illegal(format, args...)
	}
}

func (c *limitConverter) uint16(what string, v *uint32, least uint32) *uint16 {
	if v == nil {
		return nil
	}
	if *v > math.MaxUint16 || *v < least {
		c.fail("%s %d", what, *v)
	}
	return new(uint16(*v))
}

func (c *limitConverter) int(what string, v *uint32) *int {
	if v == nil {
		return nil
	}
	if *v > math.MaxInt32 {
		c.fail("%s %d", what, *v)
	}
	return new(int(*v))
}

func (c *limitConverter) rate(what string, v *float64) *float64 {
	if v != nil && !(*v >= 0 && *v <= math.MaxFloat64) { // NaN is neither
		c.fail("%s %v", what, *v)
	}
	return v
}

func grantsFromProto(p *pluginv1.GrantList) (*hook.Grants, error) {
	g := &hook.Grants{List: make([]hook.Grant, len(p.Grants))}
	for i, from := range p.Grants {
		if err := grantFromProto(&g.List[i], from); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func grantFromProto(g *hook.Grant, p *pluginv1.Grant) error {
	switch p.GetEffect() {
	case pluginv1.GrantEffect_GRANT_EFFECT_ALLOW:
	case pluginv1.GrantEffect_GRANT_EFFECT_DENY:
		g.Deny = true
	default:
		return illegal("grant effect %d", p.GetEffect())
	}
	for _, a := range p.Actions {
		switch a {
		case pluginv1.GrantAction_GRANT_ACTION_PUBLISH:
			g.Actions |= hook.ActionPublish
		case pluginv1.GrantAction_GRANT_ACTION_SUBSCRIBE:
			g.Actions |= hook.ActionSubscribe
		case pluginv1.GrantAction_GRANT_ACTION_RECEIVE:
			g.Actions |= hook.ActionReceive
		default:
			return illegal("grant action %d", a)
		}
	}
	if len(p.Actions) == 0 {
		g.Actions = hook.ActionAll
	}
	if err := legalFilter(p.Filter); err != nil {
		return err
	}
	g.Filter, g.Retain = p.Filter, p.Retain
	if p.MaximumQos != nil {
		q, err := legalQoS(*p.MaximumQos)
		if err != nil {
			return err
		}
		g.MaxQoS = &q
	}
	return nil
}
