package broker

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Question is what a connected client might do.
type Question struct {
	Subscribe bool   // or else it publishes
	Topic     string // or filter, as the client writes it
	QoS       mqtt.QoS
	Retain    bool
	Payload   []byte
	// Ask asks the interceptors for real. They can't tell it from what a client
	// does, and may act on it.
	Ask bool
}

// Explanation is what would become of it, and why.
type Explanation struct {
	Steps    []Step // what the broker looks at, in its order, up to the end of the matter
	Accepted bool   // as far as that is known without asking interceptors
	Code     mqtt.ReasonCode
}

// Step is one thing that is looked at.
type Step struct {
	What    string // "connect", "protocol", "grants", "quota", "interceptor" or "limit"
	Who     string // a plugin's name, or "broker"
	Says    string
	Refuses bool
}

// Explain says what would become of an action of a connected client, or why one
// that is not connected was refused lately. Nothing is delivered, stored or
// changed. ErrUnknownClient is returned if it is neither; ctx bounds the wait for
// interceptors.
func (a Clients) Explain(ctx context.Context, id string, q Question) (*Explanation, error) {
	var c *conn
	if cl := a.b.clients.get(id); cl != nil {
		c = cl.current()
	}
	if c == nil {
		return a.b.explainRefused(id)
	}
	e := &explainer{conn: c, q: q, out: &Explanation{Accepted: true}}
	e.connected()
	if q.Subscribe {
		e.subscribe(ctx)
	} else {
		e.publish(ctx)
	}
	return e.out, nil
}

// explainRefused tells of the CONNECT of a client that did not get in.
func (b *Broker) explainRefused(id string) (*Explanation, error) {
	r, ok := b.lastRefused.last(id)
	if !ok {
		return nil, ErrUnknownClient
	}
	verb := "refused"
	if r.err != "" {
		verb = fmt.Sprintf("could not decide about (%s) and so refused", r.err)
	}
	says := fmt.Sprintf("%s its CONNECT from %s %v ago", verb, r.peer, time.Since(r.at).Round(time.Second))
	if r.reason != "" {
		says += fmt.Sprintf(", with the reason %q", r.reason)
	}
	return &Explanation{Code: r.code, Steps: []Step{{What: "connect", Who: cmp.Or(r.by, "broker"), Says: says, Refuses: true}}}, nil
}

// explainer goes the way of a packet and takes notes.
type explainer struct {
	*conn
	q   Question
	out *Explanation
}

func (e *explainer) says(what, who, format string, args ...any) {
	e.out.Steps = append(e.out.Steps, Step{What: what, Who: who, Says: fmt.Sprintf(format, args...)})
}

// refuses ends the matter, by the broker's own word.
func (e *explainer) refuses(code mqtt.ReasonCode, what, format string, args ...any) {
	e.says(what, "broker", format, args...)
	e.out.Steps[len(e.out.Steps)-1].Refuses = true
	e.out.Accepted, e.out.Code = false, code
}

func (e *explainer) connected() {
	info := e.client.info.Load()
	as := ""
	if info.Username != "" {
		as = fmt.Sprintf(" as user %q", info.Username)
	}
	if info.Mountpoint != "" {
		as += fmt.Sprintf(", with its topics below %q", info.Mountpoint)
	}
	if len(info.AdmittedBy) == 0 {
		e.says("connect", "broker", "no validator was asked: everybody may connect%s", as)
	}
	for _, by := range info.AdmittedBy {
		e.says("connect", by, "allowed the connection%s", as)
	}
}

func (e *explainer) publish(ctx context.Context) {
	b, cl := e.b, e.client
	if wrong := b.checkTopic(e.q.Topic); wrong != "" {
		e.refuses(mqtt.TopicNameInvalid, "protocol", "%s: the connection would end", wrong)
		return
	}
	if most := e.limits.Load().maxQoS; e.q.QoS > most {
		e.refuses(mqtt.QoSNotSupported, "limit", "QoS %d is above the maximum of %d: the connection would end", e.q.QoS, most)
		return
	}
	info := *cl.info.Load() // one of its own, by which the interceptors' answers are known
	call := &hook.Call{Client: &info, Message: &mqtt.Message{
		Topic: cl.mounted(e.q.Topic), Payload: e.q.Payload, QoS: e.q.QoS, Retain: e.q.Retain, Publisher: cl.id, Created: time.Now(),
	}}
	if !e.intercept(ctx, hook.BeforeAuthorization, hook.PointPublish, call, func() { b.recheck(cl, hook.BeforeAuthorization, call) }) ||
		!e.grantsPublish(call.Message) {
		return
	}
	if m := call.Message; !b.formatFits(m.Payload, m.Properties) {
		e.refuses(mqtt.PayloadFormatInvalid, "protocol", badFormat)
		return
	}
	if m := call.Message; !e.quotas(len(m.Topic)-len(cl.mountpoint)+len(m.Payload), m.Created) {
		return
	}
	if !e.intercept(ctx, hook.AfterAuthorization, hook.PointPublish, call, func() { b.recheck(cl, hook.AfterAuthorization, call) }) {
		return
	}
	if call.Message.Retain && !b.mayRetain(call.Message) {
		e.refuses(mqtt.QuotaExceeded, "limit", "there is no room for another retained message")
	}
}

