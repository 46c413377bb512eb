//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

const (
	// stall is how long a connection may bring nothing although something is
	// owed, before it is made anew.
	stall = 15 * time.Second
	// again is the pause before the next attempt to connect.
	again = 20 * time.Millisecond
	// neverExpires is the Session Expiry Interval of sessions that stay.
	neverExpires = 0xffffffff
)

// errStalled says that the broker answered nothing for so long.
var errStalled = errors.New("the broker answers nothing")

// link is a client's connection to the broker, made anew as often as it breaks.
// It belongs to one goroutine, but for cut.
type link struct {
	id, addr string
	begun    bool        // the session is kept: the broker has promised something by it
	afresh   atomic.Bool // forget the session at the next connection, for the broker may have it wrong
	clean    bool        // and have the broker forget it too
	run      func() int  // of the broker
	found    func(present bool, run int)
	present  bool // at the last connection the broker had a session
	forget   bool // and it was to be made afresh

	dec *packet.Decoder
	enc packet.Encoder
	out []byte // to be sent at the next flush

	mu sync.Mutex // guards the field below
	nc net.Conn
}

// connect connects until it has succeeded or ctx has ended.
func (l *link) connect(ctx context.Context) error {
	for {
		err := l.try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connecting %s: %w", l.id, errors.Join(ctx.Err(), err))
		case <-time.After(again):
		}
	}
}

func (l *link) try(ctx context.Context) error {
	l.close()
	run := l.run() // before: what an old one has said may come when it is dead
	nc, err := (&net.Dialer{Timeout: stall}).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.nc = nc
	l.mu.Unlock()
	l.dec = packet.NewClientDecoder(mqtt.V5, 0)
	l.enc = packet.Encoder{Version: mqtt.V5}
	l.out = l.out[:0]
	afresh := l.afresh.Load()
	l.send(&packet.Connect{
		Version: mqtt.V5, CleanStart: afresh && l.clean, ClientID: l.id, SessionExpiry: neverExpires, HasSessionExpiry: true, ReceiveMaximum: 65535, RequestProblemInfo: true,
	})
	if err := l.flush(); err != nil {
		return err
	}
	p, err := l.next()
	if err != nil {
		return err
	}
	ack, ok := p.(*packet.Connack)
	if !ok || ack.Code != mqtt.Success {
		return fmt.Errorf("got %+v", p)
	}
	if l.begun && !(afresh && l.clean) {
		l.found(ack.SessionPresent, run)
	}
	l.begun, l.present, l.forget = l.begun && ack.SessionPresent, ack.SessionPresent, afresh
	l.afresh.Store(false)
	return nil
}

// cut breaks the connection as a dead network does: nothing that waits is sent.
// Called from any goroutine.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tc, ok := l.nc.(*net.TCPConn); ok {
		_ = tc.SetLinger(0)
		_ = tc.Close()
	}
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc != nil {
		_ = l.nc.Close()
	}
}

// send queues a packet for the next flush. Packets of this program can be
// encoded.
func (l *link) send(p packet.Packet) {
	var err error
	if l.out, err = l.enc.Append(l.out, p); err != nil {
		panic(err)
	}
}

func (l *link) ack(kind packet.Type, id uint16) { l.send(&packet.Ack{Kind: kind, ID: id}) }

func (l *link) flush() error {
	if len(l.out) == 0 {
		return nil
	}
	_ = l.nc.SetWriteDeadline(time.Now().Add(stall))
	_, err := l.nc.Write(l.out)
	l.out = l.out[:0]
	return err
}

// next returns the next packet.
func (l *link) next() (packet.Packet, error) {
	for {
		p, err := l.dec.Next()
		if p != nil || err != nil {
			return p, err
		}
		if err := l.fill(stall); err != nil {
			return nil, err
		}
	}
}

// fill reads once, for at most so long.
func (l *link) fill(within time.Duration) error {
	_ = l.nc.SetReadDeadline(time.Now().Add(within))
	err := l.dec.Fill(l.nc)
	var t net.Error
	if errors.As(err, &t) && t.Timeout() {
		return errStalled
	}
	return err
}

// each reads once, and hands over every packet that came.
func (l *link) each(within time.Duration, f func(packet.Packet) error) error {
	if err := l.fill(within); err != nil {
		return err
	}
	for {
		p, err := l.dec.Next()
		if p == nil || err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
	}
}
