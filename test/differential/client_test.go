package differential

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// hold is what a client leaves unanswered.
type hold uint8

const (
	holdNothing hold = iota
	holdAll          // PUBLISH and PUBREL
	holdPubrel       // PUBREL
)

// client is one connection. Its reader takes everything down and acknowledges
// it, unless it holds back.
type client struct {
	nc     net.Conn
	enc    packet.Encoder
	limits *packet.Connect // what the client has said that it takes

	writing sync.Mutex

	mu      sync.Mutex // guards the fields below
	events  []event
	pongs   int
	hold    hold
	held    []packet.Packet // answers not given yet
	aliases map[uint16]string
	sent    map[uint16]string // payloads by the broker's packet identifiers
	open    map[uint16]bool   // PUBLISHes of this connection that wait for the client's last word
	closed  bool
	changed chan struct{} // closed and replaced after every change
}

// dial opens a connection and sends the CONNECT. sent are the messages in
// flight of the client's session.
func dial(addr string, p *packet.Connect, sent map[uint16]string) (*client, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &client{
		nc: nc, enc: packet.Encoder{Version: p.Version}, limits: p, aliases: make(map[uint16]string), sent: sent,
		open: make(map[uint16]bool), changed: make(chan struct{}),
	}
	if err := c.send(p); err != nil {
		return nil, err
	}
	go c.read(packet.NewClientDecoder(p.Version, p.MaximumPacketSize))
	return c, nil
}

// send writes packets at once.
func (c *client) send(ps ...packet.Packet) error {
	var buf []byte
	for _, p := range ps {
		var err error
		if buf, err = c.enc.Append(buf, p); err != nil {
			return fmt.Errorf("%#v: %w", p, err)
		}
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.nc.Write(buf)
	return err
}

func (c *client) read(dec *packet.Decoder) {
	defer c.nc.Close()
	for {
		p, err := dec.Next()
		if err == nil && p == nil {
			if err = dec.Fill(c.nc); err == nil {
				continue
			}
		}
		if err != nil {
			c.note(func() {
				c.closed = true
				c.events = append(c.events, event{kind: "closed"})
			})
			return
		}
		c.take(p)
	}
}

// note changes the fields that mu guards and tells those who wait.
func (c *client) note(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	close(c.changed)
	c.changed = make(chan struct{})
}

// take handles a packet from the broker.
func (c *client) take(p packet.Packet) {
	var answer packet.Packet
	c.note(func() {
		if _, ok := p.(*packet.Pingresp); ok {
			c.pongs++
			return
		}
		e := eventOf(p)
		answer = c.answer(p, &e)
		c.events = append(c.events, e)
		if answer != nil && c.holds(p) {
			c.held = append(c.held, answer)
			answer = nil
		}
		c.answering(answer)
	})
	if answer != nil {
		_ = c.send(answer)
	}
}

// answering takes note of an answer that is about to be sent.
func (c *client) answering(p packet.Packet) {
	if a, ok := p.(*packet.Ack); ok && (a.Kind == packet.PUBACK || a.Kind == packet.PUBCOMP) {
		delete(c.open, a.ID)
	}
}

// resolve puts the topic in the place of an alias.
func (c *client) resolve(p *packet.Publish, e *event) {
	if !p.HasAlias {
		return
	}
	if e.topic == "" {
		e.topic = c.aliases[p.Alias]
	}
	c.aliases[p.Alias] = e.topic
	if p.Alias > c.limits.TopicAliasMaximum || e.topic == "" {
		e.topic = fmt.Sprintf("no topic, but the illegal alias %d", p.Alias)
	}
}

// answer completes the event with what the connection knows, and returns what
// the packet demands.
func (c *client) answer(p packet.Packet, e *event) packet.Packet {
	switch p := p.(type) {
	case *packet.Publish:
		c.resolve(p, e)
		if p.Message.QoS > 0 {
			c.open[p.ID] = true
			if len(c.open) > int(c.limits.ReceiveMaximum) {
				e.kind += aboveMaximum
			}
		}
		switch p.Message.QoS {
		case mqtt.AtLeastOnce:
			return &packet.Ack{Kind: packet.PUBACK, ID: p.ID}
		case mqtt.ExactlyOnce:
			c.sent[p.ID] = e.payload
			return &packet.Ack{Kind: packet.PUBREC, ID: p.ID}
		}
	case *packet.Ack:
		if p.Kind == packet.PUBREL {
			e.payload = c.sent[p.ID]
			return &packet.Ack{Kind: packet.PUBCOMP, ID: p.ID}
		}
	}
	return nil
}

func (c *client) holds(p packet.Packet) bool {
	return c.hold == holdAll || c.hold == holdPubrel && p.Type() == packet.PUBREL
}

// setHold makes the client hold its answers, or give those that it holds.
func (c *client) setHold(h hold) error {
	var now []packet.Packet
	c.note(func() {
		c.hold = h
		if h == holdNothing {
			now, c.held = c.held, nil
			for _, p := range now {
				c.answering(p)
			}
		}
	})
	if len(now) == 0 {
		return nil
	}
	return c.send(now...)
}

// wait waits until ok, which is asked under the client's lock.
func (c *client) wait(patience time.Duration, what string, ok func() bool) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		done, closed, changed := ok(), c.closed, c.changed
		c.mu.Unlock()
		switch {
		case done:
			return nil
		case closed:
			return fmt.Errorf("the connection ended, waiting for %s", what)
		}
		select {
		case <-changed:
		case <-deadline.C:
			return fmt.Errorf("%s did not come", what)
		}
	}
}

// await waits for an event that is or will be there.
func (c *client) await(what string, is func(*event) bool) (found event, err error) {
	err = c.wait(program.Patience, what, func() bool {
		for i := range c.events {
			if is(&c.events[i]) {
				found = c.events[i]
				return true
			}
		}
		return false
	})
	return found, err
}

// answered waits for the answer to a request.
func (c *client) answered(kind packet.Type, id uint16) (event, error) {
	return c.await(fmt.Sprintf("%v %d", kind, id), func(e *event) bool { return e.kind == kind.String() && e.id == id })
}

// awaitClosed waits for the end of the connection.
func (c *client) awaitClosed() error {
	return c.wait(program.Patience, "the end of the connection", func() bool { return c.closed })
}

// ping sends two PINGREQs, one after the other, and waits for the answers. Ours
// may overtake what was queued before it; the second one doesn't overtake what
// was queued before the first.
func (c *client) ping() {
	for range 2 {
		c.mu.Lock()
		want := c.pongs + 1
		c.mu.Unlock()
		if c.send(&packet.Pingreq{}) != nil {
			return
		}
		_ = c.wait(program.Patience, "PINGRESP", func() bool { return c.pongs >= want })
	}
}

// count is how many events there are.
func (c *client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

// drain takes the events away.
func (c *client) drain() []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.events
	c.events = nil
	return out
}

// gone reports whether the connection has ended.
func (c *client) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}
