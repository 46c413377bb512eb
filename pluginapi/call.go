package pluginapi

import (
	"context"
	"errors"
	"fmt"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// callFromProto makes the call that a hook is given. A call of a kind that is
// not known is an error: it cannot be let pass in good faith.
func (in *instance) callFromProto(pb *pluginv1.Call, client *Client) (*Call, error) {
	own := in.interest.Load()
	if m := pb.GetPublish(); m != nil && m.GetMessage() == nil {
		return nil, errNoMessage
	}
	if m := pb.GetDeliver(); m != nil && m.GetMessage() == nil {
		return nil, errNoMessage
	}
	switch c := pb.GetCall().(type) {
	case *pluginv1.Call_Publish:
		return &Call{Publish: &PublishCall{
			Client:  client,
			Message: messageFromProto(c.Publish.GetMessage(), own.ownPublish),
		}}, nil
	case *pluginv1.Call_Subscribe:
		return &Call{Subscribe: &SubscribeCall{
			Client:         client,
			Subscription:   subscriptionFromProto(c.Subscribe.GetSubscription()),
			UserProperties: userPropertiesFromProto(c.Subscribe.GetUserProperties()),
		}}, nil
	case *pluginv1.Call_Unsubscribe:
		return &Call{Unsubscribe: &UnsubscribeCall{
			Client:         client,
			Filter:         c.Unsubscribe.GetFilter(),
			UserProperties: userPropertiesFromProto(c.Unsubscribe.GetUserProperties()),
		}}, nil
	case *pluginv1.Call_Deliver:
		return &Call{Deliver: &DeliverCall{
			Client:   client,
			Receiver: c.Deliver.GetReceiver(),
			Message:  messageFromProto(c.Deliver.GetMessage(), own.ownDeliver),
			Retained: c.Deliver.GetRetained(),
		}}, nil
	default:
		return nil, errors.New("call of a kind that this plugin does not know")
	}
}

var errNoMessage = errors.New("call about a message without one")

// decide asks the interface for the kind of call. A hook that the plugin does
// not have lets everything pass.
func (in *instance) decide(ctx context.Context, c *Call) (err error) {
	switch {
	case c.Publish != nil && in.publish != nil:
		c.Verdict, err = in.publish.InterceptPublish(ctx, c.Publish)
	case c.Subscribe != nil && in.subscribe != nil:
		c.Verdict, err = in.subscribe.InterceptSubscribe(ctx, c.Subscribe)
	case c.Unsubscribe != nil && in.unsubscribe != nil:
		c.Verdict, err = in.unsubscribe.InterceptUnsubscribe(ctx, c.Unsubscribe)
	case c.Deliver != nil && in.deliver != nil:
		c.Verdict, err = in.deliver.InterceptDeliver(ctx, c.Deliver)
	}
	return err
}

// kind names the kind of call for people.
func (c *Call) kind() Hook {
	switch {
	case c.Publish != nil:
		return HookPublish
	case c.Subscribe != nil:
		return HookSubscribe
	case c.Unsubscribe != nil:
		return HookUnsubscribe
	default:
		return HookDeliver
	}
}

// verdictToProto says what a decided call means, nil for one that passes
// unchanged. An error is the author's mistake.
func verdictToProto(pb *pluginv1.Call, c *Call) (*pluginv1.Verdict, error) {
	v := &pluginv1.Verdict{Seq: pb.GetSeq(), Action: pluginv1.VerdictAction(c.Verdict.Action) + pluginv1.VerdictAction_VERDICT_ACTION_PASS}
	switch c.Verdict.Action {
	case ActionPass:
		changed, err := changeToProto(pb, c, v)
		if err != nil {
			return nil, err
		}
		if c.Verdict.Code != 0 {
			return nil, fmt.Errorf("verdict that passes with the reason code %v; use Refuse to refuse", c.Verdict.Code)
		}
		if !changed && len(c.Verdict.UserProperties) == 0 {
			return nil, nil
		}
	case ActionDrop, ActionRefuse, ActionDisconnect:
		if c.Verdict.Code != 0 && !c.Verdict.Code.Failed() && c.Verdict.Action == ActionRefuse {
			return nil, fmt.Errorf("refusal with the reason code %v", c.Verdict.Code)
		}
	default:
		return nil, fmt.Errorf("verdict with the unknown action %d", c.Verdict.Action)
	}
	if err := errors.Join(
		checkTexts("reason", c.Verdict.Reason, "server reference", c.Verdict.ServerReference),
		checkUserProperties(c.Verdict.UserProperties),
	); err != nil {
		return nil, err
	}
	v.ReasonCode = uint32(c.Verdict.Code)
	v.Reason = c.Verdict.Reason
	v.ServerReference = c.Verdict.ServerReference
	v.UserProperties = userPropertiesToProto(c.Verdict.UserProperties)
	return v, nil
}

// changeToProto writes into v what the hook has changed.
func changeToProto(pb *pluginv1.Call, c *Call, v *pluginv1.Verdict) (changed bool, err error) {
	switch {
	case c.Publish != nil:
		v.Message, err = messageChange(pb.GetPublish().GetMessage(), c.Publish.Message)
	case c.Deliver != nil:
		v.Message, err = messageChange(pb.GetDeliver().GetMessage(), c.Deliver.Message)
	case c.Subscribe != nil:
		v.Subscription, err = subscriptionChange(pb.GetSubscribe().GetSubscription(), c.Subscribe.Subscription)
	}
	return v.Message != nil || v.Subscription != nil, err
}

// undecided is the answer to a call that could not be decided, which is what a
// verdict without an action means.
func undecided(seq uint64, err error) *pluginv1.Verdict {
	return &pluginv1.Verdict{Seq: seq, Reason: toValidUTF8(err.Error())}
}
