//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/chaos/ledger"
)

// subscriber takes everything that is published, by a session that stays. It
// writes a message down before it acknowledges it, and remembers the QoS 2
// identifiers that it has, as a client must that is to get them once.
type subscriber struct {
	link
	book *ledger.Ledger
	qos  mqtt.QoS
	away time.Duration // how long it stays away after a break, at most

	has        map[uint16]bool // QoS 2 identifiers received and not released
	subscribed bool            // the broker has said so of the session that is there
}

// subscribe makes the session.
func (s *subscriber) subscribe(ctx context.Context) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	return s.begin()
}

// begin subscribes over a connection whose session has nothing.
func (s *subscriber) begin() error {
	s.subscribed = false
	s.send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "chaos/#", QoS: s.qos}}})
	if err := s.flush(); err != nil {
		return err
	}
	p, err := s.next()
	if err != nil {
		return err
	}
	if ack, ok := p.(*packet.Suback); !ok || len(ack.Codes) != 1 || ack.Codes[0] != mqtt.ReasonCode(s.qos) {
		return fmt.Errorf("subscribing %s: got %+v", s.id, p)
	}
	s.book.Session(s.id, s.qos)
	s.has, s.subscribed = make(map[uint16]bool), true
	s.begun = true
	return nil
}

// run receives until ctx ends.
func (s *subscriber) run(ctx context.Context) {
	for {
		err := s.receive(ctx)
		if ctx.Err() != nil {
			s.close()
			return
		}
		if !errors.Is(err, errStalled) && s.away > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(rand.N(s.away)): //nolint:gosec // any will do
			}
		}
		for {
			if s.connect(ctx) != nil {
				s.close()
				return
			}
			if s.forget {
				clear(s.has)
			}
			if s.present && s.subscribed || s.begin() == nil {
				break
			}
		}
	}
}

func (s *subscriber) receive(ctx context.Context) error {
	for {
		err := s.each(time.Second, s.handle)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errStalled) {
			continue // nothing is owed to it
		}
		if err == nil {
			err = s.flush()
		}
		if err != nil {
			return err
		}
	}
}

func (s *subscriber) handle(pk packet.Packet) error {
	switch p := pk.(type) {
	case *packet.Publish:
		if p.Message.QoS == mqtt.ExactlyOnce && s.has[p.ID] {
			s.ack(packet.PUBREC, p.ID)
			return nil
		}
		if name, number, ok := parse(p.Message.Payload); ok {
			s.book.Received(s.id, name, number)
		} else {
			s.book.Foreign(s.id, p.Message.Payload)
		}
		switch p.Message.QoS {
		case mqtt.AtLeastOnce:
			s.ack(packet.PUBACK, p.ID)
		case mqtt.ExactlyOnce:
			s.has[p.ID] = true
			s.ack(packet.PUBREC, p.ID)
		}
	case *packet.Ack:
		if p.Kind == packet.PUBREL {
			delete(s.has, p.ID)
			s.ack(packet.PUBCOMP, p.ID)
		}
	case *packet.Disconnect:
		return fmt.Errorf("disconnected: %v", p.Code)
	}
	return nil
}
