package broker

import (
	"context"
	"fmt"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// Enqueued tells what became of a message for one session.
type Enqueued struct {
	// Queued says that it came into the session's queue.
	Queued bool
	// Sent says that it was sent, with PacketID, which is 0 for QoS 0. It may
	// be sent again after the client comes back.
	Sent     bool
	PacketID uint16
	// Acknowledged says that the receiver has answered it for good, with Code:
	// PUBACK or PUBCOMP, or a PUBREC that refuses it.
	Acknowledged bool
	Code         mqtt.ReasonCode
	// Dropped is why it will not reach the receiver; "" if it was not dropped.
	Dropped hook.Cause
}

// Enqueue puts a message into one session's queue, past subscriptions, grants
// and publish hooks; deliver hooks have their say, unless a hook calls with the
// context that it got: then it is that hook who decides. Topic is the broker's
// own, mountpoint included; other fields are as for [Broker.Publish]. It does
// not wait until the message is sent, but until it is written if the session is
// kept. The error is ErrUnknownClient, wraps ErrInvalid, or ErrUnwritten if that is
// not possible, or is a *Refusal for a message with too many hops.
func (a Sessions) Enqueue(ctx context.Context, id string, m *mqtt.Message) (Enqueued, error) {
	cl, x, err := a.enqueue(ctx, id, m, false)
	if err != nil {
		return Enqueued{}, err
	}
	err = a.written(ctx, cl, m)
	return cl.receipts.forget(x), err
}

// Deliver is Enqueue, but waits until the receiver has acknowledged the message
// or, with QoS 0, until it was sent; or until it was dropped. If ctx ends first
// the error is ctx's and the message stays what it is. A hook about the receiver
// itself must not call it: the broker hears nothing of the receiver meanwhile.
func (a Sessions) Deliver(ctx context.Context, id string, m *mqtt.Message) (Enqueued, error) {
	cl, x, err := a.enqueue(ctx, id, m, true)
	if err != nil {
		return Enqueued{}, err
	}
	if err := a.written(ctx, cl, m); err != nil {
		return cl.receipts.forget(x), err
	}
	select {
	case <-x.done:
	case <-ctx.Done():
		err = fmt.Errorf("the message for %s: %w", id, ctx.Err())
	}
	return cl.receipts.forget(x), err
}

// written waits until a message that was queued is written, if its receiver's
// session is kept. The error is that of waitWritten.
func (a Sessions) written(ctx context.Context, cl *client, m *mqtt.Message) error {
	if m.QoS == mqtt.AtMostOnce || !cl.sess.Kept() {
		return nil
	}
	return a.b.waitWritten(ctx, cl.sess.Position())
}

// enqueue does the work of both; the caller has to forget the receipt, which he
// waits for if it is watched.
func (a Sessions) enqueue(ctx context.Context, id string, m *mqtt.Message, watched bool) (*client, *receipt, error) {
	c, err := a.b.made(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	cl := a.b.clients.get(id)
	if cl == nil {
		return nil, nil, ErrUnknownClient
	}
	if c.QoS > mqtt.AtMostOnce && cl.sess.Kept() && a.b.Ready() != nil {
		return nil, nil, ErrUnwritten
	}
	d := mqtt.Delivery{Message: c, QoS: min(c.QoS, a.b.limits().MaxQoS), Direct: true, Watched: watched}
	if hook.InHandOf(ctx).IsOpen() {
		d.Screened = true
	} else if cl.Online() && a.b.hooks.Intercepts(hook.AfterAuthorization, hook.PointDeliver) {
		a.b.inHand(c.Hops, func(ctx context.Context) {
			a.b.screen(ctx, []screening{{client: cl, info: cl.info.Load(), delivery: &d}})
		})
		if d.Message == nil {
			x := cl.receipts.follow(c)
			cl.receipts.dropped(c, hook.CauseHook)
			return cl, x, nil
		}
		if d.Message != c {
			d.Message = d.Message.Clone() // the receipt is known by its pointer
		}
	}
	x := cl.receipts.follow(d.Message)
	switch a.b.enqueue(ctx, cl, d, c.Created) {
	case session.Queued, session.DroppedOldest:
		cl.receipts.queued(x)
	case session.DroppedEnded:
		cl.receipts.dropped(d.Message, hook.CauseSession)
	default: // the receipt has been told of it
	}
	return cl, x, nil
}
