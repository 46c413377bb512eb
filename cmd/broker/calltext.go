package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// printCall prints a call for a person: what was asked and answered in a line,
// then what changed.
func printCall(w io.Writer, c *adminv1.WatchedCall) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s %s  %s", time.Unix(0, c.GetBeganUnixNanos()).Format("15:04:05.000"), c.GetPlugin(), c.GetHook(), askedText(c))
	if answer := answerText(c); answer != "" {
		b.WriteString("  ->  " + answer)
	}
	b.WriteString("  " + timeText(c) + "\n")
	for _, d := range changesOf(c) {
		fmt.Fprintf(&b, "    %s: %s -> %s\n", d.field, d.before, d.after)
	}
	if undeclared := c.GetUndeclared(); len(undeclared) > 0 {
		fmt.Fprintf(&b, "    it changed %s, which its interest does not declare: the change was undone and the call refused\n", strings.Join(undeclared, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func timeText(c *adminv1.WatchedCall) string {
	took := time.Duration(c.GetTookNanos())
	switch waited := time.Duration(c.GetWaitedNanos()); {
	case c.GetKept():
		return "(kept decision)"
	case c.GetAttempts() == 0:
		return "(not called)"
	case c.GetAttempts() > 1 || waited > 2*took && waited-took > time.Millisecond:
		return fmt.Sprintf("%s (attempt %d, the client waited %s)", shortTime(took), c.GetAttempts(), shortTime(waited))
	case c.GetBatch() > 1:
		return fmt.Sprintf("%s (batch of %d)", shortTime(took), c.GetBatch())
	default:
		return shortTime(took)
	}
}

// shortTime is a time with three digits.
func shortTime(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

// askedText is what was asked.
func askedText(c *adminv1.WatchedCall) string {
	who := cmp.Or(c.GetClient().GetClientId(), "-")
	switch call := c.GetCall().GetCall().(type) {
	case *pluginv1.Call_Publish:
		return who + " " + messageText(call.Publish.GetMessage())
	case *pluginv1.Call_Deliver:
		text := cmp.Or(call.Deliver.GetReceiver(), "-") + " " + messageText(call.Deliver.GetMessage())
		if call.Deliver.GetRetained() {
			text += " (retained)"
		}
		return text
	case *pluginv1.Call_Subscribe:
		s := call.Subscribe.GetSubscription()
		return fmt.Sprintf("%s %s qos %d", who, s.GetFilter(), s.GetQos())
	case *pluginv1.Call_Unsubscribe:
		return who + " " + call.Unsubscribe.GetFilter()
	}
	switch {
	case c.GetConnect() != nil:
		return connectText(c.GetConnect())
	case c.GetEvent() != nil:
		return eventText(c.GetEvent())
	default:
		return fmt.Sprintf("%d changes", c.GetRetainedChanges())
	}
}

func connectText(c *pluginv1.Connect) string {
	text := cmp.Or(c.GetClientId(), "(no client identifier)")
	var more []string
	if c.Username != nil {
		more = append(more, "user "+c.GetUsername())
	}
	if c.GetPassword() != nil {
		more = append(more, "password "+string(c.GetPassword()))
	}
	if tls := c.GetTls(); tls != nil {
		more = append(more, tls.GetVersion())
		if cert := tls.GetCertificate(); cert != nil {
			more = append(more, "certificate "+cert.GetSubject())
		}
	}
	more = append(more, fmt.Sprintf("MQTT level %d", c.GetProtocolLevel()), "from "+c.GetPeerAddress())
	return text + " (" + strings.Join(more, ", ") + ")"
}

func eventText(e *pluginv1.Event) string {
	text := strings.ToLower(strings.TrimPrefix(e.GetKind().String(), "EVENT_KIND_")) + " " + cmp.Or(e.GetClientId(), "-")
	switch {
	case e.GetMessage() != nil:
		text += " " + messageText(e.GetMessage())
	case e.GetSubscription() != nil:
		text += " " + e.GetSubscription().GetFilter()
	}
	if e.GetReason() != "" {
		text += " " + quote(e.GetReason())
	}
	return text
}

func messageText(m *pluginv1.Message) string {
	text := fmt.Sprintf("%s qos %d", m.GetTopic(), m.GetQos())
	if m.GetRetain() {
		text += " retain"
	}
	if m.GetPayloadSize() > uint64(len(m.GetPayload())) {
		return fmt.Sprintf("%s (%d bytes)", text, m.GetPayloadSize())
	}
	return text + " " + payloadText(m.GetPayload())
}

// maxShown is how much of a payload or a text is shown.
const maxShown = 120

func payloadText(b []byte) string {
	if !utf8.Valid(b) {
		return fmt.Sprintf("(%d bytes: %x%s)", len(b), b[:min(len(b), 16)], ellipsis(len(b) > 16))
	}
	return quote(string(b))
}

func quote(s string) string {
	if len(s) > maxShown {
		cut := strings.ToValidUTF8(s[:maxShown], "")
		return fmt.Sprintf("%#q... (%d bytes)", cut, len(s))
	}
	return fmt.Sprintf("%#q", s)
}

func ellipsis(more bool) string {
	if more {
		return "..."
	}
	return ""
}

// answerText is what was answered, and by which policy.
func answerText(c *adminv1.WatchedCall) string {
	if c.GetError() != "" {
		return fmt.Sprintf("could not decide (%s), policy: %s", c.GetError(), c.GetPolicy())
	}
	if d := c.GetDecision(); d != nil {
		return decisionText(d)
	}
	if v := c.GetVerdict(); v != nil {
		return verdictText(v)
	}
	return ""
}

func verdictText(v *pluginv1.Verdict) string {
	text := strings.ToLower(strings.TrimPrefix(v.GetAction().String(), "VERDICT_ACTION_"))
	if v.GetAction() == pluginv1.VerdictAction_VERDICT_ACTION_PASS {
		if v.GetMessage() != nil || v.GetSubscription() != nil {
			return text + ", changed"
		}
		return text
	}
	return text + codeText(v.GetReasonCode()) + reasonText(v.GetReason())
}

func codeText(code uint32) string {
	if code == 0 {
		return ""
	}
	return fmt.Sprintf(" 0x%02x %s", code, mqtt.ReasonCode(code))
}

func reasonText(reason string) string {
	if reason == "" {
		return ""
	}
	return " " + quote(reason)
}

func decisionText(d *pluginv1.Decision) string {
	text := strings.ToLower(strings.TrimPrefix(d.GetVerdict().String(), "DECISION_VERDICT_"))
	if d.GetVerdict() != pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW {
		return text + codeText(d.GetReasonCode()) + reasonText(d.GetReason())
	}
	var more []string
	if d.Username != nil {
		more = append(more, "as user "+d.GetUsername())
	}
	if d.GetMountpoint() != "" {
		more = append(more, "below "+d.GetMountpoint())
	}
	if g := d.GetGrants(); g != nil {
		more = append(more, fmt.Sprintf("%d grants", len(g.GetGrants())))
	}
	if n := d.GetValidSeconds(); n > 0 {
		more = append(more, fmt.Sprintf("for %ds", n))
	}
	if len(d.GetItems()) > 0 {
		more = append(more, "items "+strings.Join(itemNames(d.GetItems()), ", "))
	}
	if len(more) > 0 {
		text += " (" + strings.Join(more, ", ") + ")"
	}
	return text
}

func itemNames(items map[string][]byte) []string {
	names := make([]string, 0, len(items))
	for k := range items {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}
