package pluginapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/lanes"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// openCall is one call that waits for its verdict. It belongs to whoever is to
// decide it, and after that to its answerer.
type openCall struct {
	in      *instance
	to      answerer
	frame   *frame // that it is a part of; nil for one of a request
	place   place
	client  *Client // nil for nobody's
	verdict *pluginv1.Verdict
	// undecided is why there can be no verdict.
	undecided error

	kind         Hook // empty for a kind that is not known
	was          Message
	hasMessage   bool
	subscription Subscription // only the filter of an unsubscribe call
	user         []UserProperty
	receiver     string
	retained     bool
}

// answerer takes calls that were decided, or could not be. They must not be
// looked at afterwards. It is called by many goroutines.
type answerer interface {
	// context is that of the stream or the request.
	context() context.Context
	answered(calls []*openCall)
}

// laneOf says which calls have to wait for each other: what one client does, and
// apart from it what is delivered to it.
type laneOf struct {
	deliver    bool
	connection uint64
	client     string // where there is no connection
}

func (o *openCall) lane() laneOf {
	l := laneOf{deliver: o.kind == HookDeliver, connection: o.place.connection}
	if l.connection == 0 {
		l.client = o.was.Publisher
		if l.deliver {
			l.client = o.receiver
		}
	}
	return l
}

// interceptPool decides the calls of single interfaces.
type interceptPool = lanes.Pool[laneOf, *openCall]

// longCall is how long a hook may take until those before it in its lane are
// answered without waiting for the others.
const longCall = 200 * time.Microsecond

// runCalls decides calls of one lane. It is what the pool's goroutines run.
func (c *core) runCalls(calls []*openCall) {
	var since time.Time // when the first of those that are not answered began
	first := 0
	for i, o := range calls {
		if i == first && len(calls) > 1 {
			since = time.Now()
		}
		c.decideCall(o)
		next := i + 1
		if next == len(calls) || calls[next].to != o.to || time.Since(since) > longCall {
			o.to.answered(calls[first:next])
			first = next
		}
	}
}

// decideCall guards against panics: they happen in a goroutine of the pool,
// where no interceptor of gRPC stands around them.
func (c *core) decideCall(o *openCall) {
	if o.undecided = o.check(); o.undecided != nil {
		return
	}
	defer c.recovered(interceptingAt(o.kind), &o.undecided)
	switch o.kind {
	case HookPublish:
		o.decidePublish()
	case HookDeliver:
		o.decideDeliver()
	case HookSubscribe:
		o.decideSubscribe()
	default:
		o.decideUnsubscribe()
	}
}

// interceptingAt names where the author's code was when it panicked.
func interceptingAt(kind Hook) string {
	switch kind {
	case HookPublish:
		return "intercept publish"
	case HookDeliver:
		return "intercept deliver"
	case HookSubscribe:
		return "intercept subscribe"
	default:
		return "intercept unsubscribe"
	}
}

// check finds what no hook can be asked about. A call of a kind that is not
// known is an error: it cannot be let pass in good faith.
func (o *openCall) check() error {
	switch {
	case o.undecided != nil:
		return o.undecided
	case o.kind == "":
		return errors.New("call of a kind that this plugin does not know")
	case (o.kind == HookPublish || o.kind == HookDeliver) && !o.hasMessage:
		return errNoMessage
	default:
		return nil
	}
}

var errNoMessage = errors.New("call about a message without one")

// A hook that the plugin does not have lets everything pass. What a hook is
// given, its context included, is one object, which lives as long as the author
// keeps any part of it.

func (o *openCall) decidePublish() {
	if o.in.publish == nil {
		return
	}
	h := &struct {
		PublishCall
		message Message
		ctx     inCall
	}{ctx: inCall{o.to.context(), o.place}}
	o.was.copyTo(&h.message)
	h.Client, h.Message = o.client, &h.message
	v, err := o.in.publish.InterceptPublish(&h.ctx, &h.PublishCall)
	o.decided(&v, err, h.Message, nil)
}

func (o *openCall) decideDeliver() {
	if o.in.deliver == nil {
		return
	}
	h := &struct {
		DeliverCall
		message Message
		ctx     inCall
	}{ctx: inCall{o.to.context(), o.place}}
	o.was.copyTo(&h.message)
	h.DeliverCall = DeliverCall{Client: o.client, Receiver: o.receiver, Message: &h.message, Retained: o.retained}
	v, err := o.in.deliver.InterceptDeliver(&h.ctx, &h.DeliverCall)
	o.decided(&v, err, h.Message, nil)
}

func (o *openCall) decideSubscribe() {
	if o.in.subscribe == nil {
		return
	}
	call := &SubscribeCall{Client: o.client, Subscription: o.subscription, UserProperties: o.user}
	v, err := o.in.subscribe.InterceptSubscribe(&inCall{o.to.context(), o.place}, call)
	o.decided(&v, err, nil, &call.Subscription)
}

func (o *openCall) decideUnsubscribe() {
	if o.in.unsubscribe == nil {
		return
	}
	call := &UnsubscribeCall{Client: o.client, Filter: o.subscription.Filter, UserProperties: o.user}
	v, err := o.in.unsubscribe.InterceptUnsubscribe(&inCall{o.to.context(), o.place}, call)
	o.decided(&v, err, nil, nil)
}

