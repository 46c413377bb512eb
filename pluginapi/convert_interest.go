package pluginapi

import (
	"fmt"
	"slices"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// hookNumbers and fieldNumbers are the contract's numbers of the names.
var (
	hookNumbers = map[Hook]pluginv1.Hook{
		HookConnect:     pluginv1.Hook_HOOK_CONNECT,
		HookPublish:     pluginv1.Hook_HOOK_PUBLISH,
		HookSubscribe:   pluginv1.Hook_HOOK_SUBSCRIBE,
		HookUnsubscribe: pluginv1.Hook_HOOK_UNSUBSCRIBE,
		HookDeliver:     pluginv1.Hook_HOOK_DELIVER,
		HookEvent:       pluginv1.Hook_HOOK_EVENT,
		HookRetain:      pluginv1.Hook_HOOK_RETAIN,
	}
	fieldNumbers = map[Field]pluginv1.Field{
		FieldTopic:          pluginv1.Field_FIELD_TOPIC,
		FieldPayload:        pluginv1.Field_FIELD_PAYLOAD,
		FieldQoS:            pluginv1.Field_FIELD_QOS,
		FieldRetain:         pluginv1.Field_FIELD_RETAIN,
		FieldUserProperties: pluginv1.Field_FIELD_USER_PROPERTIES,
		FieldExpiry:         pluginv1.Field_FIELD_EXPIRY,
		FieldContentType:    pluginv1.Field_FIELD_CONTENT_TYPE,
		FieldResponse:       pluginv1.Field_FIELD_RESPONSE,
		FieldSubscription:   pluginv1.Field_FIELD_SUBSCRIPTION,
	}
	payloadNumbers = map[PayloadMode]pluginv1.PayloadMode{
		"":          pluginv1.PayloadMode_PAYLOAD_MODE_FULL,
		PayloadFull: pluginv1.PayloadMode_PAYLOAD_MODE_FULL,
		PayloadHead: pluginv1.PayloadMode_PAYLOAD_MODE_HEAD,
		PayloadNone: pluginv1.PayloadMode_PAYLOAD_MODE_NONE,
	}
)

var messageFields = []Field{
	FieldTopic, FieldPayload, FieldQoS, FieldRetain, FieldUserProperties, FieldExpiry, FieldContentType, FieldResponse,
}

// interestOf is what value wants to be asked. Without an [Interester] it is
// everything that a can be asked, said out loud: the broker cannot know which of
// the interceptor's hooks there are.
func interestOf(value any, a abilities) ([]Interest, error) {
	if i, ok := value.(Interester); ok {
		all := i.Interest()
		return all, a.checkInterests(all)
	}
	var all []Interest
	for _, h := range allHooks {
		if !a.asks(h) {
			continue
		}
		in := Interest{Hook: h, Payload: PayloadFull}
		switch h {
		case HookPublish, HookDeliver:
			in.MayChange = messageFields
		case HookSubscribe:
			in.MayChange = []Field{FieldQoS, FieldSubscription}
		}
		all = append(all, in)
	}
	return all, nil
}

// checkInterests refuses what a plugin can't be asked.
func (a abilities) checkInterests(all []Interest) error {
	for _, in := range all {
		if slices.Contains(allHooks, in.Hook) && !a.asks(in.Hook) {
			return fmt.Errorf("interest in the hook %s, which this plugin does not have", in.Hook)
		}
		for _, f := range in.Filters {
			if err := checkTexts("filter", f); err != nil {
				return fmt.Errorf("interest in the hook %s: %w", in.Hook, err)
			}
		}
		for _, f := range in.MayChange {
			if _, known := fieldNumbers[f]; !known {
				return fmt.Errorf("interest in the hook %s: unknown field %q", in.Hook, f)
			}
		}
	}
	if errs := checkInterest(all); len(errs) > 0 {
		return errs[0]
	}
	return nil
}

func interestToProto(all []Interest) []*pluginv1.HookInterest {
	out := make([]*pluginv1.HookInterest, len(all))
	for i, in := range all {
		pb := &pluginv1.HookInterest{
			Hook:                hookNumbers[in.Hook],
			TopicFilters:        in.Filters,
			Payload:             payloadNumbers[in.Payload],
			PayloadHeadBytes:    uint32(in.HeadSize),
			BeforeAuthorization: in.BeforeAuthorization,
			ExemptChanges:       in.ExemptChanges,
			Snapshot:            in.Snapshot,
		}
		for _, f := range in.MayChange {
			pb.MayChange = append(pb.MayChange, fieldNumbers[f])
		}
		for _, e := range in.Events {
			pb.Events = append(pb.Events, pluginv1.EventKind(e))
		}
		for _, o := range in.Origins {
			pb.Origins = append(pb.Origins, pluginv1.Origin(o))
		}
		out[i] = pb
	}
	return out
}
