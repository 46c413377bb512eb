package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// answers are the verdicts of calls by number. A call that passes unchanged has
// one without anything in it.
type answers map[uint64]*pluginv1.Verdict

// take adds one answer of the plugin to calls that were asked, each of which it
// answers once.
func (a answers) take(asked map[uint64]*pluginv1.Call, passed []*pluginv1.SeqRange, verdicts []*pluginv1.Verdict) error {
	add := func(v *pluginv1.Verdict) error {
		if asked[v.GetSeq()] == nil {
			return fmt.Errorf("answers the call %d, which was not asked", v.GetSeq())
		}
		if a[v.GetSeq()] != nil {
			return fmt.Errorf("answers the call %d twice", v.GetSeq())
		}
		a[v.GetSeq()] = v
		return nil
	}
	for _, r := range passed {
		if r.GetCount() == 0 {
			return fmt.Errorf("lets no call pass, beginning with %d: a range has a count", r.GetFirstSeq())
		}
		for i := range uint64(r.GetCount()) {
			v := &pluginv1.Verdict{Seq: r.GetFirstSeq() + i, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS}
			if err := add(v); err != nil {
				return err
			}
		}
	}
	for _, v := range verdicts {
		if err := add(v); err != nil {
			return err
		}
	}
	return nil
}

// changes are the fields that a verdict changes, by name.
func changes(call *pluginv1.Call, v *pluginv1.Verdict) []pluginv1.Field {
	var fields []pluginv1.Field
	add := func(changed bool, f pluginv1.Field) {
		if changed && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	if m := v.GetMessage(); m != nil {
		add(m.Topic != nil, pluginv1.Field_FIELD_TOPIC)
		add(m.Payload != nil, pluginv1.Field_FIELD_PAYLOAD)
		add(m.Qos != nil, pluginv1.Field_FIELD_QOS)
		add(m.Retain != nil, pluginv1.Field_FIELD_RETAIN)
		add(m.UserProperties != nil, pluginv1.Field_FIELD_USER_PROPERTIES)
		add(m.ExpirySeconds != nil || m.ClearExpiry, pluginv1.Field_FIELD_EXPIRY)
		add(m.ContentType != nil || m.PayloadIsUtf8 != nil || m.ClearPayloadFormat, pluginv1.Field_FIELD_CONTENT_TYPE)
		add(m.ResponseTopic != nil || m.CorrelationData != nil, pluginv1.Field_FIELD_RESPONSE)
	}
	if is, was := v.GetSubscription(), call.GetSubscribe().GetSubscription(); is != nil {
		add(is.GetQos() != was.GetQos(), pluginv1.Field_FIELD_QOS)
		add(is.GetFilter() != was.GetFilter() || is.GetNoLocal() != was.GetNoLocal() || is.GetRetainAsPublished() != was.GetRetainAsPublished() ||
			is.GetRetainHandling() != was.GetRetainHandling() || is.GetIdentifier() != was.GetIdentifier(), pluginv1.Field_FIELD_SUBSCRIPTION)
	}
	return fields
}

// legalVerdict says what the broker would not accept of a verdict.
func legalVerdict(init *pluginv1.InitResponse, call *pluginv1.Call, v *pluginv1.Verdict) error {
	code := v.GetReasonCode()
	switch v.GetAction() {
	case pluginv1.VerdictAction_VERDICT_ACTION_UNSPECIFIED:
		return fmt.Errorf("could not decide: %q", shortened(v.GetReason()))
	case pluginv1.VerdictAction_VERDICT_ACTION_PASS, pluginv1.VerdictAction_VERDICT_ACTION_DROP:
	case pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, pluginv1.VerdictAction_VERDICT_ACTION_DISCONNECT:
		if code != 0 && (code < 0x80 || code > 0xff) {
			return fmt.Errorf("refuses with the reason code 0x%02x, which is none of a failure", code)
		}
	default:
		return fmt.Errorf("answers the unknown action %d", v.GetAction())
	}
	if err := texts("reason", v.GetReason(), "server reference", v.GetServerReference()); err != nil {
		return fmt.Errorf("answers %w", err)
	}
	if err := properties(v.GetUserProperties()); err != nil {
		return fmt.Errorf("answers %w", err)
	}
	if v.GetMessage() == nil && v.GetSubscription() == nil {
		return nil
	}
	if v.GetAction() != pluginv1.VerdictAction_VERDICT_ACTION_PASS {
		return fmt.Errorf("changes a call that does not pass (%s)", v.GetAction())
	}
	if v.GetMessage() != nil && messageOf(call) == nil || v.GetSubscription() != nil && call.GetSubscribe() == nil {
		return fmt.Errorf("answers a change that does not fit the call (%s)", hookOf(call))
	}
	if err := legalChange(call, v); err != nil {
		return err
	}
	return declared(init, call, v)
}

// declared checks a change against the interest of Init.
func declared(init *pluginv1.InitResponse, call *pluginv1.Call, v *pluginv1.Verdict) error {
	for _, f := range changes(call, v) {
		may := slices.ContainsFunc(init.GetInterest(), func(in *pluginv1.HookInterest) bool {
			return in.GetHook() == hookOf(call) && slices.Contains(in.GetMayChange(), f)
		})
		if !may {
			return fmt.Errorf("changes %s at %s, which may_change of its interest does not declare",
				strings.TrimPrefix(f.String(), "FIELD_"), hookOf(call))
		}
	}
	return nil
}

// legalChange checks what a change makes of a call.
func legalChange(call *pluginv1.Call, v *pluginv1.Verdict) error {
	if s := v.GetSubscription(); s != nil {
		if err := pluginapi.CheckFilter(s.GetFilter()); err != nil {
			return fmt.Errorf("changes the subscription: %w", err)
		}
		if s.GetQos() > 2 || s.GetRetainHandling() > 2 {
			return fmt.Errorf("changes the subscription to QoS %d, retain handling %d", s.GetQos(), s.GetRetainHandling())
		}
		return nil
	}
	m := v.GetMessage()
	if m.Topic != nil {
		if err := pluginapi.CheckTopic(m.GetTopic()); err != nil {
			return fmt.Errorf("changes the topic: %w", err)
		}
	}
	if m.GetQos() > 2 {
		return fmt.Errorf("changes the QoS to %d", m.GetQos())
	}
	if m.Qos != nil && call.GetDeliver() != nil && m.GetQos() > messageOf(call).GetQos() {
		return fmt.Errorf("raises the QoS of a delivery from %d to %d", messageOf(call).GetQos(), m.GetQos())
	}
	if m.GetClearExpiry() && m.ExpirySeconds != nil || m.GetClearPayloadFormat() && m.PayloadIsUtf8 != nil {
		return fmt.Errorf("sets and removes a property at once")
	}
	if err := texts("content type", m.GetContentType(), "response topic", m.GetResponseTopic()); err != nil {
		return fmt.Errorf("changes to %w", err)
	}
	if err := properties(m.GetUserProperties().GetUserProperties()); err != nil {
		return fmt.Errorf("changes to %w", err)
	}
	return nil
}
