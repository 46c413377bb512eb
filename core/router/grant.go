package router

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// grant is what a subscription asks for. It is immutable, and subscriptions
// that ask for the same without an identifier share one.
type grant struct {
	id                [1]uint32 // zero means none; an array, so that it can be sliced for ever
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
		return &grant{[1]uint32{sub.ID}, sub.QoS, sub.NoLocal, sub.RetainAsPublished}
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

// ids returns the Subscription Identifier as a slice that nobody may append to
// in place.
func (g *grant) ids() []uint32 {
	if g.id[0] == 0 {
		return nil
	}
	return g.id[:]
}

// terms are several grants of one subscriber taken together.
type terms struct {
	ids               []uint32
	qos               mqtt.QoS
	retainAsPublished bool
	matched           bool // at least one grant is in it
}

// add takes g into account: the highest QoS [MQTT-3.3.4-2], all identifiers
// [MQTT-3.3.4-4].
func (t *terms) add(g *grant) {
	if len(t.ids) == 0 {
		t.ids = g.ids()
	} else {
		t.ids = append(t.ids, g.ids()...)
	}
	t.qos = max(t.qos, g.qos)
	t.retainAsPublished = t.retainAsPublished || g.retainAsPublished
	t.matched = true
}

// delivery returns m as a receiver with these terms gets it
// [MQTT-3.8.4-8] [MQTT-3.3.1-12] [MQTT-3.3.1-13].
func (t *terms) delivery(m *mqtt.Message) mqtt.Delivery {
	return mqtt.Delivery{
		Message:         m,
		QoS:             min(m.QoS, t.qos),
		Retain:          m.Retain && t.retainAsPublished,
		SubscriptionIDs: t.ids,
	}
}
