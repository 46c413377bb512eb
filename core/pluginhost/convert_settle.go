package pluginhost

import (
	"fmt"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// outcome is a checked verdict, ready to be written into its call.
type outcome struct {
	verdict      hook.CallVerdict
	message      *mqtt.Message // nil: as it was
	subscription *mqtt.Subscription
}

// check says what a verdict means for a call of this kind, or, as an error that
// wraps [hook.ErrProtocol], why it means nothing. A verdict that gives a reason
// but no action is how a plugin says of a single call that it could not decide;
// that error wraps nothing. check changes neither.
func (v *verdict) check(point hook.Point, c *hook.Call) (o outcome, err error) {
	o.verdict.Reason, o.verdict.ServerReference, o.verdict.User = v.reason, v.serverReference, v.user
	if err = v.checkTexts(); err != nil {
		return o, err
	}
	if o.verdict.Action, o.verdict.Code, err = v.checkAction(point); err != nil {
		return o, err
	}
	if v.change == nil && v.subscription == nil {
		return o, nil
	}
	if o.verdict.Action != hook.Pass {
		return o, illegal("a change together with %s", o.verdict.Action)
	}
	if v.change != nil {
		if point != hook.PointPublish && point != hook.PointDeliver {
			return o, illegal("a changed message for %s", point)
		}
		o.message, err = v.change.apply(c.Message)
		if err != nil {
			return o, err
		}
	}
	if v.subscription != nil {
		if point != hook.PointSubscribe {
			return o, illegal("a changed subscription for %s", point)
		}
		o.subscription, err = v.subscription.check()
	}
	return o, err
}

func (v *verdict) checkTexts() error {
	if err := legalString("reason", v.reason); err != nil {
		return err
	}
	if err := legalString("server reference", v.serverReference); err != nil {
		return err
	}
	return legalUser(v.user)
}

func (v *verdict) checkAction(point hook.Point) (a hook.CallAction, code mqtt.ReasonCode, err error) {
	switch pluginv1.VerdictAction(v.action) {
	case pluginv1.VerdictAction_VERDICT_ACTION_PASS:
		a = hook.Pass
	case pluginv1.VerdictAction_VERDICT_ACTION_DROP:
		a = hook.Drop
	case pluginv1.VerdictAction_VERDICT_ACTION_REFUSE:
		set, where := refusalCodes(point)
		code, err = set.legalCode(where, v.code)
		return hook.Refuse, code, err
	case pluginv1.VerdictAction_VERDICT_ACTION_DISCONNECT:
		code, err = disconnectCodes.legalCode("DISCONNECT", v.code)
		return hook.Disconnect, code, err
	case pluginv1.VerdictAction_VERDICT_ACTION_UNSPECIFIED:
		if v.reason != "" && mqtt.ReasonCode(v.code) == mqtt.ImplementationSpecificError {
			return 0, 0, fmt.Errorf("the plugin could not decide, %w: %.300s", errBroken, v.reason)
		}
		if v.reason != "" {
			return 0, 0, fmt.Errorf("the plugin could not decide: %.300s", v.reason)
		}
		return 0, 0, illegal("a verdict without an action")
	default:
		return 0, 0, illegal("verdict action %d", v.action)
	}
	if v.code != 0 {
		// Whoever gives a reason to refuse may mean to refuse.
		return 0, 0, illegal("reason code 0x%02x together with %s", v.code, a)
	}
	return a, 0, nil
}

// apply makes the changed message. m is not touched; without any change it is
// the result.
func (c *messageChange) apply(m *mqtt.Message) (*mqtt.Message, error) {
	if c.has == 0 && !c.clearExpiry && !c.clearFormat {
		return m, nil
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	m = m.Clone()
	if c.has&changeTopic != 0 {
		m.Topic = c.topic
	}
	if c.has&changePayload != 0 {
		m.Payload = c.payload
	}
	if c.has&changeQoS != 0 {
		m.QoS = mqtt.QoS(c.qos)
	}
	if c.has&changeRetain != 0 {
		m.Retain = c.retain
	}
	c.applyProperties(m)
	return m, nil
}

func (c *messageChange) check() error {
	if c.has&changeTopic != 0 {
		if err := legalName("topic", c.topic); err != nil {
			return err
		}
	}
	if len(c.payload) > maxPayload {
		return illegal("payload of %d bytes", len(c.payload))
	}
	if _, err := legalQoS(c.qos); err != nil {
		return err
	}
	if c.clearExpiry && c.has&changeExpiry != 0 {
		return illegal("an expiry to set and to clear")
	}
	if c.clearFormat && c.has&changePayloadIsUTF8 != 0 {
		return illegal("a payload format to set and to clear")
	}
	if err := legalString("content type", c.contentType); err != nil {
		return err
	}
	if c.responseTopic != "" {
		if err := legalName("response topic", c.responseTopic); err != nil {
			return err
		}
	}
	if err := legalBinary("correlation data", c.correlationData); err != nil {
		return err
	}
	return legalUser(c.user)
}

// The changes that concern properties.
const propertyChanges = changePayloadIsUTF8 | changeExpiry | changeContentType |
	changeResponseTopic | changeCorrelationData | changeUser

// applyProperties writes into m, a clone, which has properties of its own or
// none.
func (c *messageChange) applyProperties(m *mqtt.Message) {
	p := m.Properties
	if p == nil {
		if c.has&propertyChanges == 0 {
			return
		}
		p = new(mqtt.Properties)
		m.Properties = p
	}
	if c.clearFormat {
		p.PayloadIsUTF8, p.HasPayloadFormat = false, false
	} else if c.has&changePayloadIsUTF8 != 0 {
		p.PayloadIsUTF8, p.HasPayloadFormat = c.payloadIsUTF8, true
	}
	if c.clearExpiry {
		p.Expiry, p.HasExpiry = 0, false
	} else if c.has&changeExpiry != 0 {
		p.Expiry, p.HasExpiry = c.expiry, true
	}
	if c.has&changeContentType != 0 {
		p.ContentType, p.EmptyContentType = c.contentType, false
	}
	if c.has&changeResponseTopic != 0 {
		p.ResponseTopic = c.responseTopic
	}
	if c.has&changeCorrelationData != 0 {
		p.CorrelationData = c.correlationData
		if len(c.correlationData) == 0 {
			p.CorrelationData = nil
		}
	}
	if c.has&changeUser != 0 {
		p.User = c.user
	}
}

func (s *subscriptionChange) check() (*mqtt.Subscription, error) {
	if err := legalFilter(s.filter); err != nil {
		return nil, err
	}
	if s.noLocal && strings.HasPrefix(s.filter, "$share/") {
		return nil, illegal("no local on a shared subscription") // [MQTT-3.8.3-4]
	}
	q, err := legalQoS(s.qos)
	if err != nil {
		return nil, err
	}
	if s.retainHandling > uint32(mqtt.RetainDoNotSend) {
		return nil, illegal("retain handling %d", s.retainHandling)
	}
	if s.identifier > maxSubscriptionID {
		return nil, illegal("subscription identifier %d", s.identifier)
	}
	return &mqtt.Subscription{
		Filter: s.filter, QoS: q, NoLocal: s.noLocal, RetainAsPublished: s.retainAsPublished,
		RetainHandling: mqtt.RetainHandling(s.retainHandling), ID: s.identifier,
	}, nil
}
