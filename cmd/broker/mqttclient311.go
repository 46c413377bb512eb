package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// v311Client speaks MQTT 3.1.1.
type v311Client struct {
	c    paho.Client
	ends chan error
	// handling holds a token while a message is handled, until it is acknowledged.
	handling chan struct{}
}

// codes311 are the reason codes of MQTT 5 that say what CONNACK's codes say.
var codes311 = map[byte]mqtt.ReasonCode{
	1: mqtt.UnsupportedProtocolVersion, 2: mqtt.ClientIdentifierNotValid, 3: mqtt.ServerUnavailable, 4: mqtt.BadUserNameOrPassword, 5: mqtt.NotAuthorized,
}

func (f *mqttFlags) connect311(conn net.Conn, got func(*received)) (mqttClient, error) {
	out := &v311Client{ends: make(chan error, 1), handling: make(chan struct{}, 1)}
	o := paho.NewClientOptions().AddBroker("tcp://broker").SetClientID(f.ID).SetProtocolVersion(4).
		SetCleanSession(!f.KeepSession).SetKeepAlive(time.Duration(f.KeepAlive) * time.Second).
		SetAutoReconnect(false).SetAutoAckDisabled(true).SetConnectRetry(false).SetOrderMatters(true).SetConnectTimeout(dialTimeout).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil }).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			out.handling <- struct{}{}
			got(&received{
				Message: &mqtt.Message{Topic: m.Topic(), Payload: m.Payload(), QoS: mqtt.QoS(m.Qos()), Retain: m.Retained()},
				dup:     m.Duplicate(), id: m.MessageID(),
			})
			m.Ack()
			<-out.handling
		}).
		SetConnectionLostHandler(func(_ paho.Client, err error) {
			select {
			case out.ends <- fmt.Errorf("the connection is lost: %w", err):
			default:
			}
		})
	if f.Username != "" {
		o.SetUsername(f.Username).SetPassword(f.Password)
	}
	if w := &f.Will; w.Topic != "" {
		o.SetBinaryWill(w.Topic, []byte(w.Payload), w.QoS, w.Retain)
	}
	out.c = paho.NewClient(o)
	token := out.c.Connect()
	token.Wait()
	if err := token.Error(); err != nil {
		_ = conn.Close()
		if ct, ok := token.(*paho.ConnectToken); ok {
			if code, refused := codes311[ct.ReturnCode()]; refused {
				return nil, mqttRefusal("the broker refused the connection", byte(code), "")
			}
		}
		return nil, &statusError{exitNoBroker, fmt.Errorf("%s: %w", f.URL, err)}
	}
	return out, nil
}

func (c *v311Client) wait(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case err := <-c.ends:
		c.ends <- err
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// window is what brokers take of MQTT 3.1.1, which has no word for it.
func (c *v311Client) window() int { return 100 }

func (c *v311Client) begin(ctx context.Context, m *mqtt.Message) <-chan error {
	answer := make(chan error, 1)
	token := c.c.Publish(m.Topic, byte(m.QoS), m.Retain, m.Payload)
	go func() { answer <- c.wait(ctx, token) }()
	return answer
}

func (c *v311Client) unsubscribe(ctx context.Context, filters []string) error {
	return c.wait(ctx, c.c.Unsubscribe(filters...))
}

func (c *v311Client) subscribe(ctx context.Context, subs []mqtt.Subscription, _ []mqtt.UserProperty) error {
	filters := make(map[string]byte, len(subs))
	for _, s := range subs {
		filters[s.Filter] = byte(s.QoS)
	}
	token := c.c.SubscribeMultiple(filters, nil)
	err := c.wait(ctx, token)
	if st, ok := token.(*paho.SubscribeToken); ok && ctx.Err() == nil {
		for filter, code := range st.Result() {
			if code >= 0x80 {
				return mqttRefusal("the broker refused "+printable(filter), code, "")
			}
		}
	}
	return err
}

func (c *v311Client) lost() <-chan error { return c.ends }

// disconnect says goodbye behind the acknowledgement of the message that ended it
// all, or else that comes again; but it does not wait for whoever reads the output.
func (c *v311Client) disconnect() {
	const patience = 250 * time.Millisecond
	select {
	case c.handling <- struct{}{}:
		<-c.handling
	case <-time.After(patience):
	}
	c.c.Disconnect(uint(patience.Milliseconds()))
}

var errOnly5 = errors.New("MQTT 3.1.1 has no properties: leave --mqtt-version at 5")
