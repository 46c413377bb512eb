package broker

import (
	"sync/atomic"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// traffic counts one connection. What it counts is counted for the whole broker
// as well.
type traffic struct {
	packetsIn, packetsOut, messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64

	since atomic.Pointer[counts] // what does not count any more; nil: everything counts
}

// counts is a reading of traffic.
type counts struct {
	packetsIn, packetsOut, messagesIn, messagesOut, bytesIn, bytesOut uint64
}

// all reads everything that was counted.
func (t *traffic) all() counts {
	return counts{
		packetsIn: t.packetsIn.Load(), packetsOut: t.packetsOut.Load(),
		messagesIn: t.messagesIn.Load(), messagesOut: t.messagesOut.Load(),
		bytesIn: t.bytesIn.Load(), bytesOut: t.bytesOut.Load(),
	}
}

// read reads what was counted since the last reset.
func (t *traffic) read() counts {
	before := t.since.Load()
	n := t.all()
	if before == nil {
		return n
	}
	return counts{
		packetsIn: n.packetsIn - before.packetsIn, packetsOut: n.packetsOut - before.packetsOut,
		messagesIn: n.messagesIn - before.messagesIn, messagesOut: n.messagesOut - before.messagesOut,
		bytesIn: n.bytesIn - before.bytesIn, bytesOut: n.bytesOut - before.bytesOut,
	}
}

// reset begins to count anew.
func (t *traffic) reset() {
	n := t.all()
	t.since.Store(&n)
}

// fill reads once from the network, into the decoder.
func (c *conn) fill() error {
	before := c.dec.Buffered()
	err := c.dec.Fill(&c.dec.from)
	c.countIn(c.dec.Buffered() - before)
	return err
}

// countIn counts bytes that were read.
func (c *conn) countIn(n int) {
	c.counts.bytesIn.Add(uint64(n))
	c.b.stats.bytesIn.Add(uint64(n))
}

// countBytesOut counts bytes that were written.
func (c *conn) countBytesOut(n int) {
	c.counts.bytesOut.Add(uint64(n))  //nolint:gosec // not negative
	c.b.stats.bytesOut.Add(uint64(n)) //nolint:gosec // not negative
}

// countPacketIn counts a packet of any type that was read.
func (c *conn) countPacketIn() {
	c.counts.packetsIn.Add(1)
	c.b.stats.packetsIn.Add(1)
}

// tally gathers what one read brought, or one write takes, to be counted at
// once: all connections share the broker's counters. What one read brings, or
// one write takes, is far from the end of these numbers.
type tally struct {
	packets           uint64
	messages, payload [mqtt.ExactlyOnce + 1]uint32 // by QoS
}

// message adds a PUBLISH, but not to the packets.
func (t *tally) message(qos mqtt.QoS, payload int) {
	t.messages[qos]++
	t.payload[qos] += uint32(payload) //nolint:gosec // at most the size of a packet
}

// passed adds PUBLISH packets of QoS 0.
func (t *tally) passed(p *session.Passed) {
	t.packets += uint64(p.Messages)                   //nolint:gosec // not negative
	t.messages[mqtt.AtMostOnce] += uint32(p.Messages) //nolint:gosec // bounded by what a session takes
	t.payload[mqtt.AtMostOnce] += uint32(p.Payload)   //nolint:gosec // likewise
}

// flow counts PUBLISH packets of one version and direction by their QoS.
type flow struct {
	messages, payload [mqtt.ExactlyOnce + 1]atomic.Uint64
}

// add counts what was gathered and returns the number of messages.
func (f *flow) add(t *tally) (messages uint64) {
	for qos, n := range t.messages {
		if n > 0 {
			messages += uint64(n)
			f.messages[qos].Add(uint64(n))
			f.payload[qos].Add(uint64(t.payload[qos]))
		}
	}
	return messages
}

// countArrived counts what was read. Called by the reader.
func (c *conn) countArrived(t tally) {
	c.counts.packetsIn.Add(t.packets)
	c.b.stats.packetsIn.Add(t.packets)
	if n := c.b.stats.in[versionAt(c.version)].add(&t); n > 0 {
		c.counts.messagesIn.Add(n)
	}
}

// countLeaving counts what is about to be written.
func (c *conn) countLeaving(t tally) {
	if t.packets == 0 {
		return
	}
	c.counts.packetsOut.Add(t.packets)
	c.b.stats.packetsOut.Add(t.packets)
	if n := c.b.stats.out[versionAt(c.version)].add(&t); n > 0 {
		c.counts.messagesOut.Add(n)
	}
}

// countOut counts a packet of any type that is to be written.
func (c *conn) countOut() {
	c.counts.packetsOut.Add(1)
	c.b.stats.packetsOut.Add(1)
}
