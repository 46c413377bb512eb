package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"

	"github.com/eclipse/paho.golang/paho"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// v5Client speaks MQTT 5.
type v5Client struct {
	c    *paho.Client
	conn *packetConn
	ends chan error

	// What the broker takes: messages without acknowledgement, bytes of a packet.
	receiveMaximum int
	packetSize     int64
}

func (f *mqttFlags) connect5(ctx context.Context, conn net.Conn, got func(*received)) (mqttClient, error) {
	out := &v5Client{ends: make(chan error, 1), conn: newPacketConn(conn, f.Will.properties()), receiveMaximum: math.MaxUint16, packetSize: math.MaxInt64}
	ended := func(err error) {
		select {
		case out.ends <- err:
		default:
		}
	}
	out.c = paho.NewClient(paho.ClientConfig{
		ClientID: f.ID, Conn: out.conn, PacketTimeout: dialTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			got(received5(p.Packet))
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) {
			reason := ""
			if d.Properties != nil {
				reason = d.Properties.ReasonString
			}
			ended(mqttRefusal("the broker ended the connection", d.ReasonCode, reason))
		},
		OnClientError: func(err error) { ended(fmt.Errorf("the connection is lost: %w", err)) },
	})
	ack, err := out.c.Connect(ctx, f.packet5())
	switch {
	case ack != nil && ack.ReasonCode >= 0x80:
		reason := ""
		if ack.Properties != nil {
			reason = ack.Properties.ReasonString
		}
		return nil, mqttRefusal("the broker refused the connection", ack.ReasonCode, reason)
	case err != nil:
		_ = conn.Close()
		return nil, &statusError{exitNoBroker, fmt.Errorf("%s: %w", f.URL, err)}
	}
	if p := ack.Properties; p != nil && p.ReceiveMaximum != nil {
		out.receiveMaximum = int(*p.ReceiveMaximum)
	}
	if p := ack.Properties; p != nil && p.MaximumPacketSize != nil {
		out.packetSize = int64(*p.MaximumPacketSize)
	}
	return out, nil
}

func (f *mqttFlags) packet5() *paho.Connect {
	user, _ := f.ConnectUser.properties() // checked before
	p := &paho.Connect{
		ClientID: f.ID, KeepAlive: f.KeepAlive, CleanStart: !f.KeepSession,
		Username: f.Username, UsernameFlag: f.Username != "", Password: []byte(f.Password), PasswordFlag: f.Password != "",
		Properties: &paho.ConnectProperties{RequestProblemInfo: true, User: user5(user)},
	}
	if f.SessionExpiry > 0 {
		p.Properties.SessionExpiryInterval = &f.SessionExpiry
	}
	if f.ReceiveMax > 0 {
		p.Properties.ReceiveMaximum = &f.ReceiveMax
	}
	if f.MaxPacket > 0 {
		p.Properties.MaximumPacketSize = &f.MaxPacket
	}
	if w := &f.Will; w.Topic != "" {
		p.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: []byte(w.Payload), QoS: w.QoS, Retain: w.Retain}
		p.WillProperties = new(paho.WillProperties) // see packetConn for the others
		if w.Delay > 0 {
			p.WillProperties.WillDelayInterval = &w.Delay
		}
	}
	return p
}

func user5(list []mqtt.UserProperty) paho.UserProperties {
	var out paho.UserProperties
	for _, u := range list {
		out.Add(u.Key, u.Value)
	}
	return out
}

func (c *v5Client) window() int { return c.receiveMaximum }

func (c *v5Client) begin(ctx context.Context, m *mqtt.Message) <-chan error {
	done, answer := make(chan error, 1), make(chan error, 1)
	go func() { done <- c.publish(ctx, publish5(m)) }()
	select {
	case <-c.conn.published:
		return done
	case err := <-done:
		select {
		case <-c.conn.published: // for the next message nothing is written yet
		default:
		}
		answer <- err
	}
	return answer
}

func publish5(m *mqtt.Message) *paho.Publish {
	p := &paho.Publish{Topic: m.Topic, Payload: m.Payload, QoS: byte(m.QoS), Retain: m.Retain, Properties: new(paho.PublishProperties)}
	if q := m.Properties; q != nil {
		p.Properties = &paho.PublishProperties{
			ContentType: q.ContentType, ResponseTopic: q.ResponseTopic, CorrelationData: q.CorrelationData, User: user5(q.User),
		}
		if q.HasExpiry {
			p.Properties.MessageExpiry = &q.Expiry
		}
		if q.HasPayloadFormat {
			format := byte(0)
			if q.PayloadIsUTF8 {
				format = 1
			}
			p.Properties.PayloadFormat = &format
		}
	}
	return p
}

