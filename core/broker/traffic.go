package broker

import "sync/atomic"

// traffic counts one connection. What it counts is counted for the whole broker
// as well.
type traffic struct {
	packetsIn, packetsOut, messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
}

// fill reads once from the network, into the decoder.
func (c *conn) fill() error {
	before := c.dec.Buffered()
	err := c.dec.Fill(c.nc)
	c.countIn(c.dec.Buffered() - before)
	return err
}

// countIn counts bytes that were read.
func (c *conn) countIn(n int) {
	c.counts.bytesIn.Add(uint64(n))
	c.b.stats.bytesIn.Add(uint64(n))
}

// countPacketIn counts a packet of any type that was read.
func (c *conn) countPacketIn() {
	c.counts.packetsIn.Add(1)
	c.b.stats.packetsIn.Add(1)
}

// countMessageIn counts a PUBLISH that was read.
func (c *conn) countMessageIn(payload int) {
	c.counts.messagesIn.Add(1)
	c.b.stats.messagesIn.Add(1)
	c.b.stats.payloadIn.Add(uint64(payload))
}

// countOut counts a packet of any type that is to be written.
func (c *conn) countOut() {
	c.counts.packetsOut.Add(1)
	c.b.stats.packetsOut.Add(1)
}

// countMessageOut counts a PUBLISH that is to be written.
func (c *conn) countMessageOut(payload int) {
	c.counts.messagesOut.Add(1)
	c.b.stats.messagesOut.Add(1)
	c.b.stats.payloadOut.Add(uint64(payload))
}
