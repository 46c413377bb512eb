package broker

import (
	"context"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
)

// asked is one filter of a SUBSCRIBE on its way through the broker.
type asked struct {
	call hook.Call // Subscription.Filter is the mounted one
	code mqtt.ReasonCode
	keep bool // subscribe; false with a granted code: say yes and do nothing
	had  bool // the subscription existed
	free bool // a hook made it that is exempt: grants do not bind it
}

// subscribe handles SUBSCRIBE: hooks that come before the grants, grants, hooks,
// grants again for what they changed, table, SUBACK, retained messages.
func (c *conn) subscribe(p *packet.Subscribe) *ending {
	rights := c.client.rights.Load()
	list := make([]asked, len(p.Subscriptions))
	for i, sub := range p.Subscriptions {
		c.admit(&list[i], sub, p.User)
	}
	ctx := c.hold()
	defer c.release()
	end := c.interceptSubscribe(ctx, hook.BeforeAuthorization, list)
	for i := range list {
		if list[i].keep {
			c.authorizeSubscription(&list[i])
		}
	}
	if e := c.interceptSubscribe(ctx, hook.AfterAuthorization, list); end == nil {
		end = e
	}
	ack := packet.Suback{ID: p.ID, Codes: make([]mqtt.ReasonCode, len(list))}
	for i := range list {
		a := &list[i]
		if a.keep {
			c.enter(a)
		}
		ack.Codes[i] = a.code
		if a.code.Failed() && ack.Reason == "" {
			ack.Reason = a.call.Verdict.Reason
		}
		ack.User = append(ack.User, a.call.Verdict.User...)
	}
	if c.client.rights.Load() != rights {
		c.client.narrow() // who changed the grants may not have seen these
	}
	c.w.sendAfter(c.position(), &ack)
	for i := range list {
		if a := &list[i]; a.keep {
			c.sendRetained(a)
		}
	}
	return end
}

// admit checks one filter before the hooks.
func (c *conn) admit(a *asked, sub mqtt.Subscription, user []mqtt.UserProperty) {
	_, code := c.checkFilter(sub.Filter)
	if a.keep = !code.Failed(); a.keep {
		code = mqtt.ReasonCode(min(sub.QoS, c.limits.Load().maxQoS))
	}
	a.code = code
	sub.Filter = c.mountFilter(sub.Filter)
	a.call = hook.Call{Client: c.client.info.Load(), Subscription: sub, User: user}
}

// authorizeSubscription holds a filter, its mountpoint in front, against the
// grants.
func (c *conn) authorizeSubscription(a *asked) {
	sub := &a.call.Subscription
	plain, code := c.checkFilter(sub.Filter)
	if code == mqtt.Success {
		own, ok := strings.CutPrefix(plain, c.client.mountpoint)
		if !ok {
			code = mqtt.NotAuthorized
		} else {
			code = c.checkGrant(sub, own)
		}
	}
	a.code, a.keep = code, !code.Failed()
}

// checkFilter returns the filter without $share/GROUP/, or why it is refused.
func (c *conn) checkFilter(filter string) (plain string, code mqtt.ReasonCode) {
	sh, _, err := topic.ParseShared(filter)
	if err != nil || topic.Levels(sh.Filter) > c.b.limits().TopicLevels {
		return "", mqtt.TopicFilterInvalid
	}
	return sh.Filter, mqtt.Success
}

// checkGrant lowers the QoS to what is granted, or says that nothing is. The
// code of a subscription that may be made is the granted QoS.
func (c *conn) checkGrant(sub *mqtt.Subscription, plain string) mqtt.ReasonCode {
	best, ok := c.client.rights.Load().MaySubscribe(plain)
	if !ok {
		return mqtt.NotAuthorized
	}
	sub.QoS = min(sub.QoS, best, c.limits.Load().maxQoS)
	return mqtt.ReasonCode(sub.QoS)
}

func (c *conn) mountFilter(filter string) string {
	if c.client.mountpoint == "" {
		return filter
	}
	if sh, shared, err := topic.ParseShared(filter); err == nil && shared {
		return "$share/" + sh.Group + "/" + c.client.mounted(sh.Filter)
	}
	return c.client.mounted(filter)
}

