package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// maxSubscriptionID is the largest Subscription Identifier.
const maxSubscriptionID = 268_435_455

// Subscribe subscribes on behalf of a client, connected or not, and returns a
// code for each filter as SUBACK would. Filters are the broker's own: behind
// $share/GROUP/, if they have that, they begin with the session's mountpoint
// ([SessionStatus]); one that does not is refused with TopicFilterInvalid. The
// client is not told. Retained messages are sent as if it had subscribed; what
// it is away for waits in its queue, as far as there is room.
//
// Grants do not bind the server: such a subscription brings what the client
// itself may not receive, until somebody unsubscribes or the client subscribes
// to the same filter. Interceptors are asked, unless a hook calls with the
// context that it got: then it is that hook who decides.
//
// The error is ErrUnknownClient or wraps ErrInvalid; then nothing has changed.
func (a Sessions) Subscribe(ctx context.Context, id string, subs ...mqtt.Subscription) ([]mqtt.ReasonCode, error) {
	if err := a.b.checkSubscriptions(subs); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	cl := a.b.clients.get(id)
	if cl == nil {
		return nil, ErrUnknownClient
	}
	list := make([]asked, len(subs))
	for i, sub := range subs {
		sub.QoS = min(sub.QoS, a.b.limits().MaxQoS)
		list[i] = asked{call: hook.Call{Client: cl.info.Load(), Subscription: sub}}
		list[i].code = cl.checkFilter(sub.Filter)
		list[i].keep = !list[i].code.Failed()
		if list[i].keep {
			list[i].code = mqtt.ReasonCode(sub.QoS)
		}
	}
	a.b.inHand(hook.InHandOf(ctx).NextHops(), func(asking context.Context) {
		if !hook.InHandOf(ctx).IsOpen() {
			cl.askSubscribe(asking, hook.BeforeAuthorization, list)
			cl.askSubscribe(asking, hook.AfterAuthorization, list)
		}
		for i := range list {
			cl.enterByServer(&list[i])
		}
	})
	if a.b.clients.get(id) != cl {
		return nil, ErrUnknownClient // it ended meanwhile
	}
	codes := make([]mqtt.ReasonCode, len(list))
	for i := range list {
		codes[i] = list[i].code
	}
	return codes, nil
}

func (b *Broker) checkSubscriptions(subs []mqtt.Subscription) error {
	if len(subs) > b.limits().FiltersPerPacket {
		return fmt.Errorf("%d filters: at most %d at once", len(subs), b.limits().FiltersPerPacket)
	}
	for i := range subs {
		s := &subs[i]
		if !s.QoS.Valid() || s.RetainHandling > mqtt.RetainDoNotSend || s.ID > maxSubscriptionID {
			return fmt.Errorf("filter %q: QoS %d, retain handling %d or identifier %d does not exist", s.Filter, s.QoS, s.RetainHandling, s.ID)
		}
	}
	return nil
}

// checkFilter judges a filter that is the broker's own.
func (c *client) checkFilter(filter string) mqtt.ReasonCode {
	sh, _, err := topic.ParseShared(filter)
	if err != nil || topic.Levels(sh.Filter) > c.b.limits().TopicLevels {
		return mqtt.TopicFilterInvalid
	}
	if own, ok := strings.CutPrefix(sh.Filter, c.mountpoint); !ok || own == "" {
		return mqtt.TopicFilterInvalid
	}
	return mqtt.Success
}

// askSubscribe asks the interceptors of a phase about what the server subscribes.
func (c *client) askSubscribe(ctx context.Context, phase hook.Phase, list []asked) {
	if !c.b.hooks.Intercepts(phase, hook.PointSubscribe) {
		return
	}
	var calls []*hook.Call
	for i := range list {
		if list[i].keep {
			calls = append(calls, &list[i].call)
		}
	}
	if len(calls) == 0 {
		return
	}
	c.b.hooks.Intercept(ctx, phase, &hook.Batch{Point: hook.PointSubscribe, Calls: calls})
	for i := range list {
		if a := &list[i]; a.keep {
			c.settleByServer(a)
		}
	}
}

