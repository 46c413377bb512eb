package hook

import (
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Ground is what one validator's grants say to an action.
type Ground struct {
	By      string // the validator
	Permits bool
	Grant   *Grant // the one that decides, placeholders filled in; nil: none permits it
	Grants  int    // how many there are
}

// WhyPublish says on which grounds MayPublish decides: one for each list of
// grants, all of which have to permit. None means that nothing limits the client.
func (r *Rights) WhyPublish(name string, q mqtt.QoS, retain bool) []Ground {
	return r.why(publishes(name, q, retain))
}

// WhySubscribe is WhyPublish for [Rights.MaySubscribe].
func (r *Rights) WhySubscribe(filter string) []Ground {
	return r.why(func(g *Grant) (allows, denies bool) {
		if g.Actions&ActionSubscribe == 0 {
			return false, false
		}
		return topic.Covers(g.Filter, filter), topic.Overlaps(g.Filter, filter)
	})
}

func (r *Rights) why(match func(*Grant) (allows, denies bool)) []Ground {
	if r == nil {
		return nil
	}
	out := make([]Ground, len(r.lists))
	for i, list := range r.lists {
		out[i] = Ground{By: r.by[i], Grants: len(list)}
		for j := range list {
			g := &list[j]
			allows, denies := match(g)
			if g.Deny && denies {
				out[i].Permits, out[i].Grant = false, g
				break
			}
			if !g.Deny && allows && out[i].Grant == nil {
				out[i].Permits, out[i].Grant = true, g
			}
		}
	}
	return out
}

// Asks returns the names of the interceptors that would be asked about a call, in
// their order.
func (h *Hooks) Asks(phase Phase, p Point, c *Call) []string {
	var names []string
	for _, s := range h.interceptors.Load().stages[phase][p] {
		if s.wants(c) {
			names = append(names, s.Name)
		}
	}
	return names
}
