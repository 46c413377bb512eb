package pluginapi

import (
	"errors"
	"fmt"
	"math"
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// decisionToProto refuses what the contract has no form for: such a decision was
// not made, which is safer than one that means less than its author thinks.
func decisionToProto(d *Decision) (*pluginv1.Decision, error) {
	if d == nil {
		return nil, errors.New("no decision: return Allowed(), Denied() or NoOpinion()")
	}
	out := &pluginv1.Decision{
		ReasonCode:         uint32(d.Code),
		Reason:             d.Reason,
		ServerReference:    d.ServerReference,
		AssignedClientId:   d.AssignedClientID,
		UserProperties:     userPropertiesToProto(d.UserProperties),
		Username:           d.Username,
		Mountpoint:         d.Mountpoint,
		Limits:             limitsToProto(&d.Limits),
		Items:              d.Items,
		AuthenticationData: d.AuthData,
		Durability:         pluginv1.Durability(d.Durability),
	}
	switch d.Word {
	case Abstain:
		out.Verdict = pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN
	case Allow:
		out.Verdict = pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW
	case Deny:
		out.Verdict = pluginv1.DecisionVerdict_DECISION_VERDICT_DENY
	default:
		return nil, fmt.Errorf("word %d of a decision does not exist", d.Word)
	}
	err := errors.Join(checkDecision(d),
		wholeSeconds("ValidFor", d.ValidFor, &out.ValidSeconds),
		wholeSeconds("CacheFor", d.CacheFor, &out.CacheSeconds))
	if err == nil && d.Grants != nil {
		out.Grants, err = grantsToProto(d.Grants)
	}
	if err == nil && d.Quota != nil {
		out.Quota, err = quotaToProto(d.Quota)
	}
	if err != nil {
		return nil, fmt.Errorf("illegal decision: %w", err)
	}
	return out, nil
}

func checkDecision(d *Decision) error {
	username := ""
	if d.Username != nil {
		username = *d.Username
	}
	if d.Word == Deny && d.Code != 0 && !d.Code.Failed() {
		return fmt.Errorf("a denial with the reason code %v", d.Code)
	}
	if d.Durability > DurabilityNone {
		return fmt.Errorf("durability %d does not exist", d.Durability)
	}
	if q := d.Limits.MaximumQoS; q != nil && *q > 2 {
		return fmt.Errorf("a limit of QoS %d", *q)
	}
	err := checkTexts("reason", d.Reason, "server reference", d.ServerReference, "assigned client id", d.AssignedClientID,
		"username", username, "mountpoint", d.Mountpoint)
	for k := range d.Items {
		err = errors.Join(err, checkTexts("item", k))
	}
	return errors.Join(err, checkUserProperties(d.UserProperties))
}

// wholeSeconds rounds up, so that a short time does not become none at all.
func wholeSeconds(name string, d time.Duration, to *uint32) error {
	s := (d + time.Second - 1) / time.Second
	if d < 0 || s > math.MaxUint32 {
		return fmt.Errorf("%s is %v", name, d)
	}
	*to = uint32(s)
	return nil
}

func limitsToProto(l *Limits) *pluginv1.SessionLimits {
	if *l == (Limits{}) {
		return nil
	}
	return &pluginv1.SessionLimits{
		KeepAliveSeconds:         widen(l.KeepAlive),
		SessionExpirySeconds:     l.SessionExpiry,
		ReceiveMaximum:           widen(l.ReceiveMaximum),
		MaximumPacketSize:        l.MaximumPacketSize,
		MaximumQos:               widen(l.MaximumQoS),
		TopicAliasMaximum:        widen(l.TopicAliasMaximum),
		QueueMessages:            l.QueueMessages,
		QueueBytes:               l.QueueBytes,
		PublishMessagesPerSecond: l.MessagesPerSecond,
		PublishBytesPerSecond:    l.BytesPerSecond,
		Subscriptions:            l.Subscriptions,
	}
}

func grantsToProto(grants []Grant) (*pluginv1.GrantList, error) {
	list := &pluginv1.GrantList{Grants: make([]*pluginv1.Grant, len(grants))}
	for i, g := range grants {
		if g.Filter == "" {
			return nil, fmt.Errorf("grant %d has no filter", i)
		}
		if g.MaxQoS != nil && *g.MaxQoS > 2 {
			return nil, fmt.Errorf("grant of %q with QoS %d", g.Filter, *g.MaxQoS)
		}
		if err := checkTexts("filter of a grant", g.Filter); err != nil {
			return nil, err
		}
		actions, err := actionsToProto(g.Actions)
		if err != nil {
			return nil, fmt.Errorf("grant of %q: %w", g.Filter, err)
		}
		effect := pluginv1.GrantEffect_GRANT_EFFECT_ALLOW
		if g.Deny {
			effect = pluginv1.GrantEffect_GRANT_EFFECT_DENY
		}
		list.Grants[i] = &pluginv1.Grant{
			Effect: effect, Actions: actions, Filter: g.Filter, MaximumQos: widen(g.MaxQoS), Retain: g.Retain,
		}
	}
	return list, nil
}

func quotaToProto(q *Quota) (*pluginv1.Quota, error) {
	if err := checkTexts("account of a quota", q.Account, "time zone of a quota", q.TimeZone); err != nil {
		return nil, err
	}
	out := &pluginv1.Quota{
		Account: q.Account, TimeZone: q.TimeZone, BytesPerDay: q.BytesPerDay, BytesPerMonth: q.BytesPerMonth,
		MessagesPerDay: q.MessagesPerDay, MessagesPerMonth: q.MessagesPerMonth,
	}
	if q.Of&^(Publish|Receive) != 0 {
		return nil, fmt.Errorf("quota of actions %#x: only publish and receive can have one", q.Of)
	}
	if q.Of == 0 {
		return out, nil
	}
	var err error
	out.Actions, err = actionsToProto(q.Of)
	return out, err
}

// actionsToProto leaves all actions out, which means the same.
func actionsToProto(a Action) ([]pluginv1.GrantAction, error) {
	if a&^AllActions != 0 {
		return nil, fmt.Errorf("actions %#x do not exist", a&^AllActions)
	}
	if a == 0 || a == AllActions {
		return nil, nil
	}
	var out []pluginv1.GrantAction
	for i, action := range []pluginv1.GrantAction{
		pluginv1.GrantAction_GRANT_ACTION_PUBLISH,
		pluginv1.GrantAction_GRANT_ACTION_SUBSCRIBE,
		pluginv1.GrantAction_GRANT_ACTION_RECEIVE,
	} {
		if a&(Publish<<i) != 0 {
			out = append(out, action)
		}
	}
	return out, nil
}
