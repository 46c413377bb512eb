package packet

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Subscribe is a SUBSCRIBE packet.
type Subscribe struct {
	// ID is the packet identifier, never zero.
	ID uint16

	// SubscriptionID is the Subscription Identifier, 1 to 268,435,455, that
	// holds for all of the Subscriptions; zero is none. MQTT 5.
	SubscriptionID uint32

	// User are the User Properties, nil for none. MQTT 5.
	User []mqtt.UserProperty

	// Subscriptions are in the client's order, at least one. A decoder puts
	// the SubscriptionID into each of them; an encoder takes it from the
	// packet. The syntax of the filters is not checked here.
	Subscriptions []mqtt.Subscription
}

// Type is SUBSCRIBE.
func (*Subscribe) Type() Type { return SUBSCRIBE }

// Bits of the Subscription Options. Before MQTT 5 there is only the QoS.
const (
	optionQoS               = 0x03
	optionNoLocal           = 0x04
	optionRetainAsPublished = 0x08
	optionRetainHandling    = 0x30
	optionReserved          = 0xC0

	sharePrefix = "$share/"
)

func (d *Decoder) subscribe(c *cursor) *Subscribe {
	p := &Subscribe{ID: c.id()}
	if d.version == mqtt.V5 {
		properties := c.properties(in(SUBSCRIBE), d.limits)
		for properties.next() {
			p.SubscriptionID = properties.num
		}
		p.User = properties.user
	}
	n := d.countFilters(c, 1)
	if c.bad() {
		return nil
	}
	p.Subscriptions = make([]mqtt.Subscription, 0, n)
	for c.left() > 0 && !c.bad() {
		filter := c.text()
		s := d.options(c, c.uint8(), string(filter))
		s.ID = p.SubscriptionID
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return p
}

// options takes the Subscription Options apart.
func (d *Decoder) options(c *cursor, o byte, filter string) mqtt.Subscription {
	s := mqtt.Subscription{Filter: filter, QoS: mqtt.QoS(o & optionQoS)}
	switch {
	case d.version == mqtt.V31:
		// The other bits are reserved there, and not said to be zero.
	case d.version == mqtt.V311 && o&^optionQoS != 0:
		c.malformed("reserved subscription options") // MQTT-3-8.3-4 of 3.1.1
	case o&optionReserved != 0:
		c.malformed("reserved subscription options") // [MQTT-3.8.3-5]
	case o&optionRetainHandling == optionRetainHandling:
		c.illegal("retain handling 3")
	case o&optionNoLocal != 0 && strings.HasPrefix(filter, sharePrefix):
		c.illegal("no local on a shared subscription") // [MQTT-3.8.3-4]
	default:
		s.NoLocal = o&optionNoLocal != 0
		s.RetainAsPublished = o&optionRetainAsPublished != 0
		s.RetainHandling = mqtt.RetainHandling(o & optionRetainHandling >> 4)
	}
	if !s.QoS.Valid() {
		c.illegal("QoS 3")
	}
	return s
}

// countFilters looks ahead through filters with so many option bytes behind
// each, so that memory is taken only for a packet whose lengths agree.
func (d *Decoder) countFilters(c *cursor, options int) int {
	n, ahead := 0, *c
	for ahead.left() > 0 && !ahead.bad() {
		ahead.binary()
		ahead.take(options)
		n++
	}
	switch {
	case ahead.bad():
		c.fail(ahead.code, ahead.detail)
	case n == 0:
		c.illegal("no topic filter") // [MQTT-3.8.3-2] [MQTT-3.10.3-2]
	case n > d.limits.filters():
		c.fail(mqtt.QuotaExceeded, "too many topic filters")
	}
	return n
}

func (p *Subscribe) write(w *writer, v mqtt.Version) {
	w.id(p.ID)
	if v == mqtt.V5 {
		block := w.begin()
		if p.SubscriptionID != 0 {
			w.propSubID(p.SubscriptionID)
		}
		w.propUser(p.User)
		w.end(block)
	}
	if len(p.Subscriptions) == 0 {
		w.fail(errNoFilter)
	}
	for i := range p.Subscriptions {
		s := &p.Subscriptions[i]
		if !s.QoS.Valid() {
			w.fail(errQoS)
		}
		w.text(s.Filter)
		if v == mqtt.V5 {
			w.uint8(optionsOf(s))
		} else {
			w.uint8(byte(s.QoS))
		}
	}
}

func optionsOf(s *mqtt.Subscription) byte {
	o := byte(s.QoS) | byte(s.RetainHandling)<<4&optionRetainHandling
	if s.NoLocal {
		o |= optionNoLocal
	}
	if s.RetainAsPublished {
		o |= optionRetainAsPublished
	}
	return o
}