// call makes what a [BatchInterceptor] is given.
func (o *openCall) call() (*Call, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c := &Call{place: o.place, placed: true}
	switch o.kind {
	case HookPublish:
		m := new(Message)
		o.was.copyTo(m)
		c.Publish = &PublishCall{Client: o.client, Message: m}
	case HookDeliver:
		m := new(Message)
		o.was.copyTo(m)
		c.Deliver = &DeliverCall{Client: o.client, Receiver: o.receiver, Message: m, Retained: o.retained}
	case HookSubscribe:
		c.Subscribe = &SubscribeCall{Client: o.client, Subscription: o.subscription, UserProperties: o.user}
	default:
		c.Unsubscribe = &UnsubscribeCall{Client: o.client, Filter: o.subscription.Filter, UserProperties: o.user}
	}
	return c, nil
}

// decidedCall takes over what a [BatchInterceptor] made of its call.
func (o *openCall) decidedCall(c *Call, err error) {
	switch {
	case c.Publish != nil:
		o.decided(&c.Verdict, err, c.Publish.Message, nil)
	case c.Deliver != nil:
		o.decided(&c.Verdict, err, c.Deliver.Message, nil)
	case c.Subscribe != nil:
		o.decided(&c.Verdict, err, nil, &c.Subscribe.Subscription)
	default:
		o.decided(&c.Verdict, err, nil, nil)
	}
}

// decided turns what the author's code returned into what the broker is told:
// nothing about a call that passes unchanged. Nothing of it refers to the call.
func (o *openCall) decided(v *Verdict, err error, m *Message, s *Subscription) {
	if err == nil {
		o.verdict, err = o.verdictOf(v, m, s)
	}
	o.undecided = err
}

// runBatch decides all calls with one call of a [BatchInterceptor].
func (c *core) runBatch(ctx context.Context, open []*openCall) {
	calls := make([]*Call, 0, len(open))
	known := make([]*openCall, 0, len(open))
	for _, o := range open {
		call, err := o.call()
		if err != nil {
			o.undecided = err
			continue
		}
		calls, known = append(calls, call), append(known, o)
	}
	if len(calls) > 0 {
		err := c.callBatch(&inCall{ctx, known[len(known)-1].place}, known[0].in, calls)
		for i, o := range known {
			o.decidedCall(calls[i], err)
		}
	}
	if len(open) > 0 {
		open[0].to.answered(open)
	}
}

func (c *core) callBatch(ctx context.Context, in *instance, calls []*Call) (err error) {
	defer c.recovered("intercept batch", &err)
	// The hook gets a slice of its own; what it does to that changes no verdict's
	// place.
	return in.batch.InterceptBatch(ctx, slices.Clone(calls))
}

// verdictOf says what a decided call means, nil for one that passes unchanged.
// An error is the author's mistake.
func (o *openCall) verdictOf(is *Verdict, m *Message, s *Subscription) (*pluginv1.Verdict, error) {
	var message *pluginv1.MessageChange
	var subscription *pluginv1.Subscription
	switch is.Action {
	case ActionPass:
		if is.Code != 0 {
			return nil, fmt.Errorf("verdict that passes with the reason code %v; use Refuse to refuse", is.Code)
		}
		var err error
		if message, subscription, err = o.change(m, s); err != nil {
			return nil, err
		}
		if message == nil && subscription == nil && len(is.UserProperties) == 0 {
			return nil, nil
		}
	case ActionDrop, ActionRefuse, ActionDisconnect:
		if is.Code != 0 && !is.Code.Failed() && is.Action == ActionRefuse {
			return nil, fmt.Errorf("refusal with the reason code %v", is.Code)
		}
	default:
		return nil, fmt.Errorf("verdict with the unknown action %d", is.Action)
	}
	if err := errors.Join(
		checkTexts("reason", is.Reason, "server reference", is.ServerReference),
		checkUserProperties(is.UserProperties),
	); err != nil {
		return nil, err
	}
	return &pluginv1.Verdict{
		Seq:             o.place.seq,
		Action:          pluginv1.VerdictAction(is.Action) + pluginv1.VerdictAction_VERDICT_ACTION_PASS,
		ReasonCode:      uint32(is.Code),
		Reason:          is.Reason,
		ServerReference: is.ServerReference,
		UserProperties:  userPropertiesToProto(is.UserProperties),
		Message:         message,
		Subscription:    subscription,
	}, nil
}

// change returns what the hook has changed, nil for nothing.
func (o *openCall) change(m *Message, s *Subscription) (mc *pluginv1.MessageChange, sc *pluginv1.Subscription, err error) {
	switch o.kind {
	case HookPublish, HookDeliver:
		mc, err = messageChange(&o.was, m)
	case HookSubscribe:
		sc, err = subscriptionChange(o.subscription, *s)
	}
	return mc, sc, err
}

// undecided is the answer to a call that could not be decided, which is what a
// verdict without an action means.
func undecided(seq uint64, err error) *pluginv1.Verdict {
	v := &pluginv1.Verdict{Seq: seq, Reason: toValidUTF8(err.Error())}
	if _, panicked := errors.AsType[*panicError](err); panicked {
		v.ReasonCode = uint32(ImplementationSpecificError)
	}
	return v
}
