package conformance

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// texts checks strings that go into packets.
func texts(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch what, s := pairs[i], pairs[i+1]; {
		case len(s) > longest:
			return fmt.Errorf("a %s of %d bytes, which no packet can carry", what, len(s))
		case strings.ContainsRune(s, 0) || !utf8.ValidString(s):
			return fmt.Errorf("a %s that MQTT does not allow: %q", what, shortened(s))
		}
	}
	return nil
}

func properties(list []*pluginv1.UserProperty) error {
	for _, p := range list {
		if err := texts("user property's name", p.GetKey(), "user property's value", p.GetValue()); err != nil {
			return err
		}
	}
	return nil
}

// legalDecision says what the broker would not accept in a decision.
func legalDecision(d *pluginv1.Decision) error {
	if d == nil {
		return fmt.Errorf("no decision")
	}
	err := texts("reason", d.GetReason(), "server reference", d.GetServerReference(), "user name", d.GetUsername(),
		"client identifier", d.GetAssignedClientId())
	if err == nil {
		err = properties(d.GetUserProperties())
	}
	if err != nil {
		return err
	}
	code := d.GetReasonCode()
	switch d.GetVerdict() {
	case pluginv1.DecisionVerdict_DECISION_VERDICT_DENY:
		if code != 0 && (code < 0x80 || code > 0xff) {
			return fmt.Errorf("a denial with the reason code 0x%02x, which is none of a failure", code)
		}
	case pluginv1.DecisionVerdict_DECISION_VERDICT_UNSPECIFIED, pluginv1.DecisionVerdict_DECISION_VERDICT_ABSTAIN,
		pluginv1.DecisionVerdict_DECISION_VERDICT_ALLOW:
		if code != 0 {
			return fmt.Errorf("%s with the reason code 0x%02x, which is for denials", d.GetVerdict(), code)
		}
	default:
		return fmt.Errorf("the unknown verdict %d", d.GetVerdict())
	}
	if m := d.GetMountpoint(); m != "" && (pluginapi.CheckTopic(m) != nil || !strings.HasSuffix(m, "/") || strings.HasPrefix(m, "$")) {
		return fmt.Errorf("the mountpoint %q, which has to be a topic that ends with / and does not begin with $", shortened(m))
	}
	if err := legalLimits(d.GetLimits()); err != nil {
		return err
	}
	if x := d.GetDurability(); x < 0 || x > pluginv1.Durability_DURABILITY_NONE {
		return fmt.Errorf("the unknown durability %d", x)
	}
	if err := legalQuota(d.GetQuota()); err != nil {
		return err
	}
	for i, g := range d.GetGrants().GetGrants() {
		if err := legalGrant(g); err != nil {
			return fmt.Errorf("grant %d with %w", i, err)
		}
	}
	return nil
}

func legalQuota(q *pluginv1.Quota) error {
	if _, err := time.LoadLocation(q.GetTimeZone()); err != nil {
		return fmt.Errorf("a quota in the time zone %q, which there is not", shortened(q.GetTimeZone()))
	}
	for _, a := range q.GetActions() {
		if a != pluginv1.GrantAction_GRANT_ACTION_PUBLISH && a != pluginv1.GrantAction_GRANT_ACTION_RECEIVE {
			return fmt.Errorf("a quota of the action %s", a)
		}
	}
	return nil
}

func legalGrant(g *pluginv1.Grant) error {
	if e := g.GetEffect(); e != pluginv1.GrantEffect_GRANT_EFFECT_ALLOW && e != pluginv1.GrantEffect_GRANT_EFFECT_DENY {
		return fmt.Errorf("the effect %s", e)
	}
	for _, a := range g.GetActions() {
		if a < pluginv1.GrantAction_GRANT_ACTION_PUBLISH || a > pluginv1.GrantAction_GRANT_ACTION_RECEIVE {
			return fmt.Errorf("the action %s", a)
		}
	}
	if err := pluginapi.CheckFilter(g.GetFilter()); err != nil {
		return err
	}
	if g.GetMaximumQos() > 2 {
		return fmt.Errorf("the QoS %d", g.GetMaximumQos())
	}
	return nil
}

func legalLimits(l *pluginv1.SessionLimits) error {
	if l == nil {
		return nil
	}
	rate := func(v *float64) bool { return v != nil && !(*v >= 0 && *v <= math.MaxFloat64) }
	switch {
	case l.GetKeepAliveSeconds() > math.MaxUint16:
		return fmt.Errorf("a limit of the keep alive of %d s, and 65535 is the most", l.GetKeepAliveSeconds())
	case l.ReceiveMaximum != nil && (l.GetReceiveMaximum() == 0 || l.GetReceiveMaximum() > math.MaxUint16):
		return fmt.Errorf("the receive maximum %d", l.GetReceiveMaximum())
	case l.MaximumPacketSize != nil && l.GetMaximumPacketSize() == 0:
		return fmt.Errorf("the maximum packet size 0")
	case l.GetTopicAliasMaximum() > math.MaxUint16:
		return fmt.Errorf("the topic alias maximum %d", l.GetTopicAliasMaximum())
	case l.GetMaximumQos() > 2:
		return fmt.Errorf("the maximum QoS %d", l.GetMaximumQos())
	case rate(l.PublishMessagesPerSecond) || rate(l.PublishBytesPerSecond):
		return fmt.Errorf("a rate that is negative or no number")
	}
	return nil
}