// settleByServer turns an interceptor's verdict into a code.
func (c *client) settleByServer(a *asked) {
	v := &a.call.Verdict
	switch v.Action {
	case hook.Pass:
		sub := &a.call.Subscription
		if code := c.checkFilter(sub.Filter); code.Failed() || !sub.QoS.Valid() {
			a.keep, a.code = false, mqtt.TopicFilterInvalid
			return
		}
		sub.QoS = min(sub.QoS, c.b.limits().MaxQoS)
		a.code = mqtt.ReasonCode(sub.QoS)
	case hook.Drop:
		a.keep = false // told yes, as the hook wants
	default:
		a.keep, a.code = false, subscribeCode(v.Code)
		c.disconnectBy(v)
	}
}

// disconnectBy ends the client's connection, if a verdict demands it.
func (c *client) disconnectBy(v *hook.CallVerdict) {
	if v.Action != hook.Disconnect {
		return
	}
	if nc := c.current(); nc != nil {
		nc.end(ending{kind: hook.ByServer, code: disconnectCode(v.Code), reason: v.Reason, serverReference: v.ServerReference})
	}
}

// enterByServer makes a subscription and sends what is retained for it.
func (c *client) enterByServer(a *asked) {
	if !a.keep {
		return
	}
	sub := a.call.Subscription
	a.had, a.code = c.subscribe(sub, c.b.limits().SubscriptionsPerClient, true)
	if a.code.Failed() {
		return
	}
	if c.b.hooks.Observes(hook.Subscribed) {
		c.b.emit(c, &hook.Event{Kind: hook.Subscribed, Subscription: sub, Code: a.code})
	}
	if !a.wantsRetained() {
		return
	}
	if nc := c.current(); nc != nil && nc.w.feedRetained(sub) {
		nc.w.kick()
		return
	}
	c.queueRetained(sub)
}

// Unsubscribe undoes a subscription of a client, connected or not, whoever made
// it, and returns a code for each filter as UNSUBACK would. Filters are as for
// Subscribe, and interceptors are asked or not as they are there. The error is
// ErrUnknownClient.
func (a Sessions) Unsubscribe(ctx context.Context, id string, filters ...string) ([]mqtt.ReasonCode, error) {
	cl := a.b.clients.get(id)
	if cl == nil {
		return nil, ErrUnknownClient
	}
	calls := make([]hook.Call, len(filters))
	refs := make([]*hook.Call, len(filters))
	for i, f := range filters {
		calls[i] = hook.Call{Client: cl.info.Load(), Subscription: mqtt.Subscription{Filter: f}}
		refs[i] = &calls[i]
	}
	if !hook.InHandOf(ctx).IsOpen() && len(refs) > 0 && a.b.hooks.Intercepts(hook.AfterAuthorization, hook.PointUnsubscribe) {
		a.b.inHand(hook.InHandOf(ctx).NextHops(), func(asking context.Context) {
			a.b.hooks.Intercept(asking, hook.AfterAuthorization, &hook.Batch{Point: hook.PointUnsubscribe, Calls: refs})
		})
	}
	codes := make([]mqtt.ReasonCode, len(filters))
	for i, f := range filters {
		switch v := &calls[i].Verdict; v.Action {
		case hook.Pass:
			codes[i] = cl.leave(f)
		case hook.Drop:
		default:
			codes[i] = unsubscribeCode(v.Code)
			cl.disconnectBy(v)
		}
	}
	return codes, nil
}

// leave takes a subscription, its mountpoint in front, out of the session and
// the table.
func (c *client) leave(filter string) mqtt.ReasonCode {
	if topic.ValidateFilter(filter) != nil {
		return mqtt.TopicFilterInvalid
	}
	if !c.unsubscribe(filter) {
		return mqtt.NoSubscriptionExisted
	}
	if c.b.hooks.Observes(hook.Unsubscribed) {
		c.b.emit(c, &hook.Event{Kind: hook.Unsubscribed, Subscription: mqtt.Subscription{Filter: filter}})
	}
	return mqtt.Success
}
