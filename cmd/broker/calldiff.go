package main

import (
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// difference is one thing that is not the same before and after.
type difference struct{ field, before, after string }

// none stands for what is absent.
const none = "(none)"

// changesOf is what a call changed in what was asked.
func changesOf(c *adminv1.WatchedCall) []difference {
	asked := c.GetCall().GetPublish().GetMessage()
	if asked == nil {
		asked = c.GetCall().GetDeliver().GetMessage()
	}
	if change := c.GetVerdict().GetMessage(); change != nil && asked != nil {
		return messageChanges(asked, change)
	}
	if after := c.GetVerdict().GetSubscription(); after != nil {
		return subscriptionChanges(c.GetCall().GetSubscribe().GetSubscription(), after)
	}
	return nil
}

func messageChanges(m *pluginv1.Message, c *pluginv1.MessageChange) (out []difference) {
	add := func(changed bool, field, before, after string) {
		if changed {
			out = append(out, difference{field, before, after})
		}
	}
	add(c.Topic != nil, "topic", m.GetTopic(), c.GetTopic())
	before := payloadText(m.GetPayload())
	if m.GetPayloadSize() > uint64(len(m.GetPayload())) {
		before = fmt.Sprintf("(%d bytes)", m.GetPayloadSize())
	}
	add(c.Payload != nil, "payload", before, payloadText(c.GetPayload()))
	add(c.Qos != nil, "qos", fmt.Sprint(m.GetQos()), fmt.Sprint(c.GetQos()))
	add(c.Retain != nil, "retain", fmt.Sprint(m.GetRetain()), fmt.Sprint(c.GetRetain()))
	add(c.PayloadIsUtf8 != nil || c.GetClearPayloadFormat(), "payload_is_utf8", optional(m.PayloadIsUtf8), optional(c.PayloadIsUtf8))
	add(c.ExpirySeconds != nil || c.GetClearExpiry(), "expiry_seconds", optional(m.ExpirySeconds), optional(c.ExpirySeconds))
	add(c.ContentType != nil, "content_type", shown(m.GetContentType()), shown(c.GetContentType()))
	add(c.ResponseTopic != nil, "response_topic", shown(m.GetResponseTopic()), shown(c.GetResponseTopic()))
	add(c.CorrelationData != nil, "correlation_data", payloadText(m.GetCorrelationData()), payloadText(c.GetCorrelationData()))
	add(c.UserProperties != nil, "user_properties", propertiesText(m.GetUserProperties()), propertiesText(c.GetUserProperties().GetUserProperties()))
	return out
}

func subscriptionChanges(a, b *pluginv1.Subscription) (out []difference) {
	for _, f := range []struct {
		field         string
		before, after any
	}{
		{"filter", a.GetFilter(), b.GetFilter()},
		{"qos", a.GetQos(), b.GetQos()},
		{"no_local", a.GetNoLocal(), b.GetNoLocal()},
		{"retain_as_published", a.GetRetainAsPublished(), b.GetRetainAsPublished()},
		{"retain_handling", a.GetRetainHandling(), b.GetRetainHandling()},
		{"identifier", a.GetIdentifier(), b.GetIdentifier()},
	} {
		if f.before != f.after {
			out = append(out, difference{f.field, fmt.Sprint(f.before), fmt.Sprint(f.after)})
		}
	}
	return out
}

func optional[T any](v *T) string {
	if v == nil {
		return none
	}
	return fmt.Sprint(*v)
}

func shown(s string) string {
	if s == "" {
		return none
	}
	return quote(s)
}

func propertiesText(list []*pluginv1.UserProperty) string {
	if len(list) == 0 {
		return none
	}
	parts := make([]string, len(list))
	for i, u := range list {
		parts[i] = u.GetKey() + "=" + quote(u.GetValue())
	}
	return strings.Join(parts, ", ")
}

// sameAnswer reports whether two answers to the same question agree. What a policy
// did about a plugin that could not decide is no answer of the plugin.
func sameAnswer(a, b *adminv1.WatchedCall) bool {
	if a.GetError() != "" || b.GetError() != "" {
		return a.GetError() != "" && b.GetError() != ""
	}
	return proto.Equal(a.GetDecision(), b.GetDecision()) && proto.Equal(a.GetVerdict(), b.GetVerdict())
}

// printAnswer prints one of two answers to a question, each line after a sign.
func printAnswer(w io.Writer, sign string, c *adminv1.WatchedCall) {
	fmt.Fprintf(w, "  %s %s\n", sign, answerText(c))
	for _, d := range changesOf(c) {
		fmt.Fprintf(w, "  %s   %s: %s -> %s\n", sign, d.field, d.before, d.after)
	}
	if len(c.GetUndeclared()) > 0 {
		fmt.Fprintf(w, "  %s   it changed %s, which it does not declare\n", sign, strings.Join(c.GetUndeclared(), ", "))
	}
	if d := c.GetDecision(); d != nil && d.GetGrants() != nil {
		for _, g := range d.GetGrants().GetGrants() {
			fmt.Fprintf(w, "  %s   grant %s\n", sign, grantText(g))
		}
	}
}

func grantText(g *pluginv1.Grant) string {
	words := []string{strings.ToLower(strings.TrimPrefix(g.GetEffect().String(), "GRANT_EFFECT_"))}
	for _, a := range g.GetActions() {
		words = append(words, strings.ToLower(strings.TrimPrefix(a.String(), "GRANT_ACTION_")))
	}
	words = append(words, g.GetFilter())
	if g.MaximumQos != nil {
		words = append(words, fmt.Sprintf("up to qos %d", g.GetMaximumQos()))
	}
	return strings.Join(words, " ")
}
