//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/chaos/ledger"
)

// window is how many messages a publisher has unacknowledged at most.
const window = 20

// publisher sends numbered messages of QoS 1 and 2 in turns, and goes on after
// each break where the protocol says: what was not acknowledged is sent again,
// under its identifier and in its order.
type publisher struct {
	link
	book  *ledger.Ledger
	pause time.Duration // between messages

	flying []*flight // in order
	lastID uint16
	last   time.Time
	state  atomic.Uint64 // the number of the last state that was acknowledged
	sent   atomic.Uint64 // and that was sent
}

// flight is a message whose last acknowledgement has not come.
type flight struct {
	id       uint16
	qos      mqtt.QoS
	number   uint64
	state    uint64 // not zero: it is a retained state, of this number
	released bool   // PUBREC came
}

// run publishes until stop ends, and then until everything is acknowledged or
// ctx ends.
func (p *publisher) run(ctx, stop context.Context) error {
	for {
		if err := p.connect(ctx); err != nil {
			return err
		}
		p.resend()
		err := p.work(ctx, stop)
		if err == nil || ctx.Err() != nil {
			p.close()
			return ctx.Err()
		}
	}
}

// work publishes over one connection; nil means that nothing is left to do.
func (p *publisher) work(ctx, stop context.Context) error {
	for ctx.Err() == nil {
		stopped := stop.Err() != nil
		if stopped && len(p.flying) == 0 {
			return nil
		}
		for !stopped && len(p.flying) < window && time.Since(p.last) >= p.pause {
			p.publish()
		}
		if err := p.flush(); err != nil {
			return err
		}
		within := stall
		if len(p.flying) < window {
			within = max(p.pause-time.Since(p.last), time.Millisecond)
		}
		err := p.each(within, p.handle)
		if errors.Is(err, errStalled) && within < stall {
			continue // it is time for another one
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// publish sends the next message, each twentieth a retained state beside.
func (p *publisher) publish() {
	p.last = time.Now()
	f := &flight{id: p.nextID(), qos: mqtt.QoS(1 + p.lastID%2)}
	if p.lastID%20 == 0 {
		f.state = p.sent.Add(1)
	} else {
		f.number = p.book.Send(p.id, f.qos)
	}
	p.flying = append(p.flying, f)
	p.transmit(f, false)
}

func (p *publisher) nextID() uint16 {
	for {
		p.lastID++
		taken := p.lastID == 0
		for _, f := range p.flying {
			taken = taken || f.id == p.lastID
		}
		if !taken {
			return p.lastID
		}
	}
}

func (p *publisher) transmit(f *flight, dup bool) {
	m := mqtt.Message{Topic: "chaos/" + p.id, Payload: payload(p.id, f.number), QoS: f.qos}
	if f.state > 0 {
		m = mqtt.Message{Topic: "state/" + p.id, Payload: fmt.Appendf(nil, "%d", f.state), QoS: f.qos, Retain: true}
	}
	p.send(&packet.Publish{ID: f.id, Dup: dup, Message: m})
}

// payload is what a message says, with a checksum: damage must not go unnoticed.
func payload(publisher string, number uint64) []byte {
	b := fmt.Appendf(nil, "%s %d ", publisher, number)
	return fmt.Appendf(b, "%08x", crc32.ChecksumIEEE(b))
}

// parse reads a payload; false if it is not one.
func parse(b []byte) (publisher string, number uint64, ok bool) {
	var sum uint32
	if _, err := fmt.Sscanf(string(b), "%s %d %x", &publisher, &number, &sum); err != nil {
		return "", 0, false
	}
	return publisher, number, string(payload(publisher, number)) == string(b)
}

// resend queues everything that is not acknowledged [MQTT-4.4.0-1].
func (p *publisher) resend() {
	for _, f := range p.flying {
		if f.released {
			p.ack(packet.PUBREL, f.id)
		} else {
			p.transmit(f, true)
		}
	}
}

func (p *publisher) handle(pk packet.Packet) error {
	a, ok := pk.(*packet.Ack)
	if !ok {
		return fmt.Errorf("got %+v", pk)
	}
	for i, f := range p.flying {
		if f.id != a.ID {
			continue
		}
		if a.Kind != packet.PUBCOMP && !f.released && a.Code < 0x80 {
			p.taken(f)
		}
		if a.Kind == packet.PUBREC && a.Code < 0x80 {
			f.released = true
			p.ack(packet.PUBREL, f.id)
			return nil
		}
		p.flying = append(p.flying[:i], p.flying[i+1:]...)
		return nil
	}
	return nil // of a time before the last break
}

// taken notes that the broker has promised to keep a message.
func (p *publisher) taken(f *flight) {
	p.begun = p.begun || f.qos == mqtt.ExactlyOnce // its identifier is kept
	if f.state > 0 {
		p.state.Store(max(p.state.Load(), f.state))
		return
	}
	p.book.Acked(p.id, f.number)
}
