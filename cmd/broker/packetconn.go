package main

import (
	"bytes"
	"net"
	"sync"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// packetConn writes whole packets, and tells of each PUBLISH that it has written.
// The library locks it while it writes one.
type packetConn struct {
	net.Conn
	published chan struct{}    // has room for one
	will      *mqtt.Properties // of the CONNECT, of which the library writes the user properties alone; nil if there is no will

	mu     sync.Mutex // guards the fields below
	packet []byte     // what the packet that is being written has so far
	err    error      // of the last packet
}

func newPacketConn(c net.Conn, will *mqtt.Properties) *packetConn {
	return &packetConn{Conn: c, will: will, published: make(chan struct{}, 1)}
}

// Lock begins a packet.
func (c *packetConn) Lock() { c.mu.Lock() }

// Write takes a part of a packet. The caller has locked c.
func (c *packetConn) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	c.packet = append(c.packet, b...)
	return len(b), nil
}

// Unlock writes the packet. That it can't be written the library learns with the
// next one, if not by reading before.
func (c *packetConn) Unlock() {
	var kind packet.Type
	if len(c.packet) > 0 {
		if kind = packet.Type(c.packet[0] >> 4); kind == packet.CONNECT && c.will != nil {
			c.packet, c.err = withWill(c.packet, c.will)
		}
		if c.err == nil {
			_, c.err = c.Conn.Write(c.packet)
		}
		c.packet = c.packet[:0]
	}
	c.mu.Unlock()
	if kind == packet.PUBLISH {
		select {
		case c.published <- struct{}{}:
		default: // nobody looks
		}
	}
}

// withWill returns a CONNECT whose will has the given properties.
func withWill(connect []byte, will *mqtt.Properties) ([]byte, error) {
	dec := packet.NewDecoder(uint32(len(connect))) //nolint:gosec // a packet
	if err := dec.Fill(bytes.NewReader(connect)); err != nil {
		return nil, err
	}
	p, err := dec.Next()
	if err != nil {
		return nil, err
	}
	if c, ok := p.(*packet.Connect); ok && c.Will != nil {
		c.Will.Properties = will
	}
	return (&packet.Encoder{Version: mqtt.V5}).Append(nil, p)
}