// publish returns when the broker has acknowledged the message.
func (c *v5Client) publish(ctx context.Context, p *paho.Publish) error {
	if c.packetSize < math.MaxInt64 {
		if n, err := p.Packet().WriteTo(io.Discard); err == nil && n > c.packetSize {
			return mqttRefusal("the message is not sent", byte(mqtt.PacketTooLarge), fmt.Sprintf("the broker takes packets of %d bytes", c.packetSize))
		}
	}
	res, err := c.c.Publish(ctx, p)
	if res != nil && res.ReasonCode >= 0x80 {
		reason := ""
		if res.Properties != nil {
			reason = res.Properties.ReasonString
		}
		return mqttRefusal("the broker refused the message", res.ReasonCode, reason)
	}
	return c.cause(err)
}

// cause is why the connection ended, if that is why something failed.
func (c *v5Client) cause(err error) error {
	if err == nil {
		return nil
	}
	select {
	case why := <-c.ends:
		c.ends <- why
		return why
	default:
		return err
	}
}

func (c *v5Client) subscribe(ctx context.Context, subs []mqtt.Subscription, user []mqtt.UserProperty) error {
	p := &paho.Subscribe{Properties: &paho.SubscribeProperties{User: user5(user)}}
	for _, s := range subs {
		p.Subscriptions = append(p.Subscriptions, paho.SubscribeOptions{
			Topic: s.Filter, QoS: byte(s.QoS), NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished, RetainHandling: byte(s.RetainHandling),
		})
		if s.ID != 0 {
			id := int(s.ID)
			p.Properties.SubscriptionIdentifier = &id
		}
	}
	ack, err := c.c.Subscribe(ctx, p)
	if ack != nil {
		for i, code := range ack.Reasons {
			if code >= 0x80 && i < len(subs) {
				reason := ""
				if ack.Properties != nil {
					reason = ack.Properties.ReasonString
				}
				return mqttRefusal("the broker refused "+printable(subs[i].Filter), code, reason)
			}
		}
	}
	return c.cause(err)
}

func (c *v5Client) unsubscribe(ctx context.Context, filters []string) error {
	ack, err := c.c.Unsubscribe(ctx, &paho.Unsubscribe{Topics: filters})
	if ack != nil {
		for i, code := range ack.Reasons {
			if code >= 0x80 && i < len(filters) {
				reason := ""
				if ack.Properties != nil {
					reason = ack.Properties.ReasonString
				}
				return mqttRefusal("the broker refused to unsubscribe "+printable(filters[i]), code, reason)
			}
		}
	}
	return c.cause(err)
}

func (c *v5Client) lost() <-chan error { return c.ends }

func (c *v5Client) disconnect() {
	if err := c.c.Disconnect(new(paho.Disconnect)); err != nil && !errors.Is(err, net.ErrClosed) {
		return // it is lost, or was
	}
}

func received5(p *paho.Publish) *received {
	m := &mqtt.Message{Topic: p.Topic, Payload: p.Payload, QoS: mqtt.QoS(p.QoS), Retain: p.Retain}
	out := &received{Message: m, dup: p.Duplicate(), id: p.PacketID}
	q := p.Properties
	if q == nil {
		return out
	}
	m.Properties = &mqtt.Properties{ContentType: q.ContentType, ResponseTopic: q.ResponseTopic, CorrelationData: q.CorrelationData}
	if q.MessageExpiry != nil {
		m.Properties.Expiry, m.Properties.HasExpiry = *q.MessageExpiry, true
	}
	if q.PayloadFormat != nil {
		m.Properties.PayloadIsUTF8, m.Properties.HasPayloadFormat = *q.PayloadFormat == 1, true
	}
	for _, u := range q.User {
		m.Properties.User = append(m.Properties.User, mqtt.UserProperty{Key: u.Key, Value: u.Value})
	}
	if q.SubscriptionIdentifier != nil {
		out.subscriptions = append(out.subscriptions, *q.SubscriptionIdentifier)
	}
	return out
}
