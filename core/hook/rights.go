package hook

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// Rights are the grants of all validators for one client, ready to be asked.
// A nil *Rights permits everything. It is immutable.
type Rights struct {
	lists [][]Grant // every list has to permit
	by    []string  // whose they are
}

// NewRights fills the client's identifier and user name into the grants. It
// returns nil if there are none, which permits everything.
func NewRights(lists []*Grants, clientID, username string) *Rights {
	if len(lists) == 0 {
		return nil
	}
	r := &Rights{lists: make([][]Grant, 0, len(lists))}
	for _, l := range lists {
		filled := make([]Grant, 0, len(l.List))
		for _, g := range l.List {
			filter, ok := fill(g.Filter, clientID, username)
			switch {
			case ok:
			case g.Deny:
				// Nobody may escape a denial by a name that fits no level.
				filter = widened(g.Filter)
			default:
				continue
			}
			g.Filter = filter
			if g.Actions == 0 {
				g.Actions = ActionAll
			}
			filled = append(filled, g)
		}
		r.lists, r.by = append(r.lists, filled), append(r.by, l.By)
	}
	return r
}

// fill replaces %c and %u. A value that would be more, or match more, than one
// level fits no topic at all, and nor does an empty one: a client must not
// choose itself a name that widens its rights.
func fill(filter, clientID, username string) (string, bool) {
	if strings.IndexByte(filter, '%') < 0 {
		return filter, true
	}
	for _, v := range [...]struct{ pattern, value string }{{"%c", clientID}, {"%u", username}} {
		if strings.Contains(filter, v.pattern) && (v.value == "" || strings.ContainsAny(v.value, "/+#")) {
			return "", false
		}
	}
	// In one pass, for the value of one may look like the other.
	return strings.NewReplacer("%c", clientID, "%u", username).Replace(filter), true
}

// widened returns a filter that covers whatever the placeholders of filter could
// stand for.
func widened(filter string) string {
	at := len(filter)
	for _, p := range [...]string{"%c", "%u"} {
		if i := strings.Index(filter, p); i >= 0 {
			at = min(at, i)
		}
	}
	return filter[:strings.LastIndexByte(filter[:at], '/')+1] + "#"
}

// MayPublish reports whether the client may publish to a topic.
func (r *Rights) MayPublish(name string, q mqtt.QoS, retain bool) bool {
	return r.permits(publishes(name, q, retain))
}

func publishes(name string, q mqtt.QoS, retain bool) func(*Grant) (allows, denies bool) {
	return func(g *Grant) (allows, denies bool) {
		if g.Actions&ActionPublish == 0 || !topic.Match(g.Filter, name) || g.Retain != nil && *g.Retain != retain {
			return false, false
		}
		return g.MaxQoS == nil || q <= *g.MaxQoS, true
	}
}

// MaySubscribe reports whether every topic of a filter (without $share/GROUP/)
// is granted, and with which QoS at most.
func (r *Rights) MaySubscribe(filter string) (mqtt.QoS, bool) {
	best := mqtt.ExactlyOnce
	if r == nil {
		return best, true
	}
	for _, list := range r.lists {
		listBest, ok := subscribeQoS(list, filter)
		if !ok {
			return 0, false
		}
		best = min(best, listBest)
	}
	return best, true
}

func subscribeQoS(list []Grant, filter string) (best mqtt.QoS, ok bool) {
	for i := range list {
		g := &list[i]
		switch {
		case g.Actions&ActionSubscribe == 0:
		case g.Deny && topic.Overlaps(g.Filter, filter):
			return 0, false
		case !g.Deny && topic.Covers(g.Filter, filter):
			ok = true
			q := mqtt.ExactlyOnce
			if g.MaxQoS != nil {
				q = *g.MaxQoS
			}
			best = max(best, q)
		}
	}
	return best, ok
}

// MayReceive reports whether a message of a topic may be delivered to the
// client. A right to subscribe is a right to receive what it brings; a grant
// that denies subscribing alone does not take it away.
func (r *Rights) MayReceive(name string) bool {
	return r.permits(func(g *Grant) (allows, denies bool) {
		if g.Actions&(ActionReceive|ActionSubscribe) == 0 || !topic.Match(g.Filter, name) {
			return false, false
		}
		return true, g.Actions&ActionReceive != 0
	})
}

// permits asks every list: at least one allowing grant and no denying one.
func (r *Rights) permits(match func(*Grant) (allows, denies bool)) bool {
	if r == nil {
		return true
	}
	for _, list := range r.lists {
		allowed := false
		for i := range list {
			allows, denies := match(&list[i])
			if list[i].Deny {
				if denies {
					return false
				}
			} else if allows {
				allowed = true
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}