// grantsPublish holds a message against the grants.
func (e *explainer) grantsPublish(m *mqtt.Message) bool {
	cl := e.client
	name, ok := strings.CutPrefix(m.Topic, cl.mountpoint)
	if !ok || reserved(name) {
		e.refuses(mqtt.NotAuthorized, "grants", "topic %q is not for clients to publish to", m.Topic)
		return false
	}
	e.grounds(cl.rights.Load().WhyPublish(name, m.QoS, m.Retain))
	if cl.mayPublish(m) {
		return true
	}
	e.out.Accepted, e.out.Code = false, mqtt.NotAuthorized
	return false
}

// grounds tells what the grants of each validator say.
func (e *explainer) grounds(list []hook.Ground) {
	if len(list) == 0 {
		e.says("grants", "broker", "no validator gave grants: nothing limits this client")
	}
	for _, g := range list {
		switch {
		case g.Grant == nil:
			e.says("grants", g.By, "none of its %d grants allows it", g.Grants)
		case g.Permits:
			e.says("grants", g.By, "its grant %q allows it", g.Grant.Filter)
		default:
			e.says("grants", g.By, "its grant %q denies it", g.Grant.Filter)
		}
		e.out.Steps[len(e.out.Steps)-1].Refuses = !g.Permits
	}
}

func (e *explainer) subscribe(ctx context.Context) {
	if _, code := e.checkFilter(e.q.Topic); code.Failed() {
		e.refuses(code, "protocol", "the topic filter is not valid")
		return
	}
	a := &asked{keep: true}
	e.admit(a, mqtt.Subscription{Filter: e.q.Topic, QoS: e.q.QoS}, nil)
	info := *e.client.info.Load()
	a.call.Client = &info
	if a.code != mqtt.ReasonCode(e.q.QoS) {
		e.says("limit", "broker", "QoS %d is lowered to %d", e.q.QoS, a.code)
	}
	recheck := func(phase hook.Phase, before mqtt.Subscription) func() {
		return func() { e.settle(a, phase, before) }
	}
	if !e.intercept(ctx, hook.BeforeAuthorization, hook.PointSubscribe, &a.call, recheck(hook.BeforeAuthorization, a.call.Subscription)) {
		return
	}
	plain, _ := e.checkFilter(a.call.Subscription.Filter)
	e.grounds(e.client.rights.Load().WhySubscribe(strings.TrimPrefix(plain, e.client.mountpoint)))
	e.authorizeSubscription(a)
	if !a.keep {
		e.out.Accepted, e.out.Code = false, a.code
		return
	}
	if !e.intercept(ctx, hook.AfterAuthorization, hook.PointSubscribe, &a.call, recheck(hook.AfterAuthorization, a.call.Subscription)) {
		return
	}
	if !a.keep {
		e.refuses(a.code, "grants", "what an interceptor made of it is not granted")
		return
	}
	e.out.Code = a.code
}

// intercept tells of the interceptors of a phase, and asks them if that is
// wanted; recheck is what the broker does afterwards. It reports whether it goes
// on.
func (e *explainer) intercept(ctx context.Context, phase hook.Phase, p hook.Point, call *hook.Call, recheck func()) bool {
	hooks := e.b.hooks
	names := hooks.Asks(phase, p, call)
	if !e.q.Ask {
		for _, name := range names {
			e.says("interceptor", name, "would be asked, and may change or refuse it (--ask asks it)")
		}
		return true
	}
	if len(names) == 0 {
		return true
	}
	w := &eavesdropper{client: call.Client}
	remove := hooks.Watch().Add(w)
	hooks.Intercept(ctx, phase, &hook.Batch{Point: p, Calls: []*hook.Call{call}})
	remove()
	for _, heard := range w.heard {
		e.says("interceptor", heard.name, "%s", heard.says)
	}
	if v := &call.Verdict; v.Action != hook.Pass {
		e.out.Steps[len(e.out.Steps)-1].Refuses = true
		e.out.Accepted, e.out.Code = v.Action == hook.Drop, v.Code
		if v.Code == 0 && v.Action == hook.Refuse {
			e.out.Code = mqtt.NotAuthorized
		}
		return false
	}
	recheck()
	if v := &call.Verdict; v.Action != hook.Pass {
		e.refuses(v.Code, "grants", "%s", v.Reason)
		return false
	}
	return true
}

// eavesdropper hears what interceptors answer to one call.
type eavesdropper struct {
	client *hook.Client // who acts in it, and nowhere else

	mu    sync.Mutex
	heard []heard
}

type heard struct{ name, says string }

// Watches implements [hook.Watcher].
func (*eavesdropper) Watches(string, hook.Point) bool { return true }

// Watched implements [hook.Watcher].
func (w *eavesdropper) Watched(r *hook.Report) {
	for i := range r.Calls {
		c := &r.Calls[i]
		if c.Asked.Client != w.client {
			continue
		}
		says := "lets it pass"
		switch {
		case r.Err != nil:
			says = fmt.Sprintf("could not decide (%v), policy: %s", r.Err, r.OnError)
		case c.Undeclared != 0:
			says = "made a change that it may not make"
		case c.Verdict.Action != hook.Pass:
			says = strings.TrimSpace(fmt.Sprintf("%s: %s %s", c.Verdict.Action, c.Verdict.Code, c.Verdict.Reason))
		case c.Changed() != 0 && c.Message != nil:
			says = fmt.Sprintf("changes it: topic %q, QoS %d, %d bytes", c.Message.Topic, c.Message.QoS, len(c.Message.Payload))
		case c.Changed() != 0:
			says = fmt.Sprintf("changes it: filter %q, QoS %d", c.Subscription.Filter, c.Subscription.QoS)
		}
		w.mu.Lock()
		w.heard = append(w.heard, heard{r.Hook, says})
		w.mu.Unlock()
	}
}
