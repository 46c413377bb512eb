package hook_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// The grounds that are told are those on which the broker decides.
func TestGroundsAgreeWithRights(t *testing.T) {
	filters := rapid.SampledFrom([]string{"#", "a", "a/#", "a/+", "+/b", "%c/#", "b"})
	grants := rapid.Custom(func(t *rapid.T) *hook.Grants {
		g := &hook.Grants{By: "v"}
		for range rapid.IntRange(0, 4).Draw(t, "grants") {
			grant := hook.Grant{
				Deny: rapid.Bool().Draw(t, "deny"), Filter: filters.Draw(t, "filter"),
				Actions: hook.Action(rapid.IntRange(0, 7).Draw(t, "actions")),
			}
			if rapid.Bool().Draw(t, "limited") {
				grant.MaxQoS = new(mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos")))
			}
			g.List = append(g.List, grant)
		}
		return g
	})
	all := func(list []hook.Ground) bool {
		for _, g := range list {
			if !g.Permits || g.By != "v" || g.Grant == nil {
				return false
			}
		}
		return true
	}
	rapid.Check(t, func(t *rapid.T) {
		r := hook.NewRights(rapid.SliceOfN(grants, 0, 3).Draw(t, "lists"), "a", "")
		name := rapid.SampledFrom([]string{"a", "a/b", "b", "c"}).Draw(t, "topic")
		q := mqtt.QoS(rapid.IntRange(0, 2).Draw(t, "qos of the message"))
		if may, why := r.MayPublish(name, q, false), r.WhyPublish(name, q, false); may != all(why) {
			t.Fatalf("publishing is %v because of %+v", may, why)
		}
		filter := filters.Draw(t, "subscribed")
		if _, may := r.MaySubscribe(filter); may != all(r.WhySubscribe(filter)) {
			t.Fatalf("subscribing is %v because of %+v", may, r.WhySubscribe(filter))
		}
	})
}
