package main

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"
)

// message is what a client received.
type message struct {
	topic, payload string
	qos            byte
	retained       bool
}

// client3 is a real MQTT 3.1.1 client.
type client3 struct {
	paho3.Client
	t    testing.TB
	got  chan message
	lost chan error
}

// dial3 connects and returns the reason if it is refused.
func (p *proc) dial3(id, user, password string, mod ...func(*paho3.ClientOptions)) (*client3, error) {
	c := &client3{t: p.t, got: make(chan message, 100_000), lost: make(chan error, 1)}
	o := paho3.NewClientOptions().AddBroker("tcp://" + p.addr).SetClientID(id).SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(patience).SetOrderMatters(true).
		SetConnectionLostHandler(func(_ paho3.Client, err error) { c.lost <- err }).
		SetDefaultPublishHandler(func(_ paho3.Client, m paho3.Message) {
			c.got <- message{m.Topic(), string(m.Payload()), m.Qos(), m.Retained()}
		})
	if user != "" {
		o.SetUsername(user).SetPassword(password)
	}
	for _, f := range mod {
		f(o)
	}
	c.Client = paho3.NewClient(o)
	tk := c.Connect()
	if !tk.WaitTimeout(patience) {
		return nil, fmt.Errorf("no CONNACK")
	}
	if tk.Error() != nil {
		return nil, tk.Error()
	}
	p.t.Cleanup(func() { c.Client.Disconnect(0) })
	return c, nil
}

func (p *proc) connect3(id string) *client3 {
	p.t.Helper()
	c, err := p.dial3(id, "", "")
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (c *client3) subscribe(filter string, qos byte) {
	c.t.Helper()
	if tk := c.Subscribe(filter, qos, nil); !tk.WaitTimeout(patience) || tk.Error() != nil {
		c.t.Fatalf("subscribe %s: %v", filter, tk.Error())
	}
}

// client5 is a real MQTT 5 client.
type client5 struct {
	*paho5.Client
	t    testing.TB
	got  chan message
	end  chan *paho5.Disconnect // what the broker said
	lost chan error             // the connection broke
}

func (p *proc) dial5(id, user, password string) (*client5, *paho5.Connack, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, nil, err
	}
	c := &client5{t: p.t, got: make(chan message, 100_000), end: make(chan *paho5.Disconnect, 1), lost: make(chan error, 1)}
	c.Client = paho5.NewClient(paho5.ClientConfig{
		Conn:               nc,
		OnServerDisconnect: func(d *paho5.Disconnect) { c.end <- d },
		OnClientError:      func(err error) { c.lost <- err },
		OnPublishReceived: []func(paho5.PublishReceived) (bool, error){func(r paho5.PublishReceived) (bool, error) {
			m := r.Packet
			c.got <- message{m.Topic, string(m.Payload), m.QoS, m.Retain}
			return true, nil
		}},
	})
	cp := &paho5.Connect{ClientID: id, KeepAlive: 60, CleanStart: true}
	if user != "" {
		cp.UsernameFlag, cp.Username, cp.PasswordFlag, cp.Password = true, user, true, []byte(password)
	}
	ack, err := c.Connect(ctx, cp)
	if err != nil {
		return nil, ack, err
	}
	p.t.Cleanup(func() { _ = c.Client.Disconnect(&paho5.Disconnect{}) })
	return c, ack, nil
}

func (p *proc) connect5(id string) *client5 {
	p.t.Helper()
	c, _, err := p.dial5(id, "", "")
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (c *client5) subscribe(filter string, qos byte) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.Subscribe(ctx, &paho5.Subscribe{Subscriptions: []paho5.SubscribeOptions{{Topic: filter, QoS: qos}}}); err != nil {
		c.t.Fatal(err)
	}
}

// publish returns the reason code of the acknowledgement.
func (c *client5) publish(topic string, qos byte, retain bool, payload string) (code byte, reason string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := c.Publish(ctx, &paho5.Publish{Topic: topic, QoS: qos, Retain: retain, Payload: []byte(payload)})
	if res == nil {
		if err != nil {
			c.t.Fatal(err)
		}
		return 0, ""
	}
	if res.Properties != nil {
		reason = res.Properties.ReasonString
	}
	return res.ReasonCode, reason
}

// expect waits for one message.
func expect(t testing.TB, got <-chan message, want message) {
	t.Helper()
	select {
	case m := <-got:
		if m != want {
			t.Fatalf("got %+v, want %+v", m, want)
		}
	case <-time.After(patience):
		t.Fatalf("nothing came; want %+v", want)
	}
}

// publishQuietly publishes with QoS 1 where no answer is expected.
func (c *client5) publishQuietly(topic, payload string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = c.Publish(ctx, &paho5.Publish{Topic: topic, QoS: 1, Payload: []byte(payload)})
}
