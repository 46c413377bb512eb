package conformance

import (
	"fmt"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// connections numbers connections.
var connections atomic.Uint64

// connect is the CONNECT of an MQTT 5 client whose user nobody knows.
func (k *kit) connect(clientID string) *pluginv1.Connect {
	return &pluginv1.Connect{
		ConnectionId: connections.Add(1), ClientId: clientID,
		Username: proto.String("nobody-" + clientID), Password: []byte(k.canary),
		ProtocolLevel: 5, CleanStart: true, KeepAliveSeconds: 60, RequestProblemInformation: true,
		PeerAddress: "192.0.2.1:50000", LocalAddress: "192.0.2.100:1883", Listener: "default", Transport: "tcp",
	}
}

// fullConnect is a CONNECT with everything that one can have.
func (k *kit) fullConnect() *pluginv1.Connect {
	c := k.connect("full")
	c.CleanStart = false
	c.Will = &pluginv1.Will{Message: fullMessage("will/topic"), DelaySeconds: 10}
	c.SessionExpirySeconds, c.ReceiveMaximum, c.MaximumPacketSize = proto.Uint32(3600), proto.Uint32(100), proto.Uint32(1<<20)
	c.TopicAliasMaximum, c.RequestResponseInformation = 10, true
	c.UserProperties = twoProperties()
	c.Transport = "wss"
	c.Tls = &pluginv1.TlsInfo{
		Version: "TLS 1.3", CipherSuite: "TLS_AES_128_GCM_SHA256", ServerName: "mqtt.example.com", Alpn: "mqtt",
		Certificate: &pluginv1.ClientCertificate{
			Der: []byte{0x30, 0x03, 1, 2, 3}, Subject: "CN=full,O=Example", Issuer: "CN=authority", CommonName: "full",
			DnsNames: []string{"full.example.com"}, EmailAddresses: []string{"full@example.com"}, Uris: []string{"spiffe://example/full"},
			IpAddresses: []string{"192.0.2.1"}, Sha256: make([]byte, 32), Serial: "0a", Verified: true,
		},
	}
	c.Websocket = &pluginv1.WebSocketInfo{
		Path: "/mqtt?a=b", Host: "mqtt.example.com", Origin: "https://example.com",
		Headers: []*pluginv1.UserProperty{{Key: "Cookie", Value: "session=1"}},
	}
	c.Proxy = &pluginv1.ProxyInfo{ProxyAddress: "192.0.2.9:999", Tlvs: map[uint32][]byte{1: {1, 2}}}
	return c
}

func twoProperties() []*pluginv1.UserProperty {
	return []*pluginv1.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}}
}

// fullMessage is a message with everything that one can have.
func fullMessage(topic string) *pluginv1.Message {
	return &pluginv1.Message{
		Topic: topic, Payload: []byte("payload"), PayloadSize: 7, Qos: 1, Retain: true, PayloadIsUtf8: proto.Bool(true),
		ExpirySeconds: proto.Uint32(60), ContentType: "text/plain", ResponseTopic: "re/ply", CorrelationData: []byte{0, 255},
		UserProperties: twoProperties(), Publisher: "full", Origin: pluginv1.Origin_ORIGIN_CLIENT, CreatedUnixNanos: 1700000000123456789,
	}
}

// namedConnect is a CONNECT that has a name in reports.
type namedConnect struct {
	what    string
	connect *pluginv1.Connect
}

// oddConnects are CONNECTs as they come, of every version and of every kind.
func (k *kit) oddConnects() []namedConnect {
	edit := func(f func(*pluginv1.Connect)) *pluginv1.Connect {
		c := k.connect(fmt.Sprintf("odd-%d", connections.Load()))
		f(c)
		return c
	}
	return []namedConnect{
		{"an unknown user", edit(func(*pluginv1.Connect) {})},
		{"no user name and no password", edit(func(c *pluginv1.Connect) { c.Username, c.Password = nil, nil })},
		{"a user name without a password", edit(func(c *pluginv1.Connect) { c.Password = nil })},
		{"a password without a user name", edit(func(c *pluginv1.Connect) { c.Username = nil })},
		{"an empty user name", edit(func(c *pluginv1.Connect) { c.Username = proto.String("") })},
		{"an empty password", edit(func(c *pluginv1.Connect) { c.Password = []byte{} })},
		{"a binary password", edit(func(c *pluginv1.Connect) { c.Password = append([]byte(k.canary), 0, 0xff, 0xfe) })},
		{"a password of 65,535 bytes", edit(func(c *pluginv1.Connect) {
			c.Password = []byte((k.canary + strings.Repeat("p", longest))[:longest])
		})},
		{"a user name of 65,535 bytes", edit(func(c *pluginv1.Connect) { c.Username = proto.String(strings.Repeat("u", longest)) })},
		{"no client identifier", edit(func(c *pluginv1.Connect) { c.ClientId = "" })},
		{"a client identifier of 65,535 bytes", edit(func(c *pluginv1.Connect) { c.ClientId = strings.Repeat("c", longest) })},
		{"a client identifier with wildcards", edit(func(c *pluginv1.Connect) { c.ClientId = "a/+/#" })},
		{"MQTT 3.1", edit(func(c *pluginv1.Connect) { c.ProtocolLevel = 3 })},
		{"MQTT 3.1.1", edit(func(c *pluginv1.Connect) { c.ProtocolLevel = 4 })},
		{"1,000 user properties", edit(func(c *pluginv1.Connect) {
			for i := range 1000 {
				c.UserProperties = append(c.UserProperties, &pluginv1.UserProperty{Key: "k", Value: fmt.Sprint(i)})
			}
		})},
		{"user properties without text", edit(func(c *pluginv1.Connect) { c.UserProperties = []*pluginv1.UserProperty{{}, {}} })},
		{"enhanced authentication that nobody knows", edit(func(c *pluginv1.Connect) {
			c.AuthenticationMethod, c.AuthenticationData = "NO-SUCH-METHOD", []byte(k.canary)
		})},
		{"a Unix socket", edit(func(c *pluginv1.Connect) {
			c.PeerAddress, c.LocalAddress, c.Transport = "unix", "/run/mqtt.sock", "unix"
		})},
		{"the largest numbers", edit(func(c *pluginv1.Connect) {
			c.KeepAliveSeconds, c.TopicAliasMaximum = 65535, 65535
			c.SessionExpirySeconds, c.MaximumPacketSize = proto.Uint32(1<<32-1), proto.Uint32(1<<32-1)
			c.ReceiveMaximum = proto.Uint32(65535)
		})},
		{"everything that a CONNECT can have", k.fullConnect()},
	}
}
