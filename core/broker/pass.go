package broker

import (
	"context"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/admission"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/router"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// Most messages of QoS 0 reach their receivers exactly as they came. Where nobody
// may change them, those of one read with the same topic are authorised and routed
// once, and their packets copied from the buffer of the one connection to that of
// the other: none of them ever is an mqtt.Message, but for observers. Whatever does
// not fit into that becomes messages here, and goes the way of all others. loan.go
// is about those that interceptors are asked about.

// maxParcel bounds the bytes that are passed on together.
const maxParcel = 32 << 10

// parcel is what is passed on together.
type parcel struct {
	session.Parcel
	sample mqtt.Message // see like
}

// mayLend reports whether messages of the client may reach their receivers as they
// came, if interceptors do not change them: nobody is asked or told about each that
// is sent or follows them, and no quota counts them.
func (c *conn) mayLend() bool {
	h := c.b.hooks
	return c.client.mountpoint == "" && c.client.allowed.Load() == nil && c.b.force.Load().tracer == nil &&
		!h.Intercepts(hook.AfterAuthorization, hook.PointDeliver) && !h.Observes(hook.Delivered)
}

// mayPass reports whether they may be passed on without asking anybody.
func (c *conn) mayPass() bool { return c.mayLend() && !c.b.asksAboutPublish() }

func (b *Broker) asksAboutPublish() bool {
	return b.hooks.Intercepts(hook.BeforeAuthorization, hook.PointPublish) ||
		b.hooks.Intercepts(hook.AfterAuthorization, hook.PointPublish)
}

// like is what all messages of the parcel are, but for the payload. It is valid as
// long as the parcel is.
func (l *parcel) like() *mqtt.Message {
	l.sample = mqtt.Message{Topic: l.Topic, Publisher: l.Publisher, Origin: mqtt.FromClient, Created: l.Created}
	return &l.sample
}

// collect adds a PUBLISH that the decoder has lent to the parcel, or to the loan.
func (r *run) collect(c *conn, m *mqtt.Message, whole []byte) *ending {
	if c.b.asksAboutPublish() {
		return r.borrow(c, m, whole)
	}
	l := &r.parcel
	if n := len(l.Payloads); n == 0 && len(r.items) > 0 || n > 0 && (n >= maxRun || len(l.Packets) >= maxParcel || l.Topic != m.Topic) {
		if e := r.flush(c); e != nil {
			return e
		}
	}
	if len(l.Payloads) == 0 {
		l.Topic, l.Publisher, l.Created, l.Version = m.Topic, m.Publisher, m.Created, c.version
	}
	l.Packets = append(l.Packets, whole...)
	end := len(l.Packets)
	l.Payloads = append(l.Payloads, session.Span{From: end - len(m.Payload), To: end})
	l.Largest = max(l.Largest, len(whole))
	return nil
}

// empty makes the parcel ready for the next one.
func (l *parcel) empty() {
	*l = parcel{Parcel: session.Parcel{Packets: l.Packets[:0], Payloads: l.Payloads[:0]}}
}

// passOn takes the parcel to its receivers.
func (r *run) passOn(c *conn) *ending {
	l := &r.parcel
	if len(l.Payloads) == 0 {
		return nil
	}
	call := hook.Call{Message: l.like()}
	if c.client.authorize(&call); call.Verdict.Action == hook.Pass && c.mayPass() {
		r.distribute(c.b, c.client, l)
		l.empty()
		return nil
	}
	for n := range l.Payloads {
		r.next().call = hook.Call{Client: c.client.info.Load(), Message: l.Message(n)}
	}
	l.empty()
	return r.flush(c)
}

// distribute routes a parcel of cl, which is authorised, and tells observers what
// was published.
func (r *run) distribute(b *Broker, cl *client, of *parcel) {
	l, ctx := &of.Parcel, b.hookContext()
	targets := within(b.router.Route(r.targets[:0], of.like()))
	all := targets
	grouped := slices.ContainsFunc(targets, func(t router.Target) bool { return t.Delivery.Group() != "" })
	if !grouped {
		targets = slices.DeleteFunc(targets, func(t router.Target) bool { return b.passTo(&t, l) })
	}
	published, unread := b.hooks.Observes(hook.Published), len(all) == 0 && b.hooks.Observes(hook.NotConsumed)
	switch {
	case len(targets) > 0 || unread:
		b.distributeEach(ctx, cl, l, targets, len(all), grouped)
	case published:
		r.events = b.publishedTogether(cl, l, r.events)
	}
	clear(all)
	r.targets = all[:0]
}

// distributeEach takes the messages of a parcel to those receivers that can't be
// passed it.
func (b *Broker) distributeEach(ctx context.Context, cl *client, l *session.Parcel, targets []router.Target, receivers int, grouped bool) {
	for n := range l.Payloads {
		m := l.Message(n)
		if grouped && n > 0 { // every message has a member of its own
			receivers = b.route(ctx, nil, m)
		} else {
			for i := range targets {
				targets[i].Delivery.Message = m
			}
			b.deliver(ctx, targets, m, nil)
		}
		b.published(cl, m, receivers)
	}
}

// passTo passes a parcel on to one receiver; false if that is no way for it.
func (b *Broker) passTo(t *router.Target, l *session.Parcel) bool {
	cl := t.Subscriber.(*client)
	return t.Delivery.Via == nil && cl.allowed.Load() == nil && b.queued.Pressure() == admission.Relaxed &&
		cl.mayReceive(t.Delivery.Message) && cl.sess.Pass(l)
}
