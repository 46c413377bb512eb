package clients

import (
	"errors"
	"net"
	"net/url"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/gatehouse-mqtt/gatehouse/test/internal/program"
)

// paho3 is a client of paho.mqtt.golang.
type paho3 struct {
	mqtt.Client
	nc  net.Conn
	got chan message
	end chan struct{}

	once sync.Once
}

func openPaho3(*testing.T) dialer { return dialPaho3 }

func dialPaho3(addr string, o options) (client, connected, error) {
	c := &paho3{got: make(chan message, 1000), end: make(chan struct{})}
	po := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(o.ID).SetProtocolVersion(uint(o.Version)).
		SetCleanSession(o.Clean).SetAutoReconnect(false).SetConnectTimeout(program.Patience).
		SetConnectionLostHandler(func(mqtt.Client, error) { c.over() }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			c.got <- message{Topic: m.Topic(), Payload: string(m.Payload()), QoS: m.Qos(), Retain: m.Retained()}
		}).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			nc, err := net.Dial("tcp", addr)
			c.nc = nc
			return nc, err
		})
	if w := o.Will; w != nil {
		po.SetBinaryWill(w.Topic, []byte(w.Payload), w.QoS, w.Retain)
	}
	c.Client = mqtt.NewClient(po)
	tk := c.Connect()
	if err := done(tk); err != nil {
		return nil, connected{}, err
	}
	return c, connected{Present: tk.(*mqtt.ConnectToken).SessionPresent()}, nil
}

// done waits for what the library has begun.
func done(tk mqtt.Token) error {
	if !tk.WaitTimeout(program.Patience) {
		return errors.New("no answer")
	}
	return tk.Error()
}

func (c *paho3) over() { c.once.Do(func() { close(c.end) }) }

func (c *paho3) subscribe(s subscription) (int, error) {
	tk := c.Subscribe(s.Filter, s.QoS, nil)
	if err := done(tk); err != nil {
		return 0, err
	}
	for _, code := range tk.(*mqtt.SubscribeToken).Result() { // by the filter, at times by a part of it
		return int(code), nil
	}
	return 0, errors.New("no code")
}

func (c *paho3) unsubscribe(filter string) error { return done(c.Unsubscribe(filter)) }

func (c *paho3) publish(m message) (int, error) {
	return 0, done(c.Publish(m.Topic, m.QoS, m.Retain, m.Payload))
}

func (c *paho3) messages() <-chan message { return c.got }
func (c *paho3) ended() <-chan struct{}   { return c.end }

func (c *paho3) disconnect() error {
	c.Disconnect(50) // tells nobody of its end
	c.over()
	return nil
}

func (c *paho3) drop() { _ = c.nc.Close() }
