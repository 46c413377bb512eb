package differential

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// generator draws a dialogue. It keeps a model of the clients so that all it
// draws is legal.
type generator struct {
	*rand.Rand
	models   []*model
	messages int
	author   map[string]int  // slots by the payloads that they published
	used     map[string]bool // topics
	stray    map[string]bool // messages that mosquitto alone has sent, by client
}

func newGenerator(r *rand.Rand, episode int) *generator {
	g := &generator{Rand: r, author: make(map[string]int), used: make(map[string]bool), stray: make(map[string]bool)}
	for i, c := range casts {
		g.models = append(g.models, &model{id: fmt.Sprintf("e%dc%d", episode, i), version: c.version, class: c.class, subs: make(map[string]mqtt.Subscription)})
	}
	return g
}

// step draws the next one.
func (g *generator) step() *step {
	slot := g.IntN(len(g.models))
	m := g.models[slot]
	s := &step{slot: slot}
	if !m.online {
		g.connect(m, s)
		return s
	}
	switch n := g.IntN(100); {
	case n < 45:
		g.publish(m, s)
	case n < 65 && !(m.class == narrow && m.hold != holdNothing): // retained messages come in any order
		g.subscribe(m, s)
	case n < 72:
		g.unsubscribe(m, s)
	case n < 80 && m.class != share:
		g.holdOrGive(m, s)
	case n < 84:
		s.op = opRepeat
		s.packets = []packet.Packet{g.message(m, mqtt.ExactlyOnce)}
	case n < 86 && m.mayHalve():
		g.half(m, s)
	case n < 91:
		g.disconnect(m, s)
	case n < 96 && m.mayBreak():
		s.op = opDrop
		g.over(m, s, false)
	default:
		g.connect(m, s)
	}
	return s
}

func (g *generator) connect(m *model, s *step) {
	p := plainConnect(m.id)
	p.Version, p.CleanStart = m.version, m.class == share || g.IntN(3) == 0
	if m.pending { // see will-at-session-end
		p.CleanStart = false
	}
	if m.online && !m.mayTakeOver(p.CleanStart) {
		g.publish(m, s)
		return
	}
	if g.IntN(5) < 2 {
		p.Will = g.newWill(m, s.slot)
	}
	expiry := uint32(neverExpires)
	if m.version == mqtt.V5 {
		expiry = g.connectV5(m, p)
	} else if p.CleanStart {
		expiry = 0
	}
	s.op, s.connect = opConnect, p
	if m.online {
		g.takeOver(m, s, p.CleanStart)
	}
	m.pending = false // cancelled [MQTT-3.1.3-9]
	if p.CleanStart {
		clear(m.subs)
	}
	m.online, m.connect, m.expiry, m.will = true, p, expiry, p.Will
	m.hold, m.alias = holdNothing, make(map[uint16]string)
}

// half draws a QoS 2 message whose connection breaks.
func (g *generator) half(m *model, s *step) {
	s.op = opHalf
	p := g.message(m, mqtt.ExactlyOnce)
	p.HasAlias = false // it would have to be set again
	if p.Message.Topic == "" {
		p.Message.Topic = g.topic()
	}
	again := *m.connect
	again.CleanStart = false
	s.connect, s.packets = &again, []packet.Packet{p}
	m.connect, m.alias = &again, make(map[uint16]string)
	if g.IntN(2) == 0 {
		dup := *p
		dup.Dup = true
		s.packets = append(s.packets, &dup)
	}
}

func (g *generator) connectV5(m *model, p *packet.Connect) (expiry uint32) {
	if m.class != share && g.IntN(4) > 0 {
		p.HasSessionExpiry = true
		p.SessionExpiry = []uint32{0, 1000, 1000, neverExpires}[g.IntN(4)]
	}
	if m.class == narrow {
		p.ReceiveMaximum = uint16(1 + g.IntN(3))
	}
	if g.IntN(8) == 0 && m.class == wide { // see too-large-quota
		p.MaximumPacketSize = 250
	}
	if g.IntN(2) == 0 {
		p.TopicAliasMaximum = uint16(1 + g.IntN(4))
	}
	return p.SessionExpiry
}

// newWill draws a will. Now and then its topic is one that others subscribe to.
func (g *generator) newWill(m *model, slot int) *packet.Will {
	g.messages++
	w := &packet.Will{
		Topic: fmt.Sprintf("will/%d", slot), Payload: fmt.Appendf(nil, "will%d", g.messages),
		QoS: mqtt.QoS(g.IntN(3)), Retain: g.IntN(4) == 0,
	}
	g.author[string(w.Payload)] = slot
	if m.version == mqtt.V5 {
		w.Properties = g.properties()
		if g.IntN(3) == 0 {
			w.Delay = 1000
		}
	}
	return w
}

// takeOver ends a connection because of another one.
func (g *generator) takeOver(m *model, s *step, clean bool) {
	if m.will != nil && m.will.Delay == 0 {
		s.will = string(m.will.Payload)
	}
}

// over ends a connection, and the session if its time is up. graceful drops the
// will.
func (g *generator) over(m *model, s *step, graceful bool) {
	m.online, m.hold = false, holdNothing
	m.pending = false
	if m.will != nil && !graceful {
		m.pending = m.will.Delay > 0
		if !m.pending {
			s.will = string(m.will.Payload)
		}
	}
	if m.expiry == 0 {
		clear(m.subs)
	}
}

