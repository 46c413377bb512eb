package plugintest

import (
	"crypto/sha256"
	"crypto/x509"
	"sync/atomic"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
)

// connections numbers what the builders make.
var connections atomic.Uint64

// Connect makes the CONNECT of an MQTT 5 client over TCP, with a connection id of
// its own. Change whatever matters to the test, by hand or by functions such as
// [Credentials].
func Connect(clientID string, change ...func(*pluginapi.Connect)) *pluginapi.Connect {
	c := &pluginapi.Connect{
		ConnectionID:       connections.Add(1),
		ClientID:           clientID,
		Protocol:           5,
		CleanStart:         true,
		KeepAlive:          time.Minute,
		RequestProblemInfo: true,
		PeerAddress:        "192.0.2.1:50000",
		LocalAddress:       "192.0.2.100:1883",
		Listener:           "default",
		Transport:          "tcp",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// Credentials gives a CONNECT a user name and a password.
func Credentials(username, password string) func(*pluginapi.Connect) {
	return func(c *pluginapi.Connect) {
		c.Username, c.HasUsername = username, true
		c.Password, c.HasPassword = []byte(password), true
	}
}

// Version gives a CONNECT a protocol level: 3, 4 or 5.
func Version(p pluginapi.Protocol) func(*pluginapi.Connect) {
	return func(c *pluginapi.Connect) { c.Protocol = p }
}

// Certificate makes a CONNECT come over TLS with a verified client certificate.
func Certificate(cert *x509.Certificate) func(*pluginapi.Connect) {
	return func(c *pluginapi.Connect) {
		sum := sha256.Sum256(cert.Raw)
		out := &pluginapi.Certificate{
			DER:            cert.Raw,
			Subject:        cert.Subject.String(),
			Issuer:         cert.Issuer.String(),
			CommonName:     cert.Subject.CommonName,
			DNSNames:       cert.DNSNames,
			EmailAddresses: cert.EmailAddresses,
			SHA256:         sum[:],
			Verified:       true,
		}
		if cert.SerialNumber != nil {
			out.Serial = cert.SerialNumber.Text(16)
		}
		for _, u := range cert.URIs {
			out.URIs = append(out.URIs, u.String())
		}
		for _, ip := range cert.IPAddresses {
			out.IPAddresses = append(out.IPAddresses, ip.String())
		}
		c.Transport = "tls"
		c.TLS = &pluginapi.TLS{Version: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", Certificate: out}
	}
}

// Client makes what hooks after the CONNECT are told of a client, with a
// connection id of its own.
func Client(clientID string, change ...func(*pluginapi.Client)) *pluginapi.Client {
	c := &pluginapi.Client{
		ConnectionID: connections.Add(1),
		ID:           clientID,
		Protocol:     5,
		PeerAddress:  "192.0.2.1:50000",
		Listener:     "default",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// Message makes a message of QoS 1 that a client published.
func Message(topic, payload string, change ...func(*pluginapi.Message)) *pluginapi.Message {
	m := &pluginapi.Message{
		Topic:       topic,
		Payload:     []byte(payload),
		PayloadSize: len(payload),
		QoS:         1,
		Publisher:   "publisher",
		Origin:      pluginapi.FromClient,
		Created:     time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
	}
	for _, f := range change {
		f(m)
	}
	return m
}

// QoS sets the quality of service of a message: 0, 1 or 2.
func QoS(q pluginapi.QoS) func(*pluginapi.Message) {
	return func(m *pluginapi.Message) { m.QoS = q }
}

// Retained sets the RETAIN flag of a message.
func Retained() func(*pluginapi.Message) {
	return func(m *pluginapi.Message) { m.Retain = true }
}

// Property adds a user property to a message.
func Property(key, value string) func(*pluginapi.Message) {
	return func(m *pluginapi.Message) {
		m.UserProperties = append(m.UserProperties, pluginapi.UserProperty{Key: key, Value: value})
	}
}

// Expires gives a message an expiry interval, in seconds.
func Expires(seconds uint32) func(*pluginapi.Message) {
	return func(m *pluginapi.Message) { m.Expiry = &seconds }
}

// Will gives a CONNECT a will, see [Message].
func Will(m *pluginapi.Message, delay time.Duration) func(*pluginapi.Connect) {
	return func(c *pluginapi.Connect) {
		m.Origin, m.Publisher = pluginapi.FromWill, c.ClientID
		c.Will = &pluginapi.Will{Message: m, Delay: delay}
	}
}

// Publish makes the call of a client that publishes a message.
func Publish(clientID string, m *pluginapi.Message) *pluginapi.PublishCall {
	m.Publisher = clientID
	return &pluginapi.PublishCall{Client: Client(clientID), Message: m}
}

// Subscribe makes the call of a client that subscribes a filter with QoS 1.
func Subscribe(clientID, filter string, change ...func(*pluginapi.Subscription)) *pluginapi.SubscribeCall {
	call := &pluginapi.SubscribeCall{Client: Client(clientID), Subscription: pluginapi.Subscription{Filter: filter, QoS: 1}}
	for _, f := range change {
		f(&call.Subscription)
	}
	return call
}

// Deliver makes the call of a message that is about to go to a client.
func Deliver(clientID string, m *pluginapi.Message) *pluginapi.DeliverCall {
	return &pluginapi.DeliverCall{Client: Client(clientID), Receiver: clientID, Message: m}
}