// interceptSubscribe asks the hooks of a phase about the filters that nothing
// speaks against so far.
func (c *conn) interceptSubscribe(ctx context.Context, phase hook.Phase, list []asked) *ending {
	b := c.b
	if !b.hooks.Intercepts(phase, hook.PointSubscribe) {
		return nil
	}
	calls := make([]*hook.Call, 0, len(list))
	which := make([]*asked, 0, len(list))
	before := make([]mqtt.Subscription, 0, len(list))
	for i := range list {
		if a := &list[i]; a.keep {
			calls = append(calls, &a.call)
			which = append(which, a)
			before = append(before, a.call.Subscription)
		}
	}
	if len(calls) == 0 {
		return nil
	}
	b.hooks.Intercept(ctx, phase, &hook.Batch{Point: hook.PointSubscribe, Calls: calls})
	var end *ending
	for i, a := range which {
		if e := c.settle(a, phase, before[i]); e != nil && end == nil {
			end = e
		}
	}
	return end
}

// settle turns a hook's verdict into a code.
func (c *conn) settle(a *asked, phase hook.Phase, before mqtt.Subscription) *ending {
	v := &a.call.Verdict
	switch v.Action {
	case hook.Pass:
		if phase == hook.AfterAuthorization && a.call.Subscription != before {
			c.recheckSubscription(a, before)
		}
		return nil
	case hook.Drop:
		a.keep = false // the client is told yes, as the hook wants
		return nil
	case hook.Disconnect:
		a.keep, a.code = false, subscribeCode(v.Code)
		return &ending{kind: hook.ByServer, code: disconnectCode(v.Code), reason: v.Reason, serverReference: v.ServerReference}
	default:
		a.keep, a.code = false, subscribeCode(v.Code)
		return nil
	}
}

// recheckSubscription authorises what a hook made of a filter.
func (c *conn) recheckSubscription(a *asked, before mqtt.Subscription) {
	sub := &a.call.Subscription
	if sub.Filter == before.Filter {
		sub.QoS = min(sub.QoS, before.QoS)
		a.code = mqtt.ReasonCode(sub.QoS)
		return
	}
	if a.call.ToAuthorize&hook.FieldSubscription != 0 {
		c.authorizeSubscription(a)
		return
	}
	_, code := c.checkFilter(sub.Filter)
	if a.keep = !code.Failed(); a.keep {
		code = mqtt.ReasonCode(sub.QoS)
	}
	a.code, a.free = code, true
}

// enter puts a subscription into the session and the router's table.
func (c *conn) enter(a *asked) {
	sub := a.call.Subscription
	had, code := c.client.subscribe(sub, c.limits.Load().subscriptions, a.free)
	if a.had = had; code.Failed() {
		a.keep, a.code = false, code
		return
	}
	if c.b.hooks.Observes(hook.Subscribed) {
		c.b.emit(c.client, &hook.Event{Kind: hook.Subscribed, Subscription: sub, Code: a.code})
	}
}

// unsubscribe handles UNSUBSCRIBE.
func (c *conn) unsubscribe(p *packet.Unsubscribe) *ending {
	b := c.b
	calls := make([]hook.Call, len(p.Filters))
	refs := make([]*hook.Call, len(p.Filters))
	for i, f := range p.Filters {
		calls[i] = hook.Call{Client: c.client.info.Load(), Subscription: mqtt.Subscription{Filter: c.mountFilter(f)}, User: p.User}
		refs[i] = &calls[i]
	}
	if b.hooks.Intercepts(hook.AfterAuthorization, hook.PointUnsubscribe) {
		defer c.release()
		b.hooks.Intercept(c.hold(), hook.AfterAuthorization, &hook.Batch{Point: hook.PointUnsubscribe, Calls: refs})
	}
	ack := packet.Unsuback{ID: p.ID, Codes: make([]mqtt.ReasonCode, len(calls))}
	var end *ending
	for i, f := range p.Filters {
		v := &calls[i].Verdict
		switch v.Action {
		case hook.Pass:
			ack.Codes[i] = mqtt.TopicFilterInvalid
			if topic.ValidateFilter(f) == nil {
				ack.Codes[i] = c.client.leave(c.mountFilter(f))
			}
		case hook.Refuse:
			ack.Codes[i] = unsubscribeCode(v.Code)
		case hook.Disconnect:
			ack.Codes[i] = unsubscribeCode(v.Code)
			end = &ending{kind: hook.ByServer, code: disconnectCode(v.Code), reason: v.Reason, serverReference: v.ServerReference}
		case hook.Drop:
		}
		if ack.Codes[i].Failed() && ack.Reason == "" {
			ack.Reason = v.Reason
		}
		ack.User = append(ack.User, v.User...)
	}
	c.w.sendAfter(c.position(), &ack)
	return end
}
