package pluginhost

import (
	"fmt"
	"maps"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// ConnectFromProto is the opposite of [ConnectProto], for what was recorded. The
// error says what a hook could not be asked.
func ConnectFromProto(p *pluginv1.Connect) (*hook.Connect, error) {
	c := &hook.Connect{
		ConnectionID: p.GetConnectionId(), ClientID: p.GetClientId(), Username: p.GetUsername(), HasUsername: p != nil && p.Username != nil,
		Password: p.GetPassword(), HasPassword: p.GetPassword() != nil, Version: mqtt.Version(p.GetProtocolLevel()),
		CleanStart: p.GetCleanStart(), KeepAlive: time.Duration(p.GetKeepAliveSeconds()) * time.Second,
		SessionExpiry: p.GetSessionExpirySeconds(), HasSessionExpiry: p != nil && p.SessionExpirySeconds != nil,
		ReceiveMaximum: uint16(p.GetReceiveMaximum()), MaximumPacketSize: p.GetMaximumPacketSize(),
		TopicAliasMaximum: uint16(p.GetTopicAliasMaximum()), RequestResponseInfo: p.GetRequestResponseInformation(),
		RequestProblemInfo: p.GetRequestProblemInformation(), User: userFromProto(p.GetUserProperties()),
		AuthMethod: p.GetAuthenticationMethod(), AuthData: p.GetAuthenticationData(), PeerAddress: p.GetPeerAddress(),
		LocalAddress: p.GetLocalAddress(), Listener: p.GetListener(), Transport: p.GetTransport(),
		TLS: tlsFromProto(p.GetTls()), WebSocket: webSocketFromProto(p.GetWebsocket()), Proxy: proxyFromProto(p.GetProxy()),
	}
	if w := p.GetWill(); w != nil {
		c.Will = &hook.Will{Delay: time.Duration(w.GetDelaySeconds()) * time.Second}
		if w.GetMessage() != nil {
			m, err := messageFromProto(w.GetMessage())
			if err != nil {
				return nil, fmt.Errorf("will: %w", err)
			}
			c.Will.Message = m
		}
	}
	return c, nil
}

func tlsFromProto(p *pluginv1.TlsInfo) *hook.TLS {
	if p == nil {
		return nil
	}
	t := &hook.TLS{Version: p.GetVersion(), CipherSuite: p.GetCipherSuite(), ServerName: p.GetServerName(), ALPN: p.GetAlpn()}
	if c := p.GetCertificate(); c != nil {
		t.Certificate = &hook.Certificate{
			DER: c.GetDer(), Subject: c.GetSubject(), Issuer: c.GetIssuer(), CommonName: c.GetCommonName(), DNSNames: c.GetDnsNames(),
			EmailAddresses: c.GetEmailAddresses(), URIs: c.GetUris(), IPAddresses: c.GetIpAddresses(),
			Serial: c.GetSerial(), Verified: c.GetVerified(),
		}
		copy(t.Certificate.SHA256[:], c.GetSha256())
	}
	return t
}

func webSocketFromProto(p *pluginv1.WebSocketInfo) *hook.WebSocket {
	if p == nil {
		return nil
	}
	return &hook.WebSocket{Path: p.GetPath(), Host: p.GetHost(), Origin: p.GetOrigin(), Headers: userFromProto(p.GetHeaders())}
}

func proxyFromProto(p *pluginv1.ProxyInfo) *hook.Proxy {
	if p == nil {
		return nil
	}
	x := &hook.Proxy{Address: p.GetProxyAddress(), TLVs: make(map[byte][]byte, len(p.GetTlvs()))}
	for typ, v := range p.GetTlvs() {
		x.TLVs[byte(typ)] = v
	}
	return x
}

// ClientFromProto is the opposite of [ClientProto].
func ClientFromProto(p *pluginv1.ClientContext) *hook.Client {
	if p == nil {
		return nil
	}
	return &hook.Client{
		ConnectionID: p.GetConnectionId(), ID: p.GetClientId(), Username: p.GetUsername(), Version: mqtt.Version(p.GetProtocolLevel()),
		PeerAddress: p.GetPeerAddress(), Listener: p.GetListener(), Mountpoint: p.GetMountpoint(), Items: maps.Clone(p.GetItems()),
	}
}

// CallFromProto is the opposite of [CallProto]; the call is of client. The error
// says what a hook could not be asked.
func CallFromProto(p *pluginv1.Call, client *hook.Client) (hook.Point, *hook.Call, error) {
	c := &hook.Call{Client: client}
	var err error
	switch call := p.GetCall().(type) {
	case *pluginv1.Call_Publish:
		c.Message, err = wholeMessage(call.Publish.GetMessage())
		return hook.PointPublish, c, err
	case *pluginv1.Call_Subscribe:
		c.Subscription, err = subscriptionFrom(call.Subscribe.GetSubscription())
		c.User = userFromProto(call.Subscribe.GetUserProperties())
		return hook.PointSubscribe, c, err
	case *pluginv1.Call_Unsubscribe:
		c.Subscription.Filter = call.Unsubscribe.GetFilter()
		c.User = userFromProto(call.Unsubscribe.GetUserProperties())
		return hook.PointUnsubscribe, c, legalFilter(c.Subscription.Filter)
	case *pluginv1.Call_Deliver:
		c.Message, err = wholeMessage(call.Deliver.GetMessage())
		c.Receiver, c.Retained = call.Deliver.GetReceiver(), call.Deliver.GetRetained()
		return hook.PointDeliver, c, err
	default:
		return 0, nil, illegal("a call of no kind that is known")
	}
}

func wholeMessage(p *pluginv1.Message) (*mqtt.Message, error) {
	if p == nil {
		return nil, illegal("no message")
	}
	m, err := messageFromProto(p)
	if err == nil {
		m.Hops = uint8(p.GetHops())
	}
	return m, err
}

func subscriptionFrom(p *pluginv1.Subscription) (mqtt.Subscription, error) {
	s := subscriptionChange{
		filter: p.GetFilter(), qos: p.GetQos(), noLocal: p.GetNoLocal(), retainAsPublished: p.GetRetainAsPublished(),
		retainHandling: p.GetRetainHandling(), identifier: p.GetIdentifier(),
	}
	out, err := s.check()
	if err != nil {
		return mqtt.Subscription{}, err
	}
	return *out, nil
}
