package pluginhost

import (
	"time"
	"unicode/utf8"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// connectToProto shows a CONNECT to a validator. The result shares byte slices
// with c. What a client could have chosen must arrive as it is, so that a
// string of a packet that is not UTF-8 is an error; what only describes the
// connection is shown with U+FFFD.
func connectToProto(c *hook.Connect) (*pluginv1.Connect, error) {
	if err := checkConnect(c); err != nil {
		return nil, err
	}
	p := &pluginv1.Connect{
		ConnectionId:               c.ConnectionID,
		ClientId:                   c.ClientID,
		ProtocolLevel:              uint32(c.Version),
		CleanStart:                 c.CleanStart,
		KeepAliveSeconds:           seconds(c.KeepAlive),
		TopicAliasMaximum:          uint32(c.TopicAliasMaximum),
		RequestResponseInformation: c.RequestResponseInfo,
		RequestProblemInformation:  c.RequestProblemInfo,
		UserProperties:             userToProto(c.User),
		AuthenticationMethod:       c.AuthMethod,
		AuthenticationData:         c.AuthData,
		PeerAddress:                toUTF8(c.PeerAddress),
		LocalAddress:               toUTF8(c.LocalAddress),
		Listener:                   toUTF8(c.Listener),
		Transport:                  toUTF8(c.Transport),
		Tls:                        tlsToProto(c.TLS),
		Websocket:                  webSocketToProto(c.WebSocket),
		Proxy:                      proxyToProto(c.Proxy),
	}
	if c.HasUsername {
		p.Username = &c.Username
	}
	if c.HasPassword {
		p.Password = c.Password
		if p.Password == nil {
			p.Password = []byte{} // present, though empty
		}
	}
	if c.HasSessionExpiry {
		p.SessionExpirySeconds = &c.SessionExpiry
	}
	if c.ReceiveMaximum != 0 {
		p.ReceiveMaximum = new(uint32(c.ReceiveMaximum))
	}
	if c.MaximumPacketSize != 0 {
		p.MaximumPacketSize = new(c.MaximumPacketSize)
	}
	if w := c.Will; w != nil {
		p.Will = &pluginv1.Will{DelaySeconds: seconds(w.Delay)}
		if w.Message != nil {
			p.Will.Message = messageToProto(w.Message)
		}
	}
	return p, nil
}

func checkConnect(c *hook.Connect) error {
	for _, f := range [...]struct{ what, s string }{
		{"client identifier", c.ClientID}, {"user name", c.Username}, {"authentication method", c.AuthMethod},
	} {
		if !utf8.ValidString(f.s) {
			return errNotUTF8(f.what)
		}
	}
	if c.Will != nil && c.Will.Message != nil {
		if err := checkMessage(c.Will.Message); err != nil {
			return err
		}
	}
	return checkUser(c.User)
}

func seconds(d time.Duration) uint32 { return uint32(d / time.Second) }

func userToProto(list []mqtt.UserProperty) []*pluginv1.UserProperty {
	if len(list) == 0 {
		return nil
	}
	out := make([]*pluginv1.UserProperty, len(list))
	for i, u := range list {
		out[i] = &pluginv1.UserProperty{Key: u.Key, Value: u.Value}
	}
	return out
}

// messageToProto is the slow twin of [appendMessage], for what is rare.
func messageToProto(m *mqtt.Message) *pluginv1.Message {
	p := &pluginv1.Message{
		Topic:            m.Topic,
		Payload:          m.Payload,
		PayloadSize:      uint64(len(m.Payload)),
		Qos:              uint32(m.QoS),
		Retain:           m.Retain,
		Publisher:        m.Publisher,
		Origin:           pluginv1.Origin(originToWire(m.Origin)),
		CreatedUnixNanos: createdNanos(m),
		Hops:             uint32(m.Hops),
	}
	if q := m.Properties; q != nil {
		if q.HasPayloadFormat {
			p.PayloadIsUtf8 = &q.PayloadIsUTF8
		}
		if q.HasExpiry {
			p.ExpirySeconds = &q.Expiry
		}
		p.ContentType, p.ResponseTopic = q.ContentType, q.ResponseTopic
		p.CorrelationData, p.UserProperties = q.CorrelationData, userToProto(q.User)
	}
	return p
}

func tlsToProto(t *hook.TLS) *pluginv1.TlsInfo {
	if t == nil {
		return nil
	}
	return &pluginv1.TlsInfo{
		Version: toUTF8(t.Version), CipherSuite: toUTF8(t.CipherSuite), ServerName: toUTF8(t.ServerName),
		Alpn: toUTF8(t.ALPN), Certificate: certificateToProto(t.Certificate),
	}
}

func certificateToProto(c *hook.Certificate) *pluginv1.ClientCertificate {
	if c == nil {
		return nil
	}
	return &pluginv1.ClientCertificate{
		Der: c.DER, Subject: toUTF8(c.Subject), Issuer: toUTF8(c.Issuer), CommonName: toUTF8(c.CommonName),
		DnsNames: allToUTF8(c.DNSNames), EmailAddresses: allToUTF8(c.EmailAddresses), Uris: allToUTF8(c.URIs),
		IpAddresses: allToUTF8(c.IPAddresses), Sha256: c.SHA256[:], Serial: toUTF8(c.Serial), Verified: c.Verified,
	}
}

func allToUTF8(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = toUTF8(s)
	}
	return out
}

func webSocketToProto(w *hook.WebSocket) *pluginv1.WebSocketInfo {
	if w == nil {
		return nil
	}
	p := &pluginv1.WebSocketInfo{Path: toUTF8(w.Path), Host: toUTF8(w.Host), Origin: toUTF8(w.Origin)}
	for _, h := range w.Headers {
		p.Headers = append(p.Headers, &pluginv1.UserProperty{Key: toUTF8(h.Key), Value: toUTF8(h.Value)})
	}
	return p
}

func proxyToProto(x *hook.Proxy) *pluginv1.ProxyInfo {
	if x == nil {
		return nil
	}
	p := &pluginv1.ProxyInfo{ProxyAddress: toUTF8(x.Address), Tlvs: make(map[uint32][]byte, len(x.TLVs))}
	for typ, v := range x.TLVs {
		p.Tlvs[uint32(typ)] = v
	}
	return p
}
