package router

import (
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// grant is what a subscription asks for. It is immutable, and subscriptions
// that ask for the same without an identifier share one.
type grant struct {
	via               *mqtt.Via // nil without an identifier
	qos               mqtt.QoS
	noLocal           bool
	retainAsPublished bool
}

// plain are the grants without an identifier.
var plain = func() (p [12]grant) {
	for i := range p {
		p[i] = grant{qos: mqtt.QoS(i >> 2), noLocal: i&1 != 0, retainAsPublished: i&2 != 0}
	}
	return p
}()

func grantOf(sub mqtt.Subscription) *grant {
	if sub.ID != 0 {
		return &grant{&mqtt.Via{SubscriptionIDs: []uint32{sub.ID}}, sub.QoS, sub.NoLocal, sub.RetainAsPublished}
	}
	i := int(min(sub.QoS, mqtt.ExactlyOnce)) << 2
	if sub.NoLocal {
		i |= 1
	}
	if sub.RetainAsPublished {
		i |= 2
	}
	return &plain[i]
}

// ids returns the Subscription Identifier, if there is one.
func (g *grant) ids() []uint32 {
	if g.via == nil {
		return nil
	}
	return g.via.SubscriptionIDs
}

// terms are several grants of one subscriber taken together.
type terms struct {
	via               *mqtt.Via // of one grant, or made by finish
	ids               []uint32  // of several; nil until there are two with one
	qos               mqtt.QoS
	retainAsPublished bool
	matched           bool // at least one grant is in it
}

// add takes g into account: the highest QoS [MQTT-3.3.4-2], all identifiers
// [MQTT-3.3.4-4]. It reports whether finish has to be called.
func (t *terms) add(g *grant) (unfinished bool) {
	switch {
	case g.via == nil:
	case t.via == nil && t.ids == nil:
		t.via = g.via
	case t.ids == nil:
		t.ids = slices.Concat(t.via.SubscriptionIDs, g.ids())
	default:
		t.ids = append(t.ids, g.ids()...)
	}
	t.qos = max(t.qos, g.qos)
	t.retainAsPublished = t.retainAsPublished || g.retainAsPublished
	t.matched = true
	return t.ids != nil
}

// finish makes the identifiers of several grants ready to be sent.
func (t *terms) finish() {
	if t.ids != nil {
		t.via, t.ids = &mqtt.Via{SubscriptionIDs: t.ids}, nil
	}
}

// delivery returns m as a receiver with these terms gets it
// [MQTT-3.8.4-8] [MQTT-3.3.1-12] [MQTT-3.3.1-13].
func (t *terms) delivery(m *mqtt.Message) mqtt.Delivery {
	return mqtt.Delivery{
		Message: m,
		Via:     t.via,
		QoS:     min(m.QoS, t.qos),
		Retain:  m.Retain && t.retainAsPublished,
	}
}
