package clients

import (
	"context"
	"net"
	"testing"

	"github.com/eclipse/paho.golang/paho"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// paho5 is a client of paho.golang.
type paho5 struct {
	*paho.Client
	nc  net.Conn
	got chan message
}

func openPaho5(*testing.T) dialer { return dialPaho5 }

func dialPaho5(addr string, o options) (client, connected, error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, connected{}, err
	}
	c := &paho5{nc: nc, got: make(chan message, 1000)}
	c.Client = paho.NewClient(paho.ClientConfig{
		ClientID: o.ID, Conn: nc,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(r paho.PublishReceived) (bool, error) {
			c.got <- fromPaho5(r.Packet)
			return true, nil
		}},
	})
	ctx, cancel := patient()
	defer cancel()
	p := &paho.Connect{
		ClientID: o.ID, CleanStart: o.Clean, KeepAlive: 60,
		Properties: &paho.ConnectProperties{SessionExpiryInterval: &o.Expiry, RequestProblemInfo: true},
	}
	if w := o.Will; w != nil {
		p.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: []byte(w.Payload), QoS: w.QoS, Retain: w.Retain}
		p.WillProperties = willOfPaho5(w)
	}
	ack, err := c.Connect(ctx, p)
	if err != nil {
		return nil, connected{}, err
	}
	return c, connected{Present: ack.SessionPresent, AssignedID: ack.Properties.AssignedClientID}, nil
}

func patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), program.Patience)
}

func (c *paho5) subscribe(s subscription) (int, error) {
	ctx, cancel := patient()
	defer cancel()
	p := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{
		Topic: s.Filter, QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished, RetainHandling: s.RetainHandling,
	}}}
	if s.ID != 0 {
		p.Properties = &paho.SubscribeProperties{SubscriptionIdentifier: &s.ID}
	}
	ack, err := c.Subscribe(ctx, p)
	if err != nil {
		return 0, err
	}
	return int(ack.Reasons[0]), nil
}

func (c *paho5) unsubscribe(filter string) error {
	ctx, cancel := patient()
	defer cancel()
	_, err := c.Unsubscribe(ctx, &paho.Unsubscribe{Topics: []string{filter}})
	return err
}

func (c *paho5) publish(m message) (int, error) {
	ctx, cancel := patient()
	defer cancel()
	ack, err := c.Publish(ctx, &paho.Publish{
		Topic: m.Topic, Payload: []byte(m.Payload), QoS: m.QoS, Retain: m.Retain, Properties: propertiesOfPaho5(&m),
	})
	if err != nil || ack == nil {
		return 0, err
	}
	return int(ack.ReasonCode), nil
}

func (c *paho5) messages() <-chan message { return c.got }
func (c *paho5) ended() <-chan struct{}   { return c.Done() }
func (c *paho5) disconnect() error        { return c.Disconnect(&paho.Disconnect{}) }
func (c *paho5) drop()                    { _ = c.nc.Close() }

func propertiesOfPaho5(m *message) *paho.PublishProperties {
	p := &paho.PublishProperties{ContentType: m.ContentType, ResponseTopic: m.ResponseTopic}
	if m.Correlation != "" {
		p.CorrelationData = []byte(m.Correlation)
	}
	for _, u := range m.User {
		p.User.Add(u[0], u[1])
	}
	if m.Expiry != 0 {
		p.MessageExpiry = &m.Expiry
	}
	if m.UTF8 {
		p.PayloadFormat = new(byte)
		*p.PayloadFormat = 1
	}
	return p
}

func willOfPaho5(m *message) *paho.WillProperties {
	p := propertiesOfPaho5(m)
	return &paho.WillProperties{
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
		User: p.User, MessageExpiry: p.MessageExpiry, PayloadFormat: p.PayloadFormat,
	}
}

func fromPaho5(p *paho.Publish) message {
	m := message{Topic: p.Topic, Payload: string(p.Payload), QoS: p.QoS, Retain: p.Retain}
	props := p.Properties
	if props == nil {
		return m
	}
	m.ContentType, m.ResponseTopic, m.Correlation = props.ContentType, props.ResponseTopic, string(props.CorrelationData)
	for _, u := range props.User {
		m.User = append(m.User, [2]string{u.Key, u.Value})
	}
	if props.MessageExpiry != nil {
		m.Expiry = *props.MessageExpiry
	}
	m.UTF8 = props.PayloadFormat != nil && *props.PayloadFormat == 1
	if props.SubscriptionIdentifier != nil {
		m.IDs = []int{*props.SubscriptionIdentifier}
	}
	return m
}
