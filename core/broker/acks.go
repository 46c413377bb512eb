package broker

import (
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// acknowledged handles PUBACK, PUBREC, PUBREL and PUBCOMP. Late and repeated
// ones are no error.
func (c *conn) acknowledged(p *packet.Ack) *ending {
	sess := c.client.sess
	switch p.Kind {
	case packet.PUBACK:
		d, found := sess.Puback(p.ID)
		c.receipt(d, found, p.Code)
	case packet.PUBREC:
		reply, send, d, done := sess.Pubrec(p.ID, p.Code)
		if !send && reply == mqtt.ProtocolError {
			return protocolError("PUBREC for a message of QoS 1")
		}
		if send {
			c.answer(c.position(), packet.PUBREL, p.ID, reply)
		}
		c.receipt(d, done, p.Code)
	case packet.PUBREL:
		code := mqtt.Success
		if !sess.Release(p.ID) {
			code = mqtt.PacketIdentifierNotFound
		}
		if c.version != mqtt.V5 {
			code = mqtt.Success
		}
		c.answer(c.position(), packet.PUBCOMP, p.ID, code)
	case packet.PUBCOMP:
		d, found := sess.Pubcomp(p.ID)
		c.receipt(d, found, p.Code)
	}
	return nil
}

// answer queues an acknowledgement, to go out when a position of the log is
// written; 0 for at once.
func (c *conn) answer(position uint64, kind packet.Type, id uint16, code mqtt.ReasonCode) {
	if code == mqtt.Success {
		c.w.acknowledge(position, kind, id)
		return
	}
	c.w.sendAfter(position, &packet.Ack{Kind: kind, ID: id, Code: code})
}

// receipt tells whoever waits, and observers, that a receiver has acknowledged a
// message.
func (c *conn) receipt(d mqtt.Delivery, complete bool, code mqtt.ReasonCode) {
	if !complete || d.Message == nil {
		return
	}
	c.client.receipts.acknowledged(d.Message, code)
	if t := c.b.force.Load().tracer; t != nil {
		t.Acknowledged(d.Message, c.client.id, code)
	}
	if c.b.hooks.Observes(hook.Acknowledged) {
		c.b.emit(c.client, &hook.Event{Kind: hook.Acknowledged, Message: d.Message, Code: code})
	}
}
