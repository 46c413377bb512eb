package differential

import (
	"fmt"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// op is what a step does.
type op uint8

const (
	opConnect    op = iota // connect, or take over
	opDisconnect           // say goodbye: packets[0]
	opDrop                 // break off
	opRequest              // SUBSCRIBE or UNSUBSCRIBE: packets[0]
	opPublish              // PUBLISHes, with their acknowledgements
	opRepeat               // a QoS 2 PUBLISH twice, the second time with DUP
	opHalf                 // half of a QoS 2 exchange, a break, the rest: see half
	opHold                 // hold answers, or give them
)

var opNames = [...]string{"connect", "disconnect", "drop", "request", "publish", "repeat", "half", "hold"}

// step is one step of a dialogue, the same for both brokers. Its packets are
// only read.
type step struct {
	op      op
	slot    int
	connect *packet.Connect
	packets []packet.Packet
	hold    hold

	unsuback []mqtt.ReasonCode // what an UNSUBSCRIBE has to be answered

	// will is the payload of a will that the step makes due; the watcher waits
	// for it.
	will string
}

// String shows a step in one line.
func (s *step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "client %d: %s", s.slot, opNames[s.op])
	if s.op == opHold {
		fmt.Fprintf(&b, " %d", s.hold)
	}
	if s.connect != nil {
		b.WriteString(" " + showConnect(s.connect))
	}
	for _, p := range s.packets {
		b.WriteString(" " + show(p))
	}
	if s.will != "" {
		fmt.Fprintf(&b, " (will %s)", s.will)
	}
	return b.String()
}

func showConnect(p *packet.Connect) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s clean=%t", p.Version, p.ClientID, p.CleanStart)
	if p.HasSessionExpiry {
		fmt.Fprintf(&b, " expiry=%d", p.SessionExpiry)
	}
	if p.ReceiveMaximum != 65_535 {
		fmt.Fprintf(&b, " receive-maximum=%d", p.ReceiveMaximum)
	}
	if p.MaximumPacketSize != 0 {
		fmt.Fprintf(&b, " packet-size=%d", p.MaximumPacketSize)
	}
	if p.TopicAliasMaximum != 0 {
		fmt.Fprintf(&b, " aliases=%d", p.TopicAliasMaximum)
	}
	if w := p.Will; w != nil {
		fmt.Fprintf(&b, " will{%s %q qos=%d retain=%t delay=%d}", w.Topic, w.Payload, w.QoS, w.Retain, w.Delay)
	}
	return b.String()
}

func show(p packet.Packet) string {
	switch p := p.(type) {
	case *packet.Publish:
		e := eventOf(p)
		e.id = p.ID
		alias := ""
		if p.HasAlias {
			alias = fmt.Sprintf(" alias=%d", p.Alias)
		}
		return "{" + e.String() + alias + "}"
	case *packet.Subscribe:
		var b strings.Builder
		fmt.Fprintf(&b, "{SUBSCRIBE id=%d sub=%d", p.ID, p.SubscriptionID)
		for _, s := range p.Subscriptions {
			fmt.Fprintf(&b, " [%s qos=%d nl=%t rap=%t rh=%d]", s.Filter, s.QoS, s.NoLocal, s.RetainAsPublished, s.RetainHandling)
		}
		return b.String() + "}"
	case *packet.Unsubscribe:
		return fmt.Sprintf("{UNSUBSCRIBE id=%d %q}", p.ID, p.Filters)
	case *packet.Disconnect:
		return fmt.Sprintf("{DISCONNECT code=%x expiry=%d,%t}", p.Code, p.SessionExpiry, p.HasSessionExpiry)
	default:
		return fmt.Sprintf("%#v", p)
	}
}

// apply does a step at one broker and returns when it has had its effect.
func (w *world) apply(s *step) error {
	sl := w.slots[s.slot]
	switch s.op {
	case opConnect:
		return w.connect(sl, s.connect)
	case opDisconnect:
		if err := sl.client.send(s.packets[0]); err != nil {
			return err
		}
		return w.left(sl)
	case opDrop:
		// The broker closes its half when it has noticed.
		if err := sl.client.nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			return err
		}
		return w.left(sl)
	case opRequest:
		return sl.request(s.packets[0])
	case opPublish:
		return sl.publish(s.packets)
	case opRepeat:
		return sl.repeat(s.packets[0].(*packet.Publish))
	case opHalf:
		return w.half(sl, s)
	default:
		return sl.client.setHold(s.hold)
	}
}

// left waits for the end of a connection that the client wanted to end.
func (w *world) left(sl *slot) error {
	if err := sl.client.awaitClosed(); err != nil {
		return err
	}
	sl.retire()
	return nil
}

func (sl *slot) request(p packet.Packet) error {
	kind, id := packet.UNSUBACK, uint16(0)
	switch p := p.(type) {
	case *packet.Subscribe:
		kind, id = packet.SUBACK, p.ID
	case *packet.Unsubscribe:
		id = p.ID
	}
	if err := sl.client.send(p); err != nil {
		return err
	}
	_, err := sl.client.answered(kind, id)
	return err
}

func (sl *slot) publish(ps []packet.Packet) error {
	if err := sl.client.send(ps...); err != nil {
		return err
	}
	for _, p := range ps {
		if err := sl.complete(p.(*packet.Publish)); err != nil {
			return err
		}
	}
	return nil
}

// complete takes the acknowledgements of a PUBLISH to their end.
func (sl *slot) complete(p *packet.Publish) error {
	c := sl.client
	switch p.Message.QoS {
	case mqtt.AtLeastOnce:
		_, err := c.answered(packet.PUBACK, p.ID)
		return err
	case mqtt.ExactlyOnce:
		rec, err := c.answered(packet.PUBREC, p.ID)
		if err != nil || rec.codes[0].Failed() {
			return err
		}
		if err := c.send(&packet.Ack{Kind: packet.PUBREL, ID: p.ID}); err != nil {
			return err
		}
		_, err = c.answered(packet.PUBCOMP, p.ID)
		return err
	default:
		return nil // the ping that follows is answered behind it
	}
}

// repeat sends a message as a client does that got no answer.
func (sl *slot) repeat(p *packet.Publish) error {
	again := *p
	again.Dup = true
	if err := sl.client.send(p, &again); err != nil {
		return err
	}
	return sl.complete(p)
}

// half publishes with QoS 2, loses its connection after the PUBREC, comes back,
// and goes on where it was; or, if there is a second packet, begins again with
// that.
func (w *world) half(sl *slot, s *step) error {
	p := s.packets[0].(*packet.Publish)
	if err := sl.client.send(p); err != nil {
		return err
	}
	if _, err := sl.client.answered(packet.PUBREC, p.ID); err != nil {
		return err
	}
	if err := w.apply(&step{op: opDrop, slot: s.slot}); err != nil {
		return err
	}
	if err := w.connect(sl, s.connect); err != nil {
		return err
	}
	if len(s.packets) > 1 {
		return sl.publish(s.packets[1:])
	}
	if err := sl.client.send(&packet.Ack{Kind: packet.PUBREL, ID: p.ID}); err != nil {
		return err
	}
	_, err := sl.client.answered(packet.PUBCOMP, p.ID)
	return err
}
