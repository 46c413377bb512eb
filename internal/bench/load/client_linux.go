package load

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// patience bounds the wait for an answer of the broker.
const patience = 20 * time.Second

// Client is a connection that was accepted.
type Client struct {
	*Conn
	Index int // among those that were dialled together

	on       func(*Client, Packet) // gets what is no answer to a call in hand
	waiting  byte                  // the type of the packet that a call waits for
	answered bool
}

// Dial connects clients, many at a time, and returns when all are accepted.
// Their other packets go to on, which may be nil.
func Dial(l *Loop, addr netip.AddrPort, hello [][]byte, on func(*Client, Packet)) ([]*Client, error) {
	// As many as a listener's backlog holds everywhere.
	const together = 64
	out := make([]*Client, 0, len(hello))
	for chunk := range slices.Chunk(hello, together) {
		first := len(out)
		for _, h := range chunk {
			c := &Client{Index: len(out), on: on, waiting: connack}
			var err error
			if c.Conn, err = l.Dial(addr, c.receive); err != nil {
				return nil, err
			}
			c.Append(h...)
			c.Flush()
			out = append(out, c)
		}
		if err := wait(l, out[first:]); err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
	}
	return out, nil
}

func (c *Client) receive(p Packet) {
	if c.waiting != 0 && p.Type == c.waiting {
		c.waiting, c.answered = 0, true
		if p.Type == connack {
			if err := accepted(p); err != nil {
				c.loop.fail(err)
			}
		}
		return
	}
	if c.on != nil {
		c.on(c, p)
	}
}

// Take does what a receiver of messages does with a packet: it returns the
// payload of a PUBLISH, which is valid as long as p, and answers. It returns
// nil for the rest of a QoS 2 exchange; anything else ends the run.
func (c *Client) Take(p Packet) (payload []byte) {
	id := p.ID()
	switch p.Type {
	case publish:
		var qos byte
		var err error
		if qos, id, payload, err = p.message(); err != nil {
			c.loop.fail(err)
		}
		switch qos {
		case 1:
			c.Append(puback<<4, 2, byte(id>>8), byte(id))
		case 2:
			c.Append(pubrec<<4, 2, byte(id>>8), byte(id))
		}
	case pubrel:
		c.Append(pubcomp<<4, 2, byte(id>>8), byte(id))
	default:
		c.loop.fail(fmt.Errorf("a subscriber received packet type %d", p.Type))
	}
	return payload
}

// Ask sends a packet to which each of the clients gets an answer of that type,
// and waits for all of them.
func Ask(l *Loop, clients []*Client, answer byte, request func(i int) []byte) error {
	for i, c := range clients {
		c.waiting, c.answered = answer, false
		c.Append(request(i)...)
		c.Flush()
	}
	return wait(l, clients)
}

// SubscribeAll subscribes each client to what filters says.
func SubscribeAll(l *Loop, clients []*Client, qos byte, filters func(i int) []string) error {
	err := Ask(l, clients, suback, func(i int) []byte { return Subscribe(1, qos, filters(i)...) })
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

func wait(l *Loop, clients []*Client) error {
	next := 0
	return l.Until(patience, func() bool {
		for next < len(clients) && clients[next].answered {
			next++
		}
		return next == len(clients)
	})
}
