package pluginhost

import (
	"fmt"
	"math"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// interestsFromProto checks and converts what a plugin wants to be asked. The
// errors name the entry that makes no sense and wrap [hook.ErrProtocol]. What
// this broker does not know, a newer plugin's field or event, is left out.
func interestsFromProto(list []*pluginv1.HookInterest) ([]hook.Interest, error) {
	out := make([]hook.Interest, 0, len(list))
	for i, p := range list {
		point, ok := pointFromProto(p.GetHook())
		if !ok {
			continue
		}
		in, err := interestFromProto(point, p)
		if err != nil {
			return nil, fmt.Errorf("interest %d (%s): %w", i+1, point, err)
		}
		out = append(out, in)
	}
	return out, nil
}

func pointFromProto(h pluginv1.Hook) (hook.Point, bool) {
	if h < pluginv1.Hook_HOOK_CONNECT || h > pluginv1.Hook_HOOK_RETAIN {
		return 0, false
	}
	return hook.Point(h - pluginv1.Hook_HOOK_CONNECT), true
}

func interestFromProto(point hook.Point, p *pluginv1.HookInterest) (hook.Interest, error) {
	in := hook.Interest{
		Point:               point,
		Filters:             slices.Clone(p.TopicFilters),
		HeadSize:            int(min(p.PayloadHeadBytes, maxPayload)),
		BeforeAuthorization: p.BeforeAuthorization,
		ExemptChanges:       p.ExemptChanges,
		Snapshot:            p.Snapshot,
	}
	for _, f := range in.Filters {
		if err := legalFilter(f); err != nil {
			return in, err
		}
	}
	switch p.Payload {
	case pluginv1.PayloadMode_PAYLOAD_MODE_UNSPECIFIED, pluginv1.PayloadMode_PAYLOAD_MODE_FULL:
		in.Payload = hook.PayloadFull
	case pluginv1.PayloadMode_PAYLOAD_MODE_HEAD:
		in.Payload = hook.PayloadHead
	case pluginv1.PayloadMode_PAYLOAD_MODE_NONE:
		in.Payload = hook.PayloadNone
	default:
		return in, illegal("payload mode %d", p.Payload)
	}
	for _, f := range p.MayChange {
		if f >= pluginv1.Field_FIELD_TOPIC && f <= pluginv1.Field_FIELD_SUBSCRIPTION {
			in.MayChange |= 1 << (f - pluginv1.Field_FIELD_TOPIC)
		}
	}
	for _, e := range p.Events {
		if e > pluginv1.EventKind_EVENT_KIND_UNSPECIFIED && e < pluginv1.EventKind(hook.NumEventKinds) {
			in.Events = append(in.Events, hook.EventKind(e))
		}
	}
	for _, o := range p.Origins {
		if o >= pluginv1.Origin_ORIGIN_CLIENT && o <= pluginv1.Origin_ORIGIN_PLUGIN {
			in.Origins = append(in.Origins, mqtt.Origin(o-pluginv1.Origin_ORIGIN_CLIENT))
		}
	}
	if len(p.Events) > 0 && len(in.Events) == 0 || len(p.Origins) > 0 && len(in.Origins) == 0 {
		return in, illegal("nothing in it is known to this broker")
	}
	return in, nil
}

// payloadPlan says how much of a payload is sent at each point.
type payloadPlan struct {
	points [hook.NumPoints]pointPlan
}

// pointPlan is the plan of one point. Without rules limit holds for every
// message; with rules it is the most that one of the matching rules wants.
type pointPlan struct {
	limit int
	rules []payloadRule
}

type payloadRule struct {
	limit   int
	filters []string
	events  []hook.EventKind
}

// newPayloadPlan sums up the interests. A point without any gets everything, as
// a hook that is served without an entry is asked always.
func newPayloadPlan(interests []hook.Interest) *payloadPlan {
	p := new(payloadPlan)
	for point := range p.points {
		at := &p.points[point]
		for _, in := range interests {
			if in.Point == hook.Point(point) {
				at.rules = append(at.rules, payloadRule{payloadLimit(&in), in.Filters, in.Events})
			}
		}
		at.simplify()
	}
	return p
}

func payloadLimit(in *hook.Interest) int {
	switch in.Payload {
	case hook.PayloadHead:
		return in.HeadSize
	case hook.PayloadNone:
		return 0
	default:
		return math.MaxInt
	}
}

// simplify drops the rules if they all say the same.
func (p *pointPlan) simplify() {
	if len(p.rules) == 0 {
		p.limit = math.MaxInt
		return
	}
	p.limit = p.rules[0].limit
	for _, r := range p.rules[1:] {
		if r.limit != p.limit {
			p.limit = 0
			return
		}
	}
	p.rules = nil
}

// cut returns what is sent of the payload of m; kind is 0 unless the point is
// [hook.PointEvent].
func (p *payloadPlan) cut(point hook.Point, kind hook.EventKind, m *mqtt.Message) []byte {
	at := &p.points[point]
	limit := at.limit
	for i := range at.rules {
		if r := &at.rules[i]; r.limit > limit && r.matches(kind, m.Topic) {
			limit = r.limit
		}
	}
	return m.Payload[:min(limit, len(m.Payload))]
}

func (r *payloadRule) matches(kind hook.EventKind, name string) bool {
	if len(r.events) > 0 && !slices.Contains(r.events, kind) {
		return false
	}
	return len(r.filters) == 0 || slices.ContainsFunc(r.filters, func(f string) bool { return topic.Match(f, name) })
}