func (g *generator) disconnect(m *model, s *step) {
	p := &packet.Disconnect{}
	if m.version == mqtt.V5 {
		if m.expiry != 0 && g.IntN(4) == 0 {
			p.HasSessionExpiry = true
			p.SessionExpiry = []uint32{0, 2000}[g.IntN(2)]
			m.expiry = p.SessionExpiry
		}
		if m.mayBreak() && g.IntN(4) == 0 {
			p.Code = mqtt.DisconnectWithWill
		}
	}
	s.op, s.packets = opDisconnect, []packet.Packet{p}
	g.over(m, s, p.Code == mqtt.Success)
}

func (g *generator) holdOrGive(m *model, s *step) {
	s.op = opHold
	if m.hold == holdNothing {
		s.hold = hold(1 + g.IntN(2))
	}
	m.hold = s.hold
}

func (g *generator) subscribe(m *model, s *step) {
	from := wideFilters
	switch m.class {
	case narrow:
		from = narrowFilters
	case share:
		from = shareFilters[m.version]
	}
	p := &packet.Subscribe{ID: m.nextID()}
	if m.version == mqtt.V5 && m.class != share && g.IntN(2) == 0 {
		p.SubscriptionID = []uint32{1, 2, 127, 128, 16_383, 268_435_455}[g.IntN(6)]
	}
	for _, i := range g.Perm(len(from))[:1+g.IntN(3)] {
		filter := from[i]
		if m.class == wide && g.IntN(3) == 0 {
			filter = g.filter()
		}
		sub := g.subscription(m, filter, p.SubscriptionID)
		p.Subscriptions = append(p.Subscriptions, sub)
		m.subs[filter] = sub
	}
	s.op, s.packets = opRequest, []packet.Packet{p}
}

func (g *generator) subscription(m *model, filter string, id uint32) mqtt.Subscription {
	sub := mqtt.Subscription{Filter: filter, QoS: mqtt.QoS(g.IntN(3)), ID: id}
	if m.class == share {
		sub.QoS = mqtt.QoS(len(filter) % 3) // the same for all members of a group
		return sub
	}
	if m.version == mqtt.V5 {
		sub.NoLocal = g.IntN(4) == 0
		sub.RetainAsPublished = g.IntN(2) == 0
		sub.RetainHandling = mqtt.RetainHandling(g.IntN(3))
	}
	if had, ok := m.subs[filter]; ok { // see resubscribe-options
		sub.NoLocal, sub.RetainAsPublished = had.NoLocal, had.RetainAsPublished
	}
	return sub
}

func (g *generator) unsubscribe(m *model, s *step) {
	p := &packet.Unsubscribe{ID: m.nextID()}
	for range 1 + g.IntN(2) {
		filter := wideFilters[g.IntN(len(wideFilters))] // it may not exist
		if len(m.subs) > 0 && g.IntN(4) > 0 {
			filter = slices.Sorted(maps.Keys(m.subs))[g.IntN(len(m.subs))]
		}
		code := mqtt.NoSubscriptionExisted
		if _, ok := m.subs[filter]; ok {
			code = mqtt.Success
		}
		delete(m.subs, filter)
		p.Filters = append(p.Filters, filter)
		s.unsuback = append(s.unsuback, code)
	}
	s.op, s.packets = opRequest, []packet.Packet{p}
}

func (g *generator) publish(m *model, s *step) {
	s.op = opPublish
	qos := mqtt.QoS(g.IntN(3)) // of all, for the order between two is free
	for range 1 + g.IntN(3) {
		s.packets = append(s.packets, g.message(m, qos))
	}
}

func (g *generator) message(m *model, qos mqtt.QoS) *packet.Publish {
	g.messages++
	p := &packet.Publish{Message: mqtt.Message{
		Topic: g.topic(), Payload: fmt.Appendf(nil, "m%d", g.messages), QoS: qos, Retain: g.IntN(5) == 0,
	}}
	switch {
	case p.Message.Retain && g.IntN(3) == 0:
		p.Message.Payload = nil
	case g.IntN(10) == 0:
		p.Message.Payload = append(p.Message.Payload, strings.Repeat(".", 300)...)
	}
	g.author[string(p.Message.Payload)] = slices.Index(g.models, m)
	if qos > 0 {
		p.ID = m.nextID()
	}
	if m.version == mqtt.V5 {
		p.Message.Properties = g.properties()
		g.setAlias(m, p)
	}
	return p
}

// setAlias lets some topics travel as an alias.
func (g *generator) setAlias(m *model, p *packet.Publish) {
	if g.IntN(3) > 0 {
		return
	}
	p.Alias, p.HasAlias = uint16(1+g.IntN(5)), true
	if known := m.alias[p.Alias]; known != "" && g.IntN(2) == 0 {
		p.Message.Topic = ""
		return
	}
	m.alias[p.Alias] = p.Message.Topic
}

func (g *generator) properties() *mqtt.Properties {
	if g.IntN(3) > 0 {
		return nil
	}
	p := new(mqtt.Properties)
	if g.IntN(2) == 0 {
		p.Expiry, p.HasExpiry = uint32(expiryStep*(1+g.IntN(3))), true
	}
	if g.IntN(2) == 0 {
		p.PayloadIsUTF8, p.HasPayloadFormat = g.IntN(2) == 0, true
	}
	if g.IntN(3) == 0 {
		p.ContentType, p.ResponseTopic, p.CorrelationData = "text/plain", "reply/to", []byte{0, 1, 2}
	}
	for i := range g.IntN(3) {
		p.User = append(p.User, mqtt.UserProperty{Key: "k", Value: fmt.Sprint(i)}, mqtt.UserProperty{Key: "", Value: ""})
	}
	return p
}
